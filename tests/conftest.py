import os, shutil, tempfile
from pathlib import Path
import pytest

chromium = next(filter(None, map(shutil.which, ('chromium','chromium-browser','google-chrome'))), None)
flags = ['--no-sandbox','--disable-gpu','--disable-background-networking','--disable-component-update','--disable-sync','--no-first-run',
         '--autoplay-policy=no-user-gesture-required']

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

def in_child(f):
    "Run `f` in a fork; its exit status, negative for a signal."
    pid = os.fork()
    if not pid:
        try: f(); code = 0
        except BaseException:
            import traceback; traceback.print_exc(); code = 1
        finally: os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
