"What every notebook must be: clean, with its outputs, and the only source of README.md."
import json, os, re, runpy, shutil, subprocess, sys
from pathlib import Path
import pytest
from conftest import forked, forks
from hub import running

root = Path(__file__).parent.parent
notebooks = sorted((root/'nbs').glob('*.ipynb')) + sorted((root/'examples').glob('*.ipynb'))
source = lambda c: ''.join(c['source'])

@pytest.mark.parametrize('path', notebooks, ids=lambda p: p.name)
def test_clean(path):
    nb = json.loads(path.read_text())
    assert 'widgets' not in nb['metadata'], 'saved widget state'
    assert all('id' in c for c in nb['cells']), 'cells without ids: run nbdev-clean'
    for c in nb['cells']:
        assert not re.search(r'^(<<<<<<<|>>>>>>>)', source(c), re.M), 'a merge marker'
        assert not any(o['output_type']=='error' for o in c.get('outputs', [])), f'a stored error in {source(c)[:60]!r}'

rooms = {p.stem.split('_', 1)[1]: p for p in notebooks if p.name[0].isdigit()}

def imported(path):
    "The rooms that a notebook imports."
    code = [source(c) for c in json.loads(path.read_text())['cells'] if c['cell_type']=='code']
    return {name for o in code for name in re.findall(r'from music_transformer\.(\w+) import', o)}

def chapter(name): return int(rooms[name].name[:2]) if name!='files' else -1

@pytest.mark.parametrize('name', rooms)
def test_imports_only_lower_chapters(name):
    for o in imported(rooms[name]): assert chapter(o)<=chapter(name), f'{name} imports {o}'

def test_no_circle():
    below = {name: {o for o in imported(path) if o!=name} for name,path in rooms.items()}
    while below:
        free = [k for k,o in below.items() if not o & below.keys()]
        assert free, f'these import each other: {", ".join(below)}'
        for k in free: del below[k]

@pytest.mark.parametrize('path', [p for p in notebooks if p.name[0].isdigit()], ids=lambda p: p.name)
def test_no_exported_cell_is_long(path):
    for c in json.loads(path.read_text())['cells']:
        if c['cell_type']=='code' and re.search(r'^#\| *export', source(c), re.M):
            _,first,*rest = source(c).splitlines()
            n = len(rest)+2
            assert n<=40, f'{path.name}: a cell of {n} lines, from {first}'

def test_readme_is_the_index(tmp_path):
    r = subprocess.run([sys.executable, '-m', 'jupyter', 'nbconvert', '--log-level', 'WARN', '--to', 'markdown', '--output-dir', tmp_path,
                        '--output', 'README', root/'nbs/index.ipynb'], capture_output=True, text=True)
    assert r.returncode==0, r.stderr
    assert (root/'README.md').read_text()==(tmp_path/'README.md').read_text().replace('(../', '('), 'run make readme'

def test_readme_links_are_there():
    for link in re.findall(r'\]\(([^)#]+)\)', (root/'README.md').read_text()):
        if '://' not in link: assert (root/link).exists(), link

def test_readme_code_runs(tmp_path):
    "The library in a few lines, exactly as the README shows it."
    code = re.search(r'```python\n(.*?)```', (root/'README.md').read_text(), re.S)[1]
    r = subprocess.run([sys.executable, '-c', code.replace('seconds=20', 'seconds=2, tails=1').replace('examples/', f'{root}/examples/')+"\nassert len(sound) and mt.decode(ids)"], cwd=tmp_path, capture_output=True, text=True)
    assert r.returncode==0, r.stderr

how = json.loads((root/'examples/how_do_i.ipynb').read_text())['cells']
programs = [source(c) for c in how if c['cell_type']=='code' and not source(c).startswith('#| hide')]

def program(path, folder, env):
    "In a child that has loaded what all of them load: run a program there."
    os.chdir(folder); os.environ.update(env)
    runpy.run_path(path, run_name='__main__')

def test_how_do_i(tmp_path):
    "The eleven programs, one after another, each in a process of its own that knows nothing of the others but their files."
    assert len(programs)==11
    shutil.copy(root/'examples/prelude.mid', tmp_path/'my.mid')
    (tmp_path/'my_midi').mkdir()                                   # short pieces: evaluated four times
    for o in (root/'examples/run/samples').glob('*.mid'): shutil.copy(o, tmp_path/'my_midi')
    with running() as hub:
        env = os.environ | dict(PYTHONPATH=str(root), MPLBACKEND='agg', IN_TEST='1', HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path/'hf'), HF_TOKEN=hub.token)
        assert 'seconds=6, seed=range(1, 11)' in programs[0]
        programs[0] = programs[0].replace('seconds=6, seed=range(1, 11)', 'seconds=2, seed=range(1, 11), tails=1')
        for i,text in enumerate(programs):
            (tmp_path/f'program{i}.py').write_text(text)
            if forks and 'your-name' not in text:                  # the hub's address is read when its library is loaded
                forked(program, f'program{i}.py', tmp_path, env)
                continue
            r = subprocess.run([sys.executable, f'program{i}.py'], cwd=tmp_path, env=env, capture_output=True, text=True)
            assert r.returncode==0, text+r.stderr
    from music_transformer.data import read_midi
    from music_transformer.training import read_metrics
    assert all(len(read_midi(tmp_path/f'composed/piece-{i}.mid')) for i in range(1, 11))
    assert read_midi(tmp_path/'continued.mid').seconds>read_midi(tmp_path/'my.mid').seconds+3
    assert len(read_midi(tmp_path/'filled.mid'))>30 and len(read_midi(tmp_path/'accompanied.mid'))>9
    assert (tmp_path/'my.mp3').stat().st_size>50_000 and (tmp_path/'my.png').read_bytes()[1:4]==b'PNG'
    assert read_metrics(tmp_path/'mine')[-1]['step']==3
    sent = hub.files('your-name/your-model')
    best = next((tmp_path/'mine/best').glob('*.safetensors'))
    assert hub.repos['your-name/your-model']['private'] and sent[best.name]==best.read_bytes()
    assert 'my-pieces' in sent['README.md'].decode() and 'nats per token' in sent['README.md'].decode()
