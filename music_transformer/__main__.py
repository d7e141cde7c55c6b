"`python -m music_transformer` lists the commands, `python -m music_transformer compose ...` runs one."
import sys
import music_transformer
from music_transformer import cli

def commands()->dict:
    "Name without its mt-, and the function."
    return {o[3:]: getattr(cli, o) for o in cli.__all__ if o.startswith('mt_')}

def overview(name:str)->int:
    "Print the commands; 2 if a strange one was asked for."
    for k,f in sorted(commands().items()): print(f'  {k:12}{f.__doc__.splitlines()[0]}')
    if name in ('', '-h', '--help'): return 0
    print(f'there is no command {name}.', file=sys.stderr)
    return 2

name,*words = sys.argv[1:] or ['']
if name=='--version': sys.exit(print(getattr(music_transformer, '__version__', 'not installed, so without a version')))
if name not in commands(): sys.exit(overview(name))
sys.argv = [f'mt-{name}', *words]
command = commands()[name]
sys.exit(command()) # called from here, at the top of a script, it reads the command line
