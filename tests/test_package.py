"What is handed out: the sdist and the wheel as built from what git holds, and the workflows that hand them out."
import os, re, shutil, subprocess, sys, zipfile
from email import message_from_string
from pathlib import Path
import pytest, yaml

root = Path(__file__).parent.parent
silent = '''
import socket
def connect(*a): raise OSError('there is no network in this test')
socket.socket.connect = connect
''' # in a sitecustomize.py: whoever asks the network fails

def held():
    "The files that git holds, and new ones that it does not ignore."
    r = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'], cwd=root, capture_output=True, text=True)
    if r.returncode: pytest.skip('this is no clone: git lists no files')
    return [o for o in r.stdout.splitlines() if (root/o).is_file()]

@pytest.fixture(scope='module')
def built(tmp_path_factory):
    "A folder with the sdist and, built from it, the wheel."
    d = tmp_path_factory.mktemp('built')
    for o in held():
        if Path(o).suffix=='.mp3' or 'weights' in o: continue          # heavy, and in neither
        (d/'clone'/o).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root/o, d/'clone'/o)
    r = subprocess.run([sys.executable, '-m', 'build', '--no-isolation', '--outdir', d/'dist'], cwd=d/'clone', capture_output=True, text=True)
    assert r.returncode==0, r.stderr
    return d

def wheel(built):
    [path] = (built/'dist').glob('*.whl')
    return zipfile.ZipFile(path)

def test_the_wheel_holds_the_package(built):
    inside = {o for o in wheel(built).namelist() if o.startswith('music_transformer/')}
    assert inside=={o for o in held() if o.startswith('music_transformer/')}

def test_the_metadata(built):
    z = wheel(built)
    [name] = [o for o in z.namelist() if o.endswith('dist-info/METADATA')]
    about = message_from_string(z.read(name).decode())
    assert about['License-Expression']=='Apache-2.0 AND CC-BY-NC-SA-4.0'
    texts = {o: z.read(f'{Path(name).parent}/licenses/{o}').decode() for o in about.get_all('License-File')}
    assert 'Apache License' in texts['LICENSE'] and 'NonCommercial' in texts['music_transformer/pretrained/LICENSE']
    assert set(about.get_all('Provides-Extra'))=={'dev','docs','miditok'} and about['Requires-Python']=='>=3.11'
    wanted = [o for o in about.get_all('Requires-Dist') if 'extra' not in o]
    for o in 'torch','pretty_midi','huggingface_hub': assert any(w.startswith(o) for w in wanted)
    assert not any('miditok' in o for o in wanted)
    text = about.get_payload()
    links = re.findall(r'\]\(([^)]+)\)', text)
    assert links and all(o.startswith(('https://','#')) for o in links), 'a link of the README that leads nowhere else'

def test_it_composes_where_nothing_else_of_ours_is(built, tmp_path):
    "The wheel unpacked, in an empty folder, without a network."
    wheel(built).extractall(tmp_path/'site')
    (tmp_path/'site/sitecustomize.py').write_text(silent)
    env = {k: v for k,v in os.environ.items() if k!='PYTHONPATH'} | dict(PYTHONPATH=str(tmp_path/'site'), MPLBACKEND='agg')
    words = [sys.executable, '-m', 'music_transformer', 'compose', '--seconds', '2', '--tails', '1', '--out', 'out']
    r = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert r.returncode==0, r.stderr
    assert sorted(o.suffix for o in (tmp_path/'out').iterdir())==['.mid','.mp3','.png']
    ask = 'import music_transformer as m, urllib.request as u; print(m.__file__, m.__version__); u.urlopen("http://127.0.0.1:9")'
    r = subprocess.run([sys.executable, '-c', ask], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert str(tmp_path/'site') in r.stdout and 'there is no network in this test' in r.stderr

def test_the_notebooks_of_the_sdist_are_the_source(built, tmp_path):
    [path] = (built/'dist').glob('*.tar.gz')
    shutil.unpack_archive(path, tmp_path)
    [d] = tmp_path.iterdir()
    modules = {o.name: o.read_bytes() for o in (d/'music_transformer').glob('*.py')}
    for o in (d/'music_transformer').glob('*.py'):
        if o.name not in ('__init__.py','__main__.py'): o.unlink()
    r = subprocess.run([Path(sys.executable).parent/'nbdev-export'], cwd=d, capture_output=True, text=True, env={k: v for k,v in os.environ.items() if k!='IN_TEST'})
    assert r.returncode==0, r.stderr
    again = {o.name: o.read_bytes() for o in (d/'music_transformer').glob('*.py')}
    assert again==modules and len(modules)>25
    for o in 'constraints.txt','Makefile','tests/test_package.py','examples/prelude.mid': assert (d/o).exists(), o

flows = {o.stem: yaml.safe_load(o.read_text()) for o in (root/'.github/workflows').glob('*.yml')}
def steps(job): return [str(o.get('run', o.get('uses'))) for o in job['steps']]

def test_the_workflows():
    assert set(flows)=={'ci','tests','release'}
    for name,flow in flows.items():
        assert flow[True] and flow['permissions']=={'contents': 'read'}, name        # yaml reads the word `on` as True
        for k,job in flow['jobs'].items():
            assert job['timeout-minutes'] and job['runs-on'], (name, k)
            for o in job['steps']: assert 'run' in o or re.fullmatch(r'[\w-]+/[\w/-]+@\w[\w.-]*(/\w+)?', o['uses']), o
            needs = job.get('needs', [])
            assert set([needs] if isinstance(needs, str) else needs)<=set(flow['jobs'])

def test_every_system_and_python_is_tested():
    job = flows['tests']['jobs']['test']
    assert job['strategy']['matrix']==dict(os=['ubuntu-latest','macos-latest','windows-latest'], python=['3.11','3.12','3.13','3.14'])
    assert job['runs-on']=='${{ matrix.os }}'
    said = ' '.join(steps(job))
    assert 'constraints.txt' in said and 'nbdev-test' in said and 'pytest' in said

def test_a_release_comes_from_a_tag_and_no_secret():
    flow = flows['release']
    assert flow[True]=={'push': {'tags': ['v*']}}
    build,publish = (flow['jobs'][o] for o in ('build','publish'))
    assert any('python -m build' in o for o in steps(build))
    assert publish['permissions']=={'id-token': 'write'} and publish['needs']=='build'
    assert any(o.startswith('pypa/gh-action-pypi-publish@') for o in steps(publish))
    for path in (root/'.github/workflows').glob('*.yml'): assert 'secrets.' not in path.read_text()

def test_a_tag_must_be_the_version(tmp_path):
    "The step that looks is run, with the right tag and with a wrong one."
    [look] = [o['run'] for o in flows['release']['jobs']['build']['steps'] if o.get('name')=='the tag is the version']
    version = re.search(r'^version = (.+)$', (root/'settings.ini').read_text(), re.M)[1]
    for tag,code in ((f'v{version}', 0), ('v9.9.9', 1)):
        r = subprocess.run(['sh', '-ec', look], cwd=root, env=os.environ|dict(GITHUB_REF_NAME=tag), capture_output=True)
        assert r.returncode==code, r.stderr

def test_what_never_ran_is_said():
    text = (root/'CONTRIBUTING.md').read_text()
    for name in flows: assert f'`{name}.yml`' in text
    assert 'never run' in text
