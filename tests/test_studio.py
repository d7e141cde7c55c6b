"The studio in a real JupyterLab: open the notebook, run all, press the button, wait for sound."
import json, os, shutil, socket, subprocess, sys, time, urllib.request
from pathlib import Path
import pytest

sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed (pip install playwright)')
pytest.importorskip('jupyterlab', reason='jupyterlab is not installed (pip install .[dev])')
from test_player import chromium, flags
from music_transformer.studio import studio
pytestmark = pytest.mark.skipif(not chromium, reason='no chromium on this machine (apt-get install chromium)')
root = Path(__file__).parent.parent

@pytest.fixture(scope='module')
def lab(tmp_path_factory):
    d = tmp_path_factory.mktemp('lab')
    work = d/'examples'; work.mkdir()
    for name in ('studio.ipynb','prelude.mid'): shutil.copy(root/'examples'/name, work)
    with socket.socket() as s: s.bind(('127.0.0.1',0)); port = s.getsockname()[1]
    env = {k:v for k,v in os.environ.items() if k!='IN_TEST'} | dict(PYTHONPATH=f'{root}{os.pathsep}{os.environ.get("PYTHONPATH","")}', OMP_NUM_THREADS='1',
        **{f'JUPYTER_{k}_DIR': str(d/k.lower()) for k in ('CONFIG','DATA','RUNTIME')}, IPYTHONDIR=str(d/'ipython'))
    server = subprocess.Popen([sys.executable, '-m','jupyterlab','--no-browser','--allow-root','--ip=127.0.0.1',f'--port={port}','--IdentityProvider.token=t',
        f'--ServerApp.root_dir={work}', '--LabApp.news_url=', '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate'],
        env=env, stdout=open(d/'log','w'), stderr=subprocess.STDOUT)
    try:
        for _ in range(300):
            try: urllib.request.urlopen(f'http://127.0.0.1:{port}/api?token=t', timeout=1); break
            except OSError: time.sleep(.25)
        else: pytest.fail((d/'log').read_text()[-2000:])
        yield f'http://127.0.0.1:{port}/lab/tree/studio.ipynb?token=t', work
    finally:
        server.terminate()
        try: server.wait(10)
        except subprocess.TimeoutExpired: server.kill()

@pytest.fixture
def page(lab):
    with sync_api.sync_playwright() as pw:
        browser = pw.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport=dict(width=1400, height=1800))
        page.set_default_timeout(100_000)
        page.errors = []
        page.on('pageerror', lambda e: page.errors.append(str(e)))
        page.goto(lab[0])
        page.locator('.jp-Notebook').wait_for()
        yield page
        browser.close()

def test_the_stored_studio_is_the_one_that_comes(monkeypatch):
    "A take is in it, and its settings are the defaults."
    monkeypatch.setenv('IN_TEST', '1')
    monkeypatch.chdir(root/'examples')
    nb = json.loads((root/'examples/studio.ipynb').read_text(encoding='utf-8'))
    [stored] = [''.join(o['data']['text/html']) for c in nb['cells'] for o in c.get('outputs', []) if 'mt-compare' in ''.join(o['data'].get('text/html', ''))]
    assert stored.split('</table>')[0]==studio().picture().split('</table>')[0]
    assert 'Take A' in stored and 'mt-player' in stored

def test_the_studio_is_still_found_at_its_old_place():
    from music_transformer import playback
    assert playback.studio is playback.Studio is studio

def number(page, name, value):
    "Set a slider by the number beside it."
    o = page.locator('.widget-hslider', has=page.get_by_text(name, exact=True)).locator('.widget-readout')
    o.click(); page.keyboard.press('Control+A'); page.keyboard.type(str(value)); page.keyboard.press('Enter')

def run_all(page, ready):
    "Run every cell until `ready` is seen. JupyterLab may ask something first (which kernel?), and what is run before the kernel listens is lost."
    accept = page.locator('.jp-Dialog .jp-mod-accept')
    for i in range(100):
        if ready.is_visible(): return
        try:
            if accept.count(): accept.first.click(timeout=2000)
            elif i%10==0:
                for name in ('Run','Run All Cells'): page.get_by_role('menuitem', name=name, exact=True).click(timeout=2000)
        except sync_api.TimeoutError: page.keyboard.press('Escape')            # a question came up over the menu: the next round answers it
        page.wait_for_timeout(500)
    pytest.fail(f'the studio did not come up; on the page: {page.locator("body").inner_text()[-1000:]}')

def test_press_the_button_and_hear(page, lab):
    said = lambda text: page.locator('.widget-label', has_text=text).first.wait_for()
    button = lambda name,i=0: page.locator('.jupyter-button', has_text=name).nth(i)
    run_all(page, button('Compose'))
    page.locator('select:has(option:text("prelude"))').select_option('prelude')
    number(page, 'seconds of music', 5)
    button('Compose').click()
    said('Take A:')
    handles = page.locator('.noUi-handle')
    names = [handles.nth(i).get_attribute('aria-label') for i in range(handles.count())]
    assert names==['its first seconds','seconds of music','temperature','top-p']
    null = page.locator('.mt-studio [title="null"], .mt-studio [aria-label="null"]')
    assert not [null.nth(i).evaluate('o => o.outerHTML') for i in range(null.count())]
    page.wait_for_function('document.querySelector(".mt-player audio")?.duration>5')
    page.locator('.mt-play').first.click()
    page.wait_for_function('document.querySelector(".mt-player audio").currentTime>.3')
    button('Save').click()
    said('Saved')
    assert {o.suffix for o in (lab[1]/'takes').iterdir()}=={'.mid','.mp3','.png'}
    button('Keep').click()
    number(page, 'seconds of music', 300)
    button('Compose').click()
    said('composed')
    button('Stop').click()
    said('; stopped')
    number(page, 'seconds of music', 5)
    button('Compose').click()
    said('Take B:')
    page.wait_for_function('document.querySelectorAll(".mt-player audio").length==2')
    assert not page.errors
    assert page.locator('[data-mime-type="application/vnd.jupyter.stderr"], [data-mime-type="application/vnd.jupyter.error"]').count()==0
