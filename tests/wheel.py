"From a clean clone to the first sound in an empty environment: builds, installs, composes, and says how long each took. `make wheel-test` runs it."
import os, shutil, subprocess, sys, tempfile, time
from pathlib import Path

root = Path(__file__).parent.parent
alone = {k: v for k,v in os.environ.items() if k not in ('PYTHONPATH','VIRTUAL_ENV','IN_TEST')}

def step(what, *words, **kw):
    "Run a command and say how long it took; what it prints is shown only if it fails."
    begun = time.monotonic()
    r = subprocess.run([str(o) for o in words], env=alone, capture_output=True, text=True, **kw)
    if r.returncode: sys.exit(f'{what}: status {r.returncode}\n{r.stdout}{r.stderr}')
    print(f'{time.monotonic()-begun:7.1f} s  {what}', flush=True)
    return r.stdout

def environment(folder):
    "An empty environment; where its commands are."
    step(f'python -m venv {folder.name}', sys.executable, '-m', 'venv', folder)
    return folder/('Scripts' if os.name=='nt' else 'bin')

def size(folder): return sum(o.stat().st_size for o in folder.rglob('*') if o.is_file() and not o.is_symlink())/1e6

def main():
    with tempfile.TemporaryDirectory() as d:
        d = Path(d)
        clone,tools = d/'clone',environment(d/'tools')
        step('git clone', 'git', 'clone', '-q', '--depth=1', root.as_uri(), clone)
        step('pip install build', tools/'pip', 'install', '-q', 'build')
        step('python -m build', tools/'python', '-m', 'build', '--outdir', d/'dist', clone)
        for o in sorted((d/'dist').iterdir()): print(f'           {o.name}, {o.stat().st_size/1e6:.1f} MB')
        [wheel] = (d/'dist').glob('*.whl')
        empty = environment(d/'empty')
        step('pip install of the wheel, with all it needs', empty/'pip', 'install', '-q', '-c', clone/'constraints.txt', wheel)
        shutil.rmtree(clone)
        print(f'           the environment has {size(d/"empty"):,.0f} MB')
        (d/'elsewhere').mkdir()
        for what in ('first', 'second'):
            said = step(f'the {what} ten seconds of music, as MIDI, MP3 and piano roll', empty/'mt-compose', '--seconds', 10, '--out', 'out', cwd=d/'elsewhere')
        step('python -m music_transformer', empty/'python', '-m', 'music_transformer', cwd=d/'elsewhere')
        print(said)

if __name__=='__main__': main()
