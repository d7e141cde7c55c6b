import multiprocessing, os, shutil, tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
import pytest

chromium = next(filter(None, map(shutil.which, ('chromium','chromium-browser','google-chrome'))), None)
flags = ['--no-sandbox','--disable-gpu','--disable-background-networking','--disable-component-update','--disable-sync','--no-first-run',
         '--autoplay-policy=no-user-gesture-required']

longest = 'test_cli test_site test_generation test_training test_notebooks test_engine test_studio test_model test_data test_sound test_processor test_report test_package'.split()

def pytest_collection_modifyitems(items):
    "The longest files first, so that none is left to the end."
    items.sort(key=lambda o: longest.index(o.path.stem) if o.path.stem in longest else len(longest))

@pytest.fixture(scope='module')
def browser(request):
    "Chromium, without a window; with the `flags` of the tests' own file, if it has some."
    if not chromium: pytest.skip('no chromium on this machine (apt-get install chromium)')
    sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed (pip install playwright)')
    with sync_api.sync_playwright() as pw:
        b = pw.chromium.launch(executable_path=chromium, args=getattr(request.module, 'flags', flags))
        yield b
        b.close()

@pytest.fixture
def public():
    "A folder in which anyone may write; pytest's own are closed to others."
    with tempfile.TemporaryDirectory() as d: os.chmod(d, 0o777); yield Path(d)

forks = None
if os.name=='posix':
    forks = multiprocessing.get_context('forkserver')           # children of a process that has done its imports
    forks.set_forkserver_preload(['torch.utils.tensorboard', 'torch._dynamo', 'matplotlib.figure', 'pytest',
                                  *(f'music_transformer.{o}' for o in ('training', 'generation', 'given', 'sound', 'playback'))])

def forked(f, *args):
    "What `f` answers in such a child."
    with ProcessPoolExecutor(1, forks) as one: return one.submit(f, *args).result()

def in_child(f):
    "Run `f` in a fork; its exit status, negative for a signal."
    pid = os.fork()
    if not pid:
        try: f(); code = 0
        except BaseException:
            import traceback; traceback.print_exc(); code = 1
        finally: os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
