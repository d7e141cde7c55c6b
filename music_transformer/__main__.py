"`python -m music_transformer` lists the commands, `python -m music_transformer compose ...` runs one."
import sys
from importlib.metadata import entry_points

def commands()->dict:
    "Name without its mt-, and the entry point."
    found = entry_points(group='console_scripts')
    return {o.name[3:]: o for o in found if o.value.startswith('music_transformer.')}

def overview(name:str)->int:
    "Print the commands; 2 if a strange one was asked for."
    from music_transformer import cli
    for k,o in sorted(commands().items()): print(f'  {k:12}{getattr(cli, o.attr).__doc__.splitlines()[0]}')
    if name in ('', '-h', '--help'): return 0
    print(f'there is no command {name}.', file=sys.stderr)
    return 2

name,*words = sys.argv[1:] or ['']
if name not in commands(): sys.exit(overview(name))
sys.argv = [f'mt-{name}', *words]
command = commands()[name].load()
sys.exit(command()) # called from here, at the top of a script, it reads the command line
