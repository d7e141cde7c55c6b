"The site as a visitor meets it: built once, then every page opened in a real browser, on a desk and on a phone."
import functools, http.server, os, re, subprocess, sys, threading
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin
import pytest

for o in ('sphinx', 'myst_nb', 'furo', 'latex2mathml'):                        # found, not loaded: that is for the site's own process
    if not find_spec(o): pytest.skip(f'{o} is not installed (pip install .[docs])', allow_module_level=True)
root = Path(__file__).parent.parent
desk,phone = dict(viewport=dict(width=1280, height=900)),dict(viewport=dict(width=360, height=740), is_mobile=True, has_touch=True, color_scheme='dark')

@pytest.fixture(scope='session')
def site(tmp_path_factory):
    d = tmp_path_factory.mktemp('site')
    env = {**os.environ, 'PYTHONPATH': f'{root}{os.pathsep}{os.environ.get("PYTHONPATH","")}'}
    for args in ([root/'docs/pages.py', d/'pages'], ['-m','sphinx','-q','-W','--keep-going','-c',root/'docs',d/'pages',d/'html']):
        r = subprocess.run([sys.executable, *map(str, args)], cwd=root, env=env, capture_output=True, text=True)
        assert r.returncode==0, r.stderr[-3000:]
    return d/'html'

@pytest.fixture(scope='session')
def address(site):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *a): pass
    server = http.server.ThreadingHTTPServer(('127.0.0.1',0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}/'
    server.shutdown()

def pages(site): return sorted(o.relative_to(site).as_posix() for o in site.rglob('*.html') if '_static' not in o.parts)

def test_every_notebook_is_a_page_with_its_number(site):
    for f in (root/'nbs').glob('[0-9]*.ipynb'):
        number,name = f.stem.split('_', 1)
        assert re.search(rf'<h1>{number} {name}<', (site/f'{name}.html').read_text()), f.name
    for f in (root/'examples').glob('*.ipynb'): assert (site/f'{f.stem}.html').exists(), f.name
    assert '<h1>The studio<' in (site/'the-studio.html').read_text()           # the example; its lesson has the shorter name

def test_what_a_module_exports_is_documented(site):
    for f in (root/'music_transformer').glob('[a-z]*.py'):
        if not (found:=re.search(r'^__all__ = (\[.*?\])', f.read_text(), re.M|re.S)): continue
        there = ''.join(o.read_text() for o in [site/f'{f.stem}.html', site/'sound.html', site/'benchmark.html'])
        for name in re.findall(r"^(?:def|class) ([a-zA-Z]\w*)", f.read_text(), re.M):
            if repr(name) in found[1]: assert f'id="music_transformer.{f.stem}.{name}"' in there, f'{f.stem}.{name}'

def test_an_entry_is_readable(site):
    text = re.sub(r'<[^>]+>', '', (site/'playback.html').read_text())
    assert re.search(r'player\(p: Performance, soundfont: str \| Path = None', text) and '[source]' in text
    assert 'an MP3 of it, if there is one' in text                              # the comment beside an argument
    assert (site/'_modules/music_transformer/playback.html').exists()
    assert 'id="Studio.compose"' in (site/'_modules/music_transformer/studio.html').read_text()   # methods added by `@patch` too

def test_the_report_folds_its_code(site):
    text = (site/'report.html').read_text()
    assert text.count('<details class="admonition hide')==text.count('cell_input')>10
    assert '<p>|' not in text and '<th class="head"><p>event' in text          # a table that a cell returns is a table

def test_formulas_need_no_network(site):
    text = (site/'model.html').read_text()
    assert '<math' in text and r'\frac' not in text and not re.search('<script[^>]*(mathjax|katex)', text, re.I)

def test_every_inner_link_resolves(site):
    ids = {p: set(re.findall(r'\bid="([^"]+)"', (site/p).read_text())) for p in pages(site)}
    for p in pages(site):
        for link in re.findall(r'(?:href|src)="([^"]+)"', re.sub(r'data:[\w/+;,-]*[^"]*', '', (site/p).read_text())):
            if not link or '<' in link or re.match(r'[a-z]+:', link): continue   # (a link in a program that is shown is none)
            to,part = urldefrag(link.replace('&amp;', '&'))
            there = urljoin(p, unquote(to).split('?')[0]) if to else p
            assert (site/there).is_file(), f'{p}: {link}'
            if part and there in ids: assert unquote(part) in ids[there], f'{p}: {link}'
        assert 'music-transformer.github.io' not in re.sub(r'<code.*?</code>|<pre.*?</pre>', '', (site/p).read_text(), flags=re.S), f'{p} leads away to the site it is'

def test_search_knows_functions_and_words(site):
    index = (site/'searchindex.js').read_text()
    for word in ('render','soundfont','attend'): assert f'"{word}"' in index, word

@pytest.mark.parametrize('device', [desk, phone], ids=['desk','phone'])
def test_every_page_in_a_browser(site, address, browser, device):
    "It asks for nothing from elsewhere, says nothing to the console, and fits; a sound is one. On a phone a small figure is no larger than it is, and printed lines wrap."
    context,small = browser.new_context(**device),0
    for p in pages(site):
        page,wrong = context.new_page(),[]
        page.on('console', lambda m: wrong.append(m.text) if m.type in ('error','warning') else None)
        page.on('pageerror', lambda e: wrong.append(str(e)))
        page.on('request', lambda r: r.url.startswith((address,'data:','blob:')) or wrong.append(f'asks {r.url[:80]}'))
        page.goto(address+p)
        if device is desk: page.wait_for_function('[...document.querySelectorAll("audio")].every(o => o.duration>0)', timeout=60_000)
        else: small += figures_on_a_phone(page, p)
        assert not wrong, (p, wrong)
        assert page.evaluate('document.documentElement.scrollWidth')<=device['viewport']['width'], f'{p} is wider than the screen'
        assert page.evaluate('[...document.images].every(o => o.naturalWidth>0)'), f'{p}: a picture is missing'
        page.close()
    context.close()
    assert small>=5 or device is desk

def figures_on_a_phone(page, name):
    widths = page.evaluate("""[...document.querySelectorAll('div.cell:not(.tag_wide) div.cell_output > img')]
        .map(o => [o.getBoundingClientRect().width, o.naturalWidth, o.parentElement.clientWidth])""")
    assert all(shown<=min(natural, room)+1 for shown,natural,room in widths), (name, widths)
    lines = page.evaluate("[...document.querySelectorAll('div.cell_output pre')].filter(o => o.scrollWidth>o.clientWidth+1).map(o => o.textContent)")
    assert not lines, (name, lines)
    return len(widths)

@pytest.mark.parametrize('device', [desk, phone], ids=['desk','phone'])
def test_a_piece_within_one_click(address, browser, device):
    page = browser.new_page(**device)
    page.goto(address)
    button = page.locator('.mt-play').first
    box = button.bounding_box()
    assert box['y']+box['height']<device['viewport']['height'], 'one has to scroll to it'
    button.click()
    page.wait_for_function('document.querySelector("audio").currentTime>.5')
    page.close()

@pytest.mark.parametrize('words', ['fine-tune', 'fine tune', 'How do I', 'resume a run', 'push hub'])
def test_search_finds_what_people_ask(address, browser, words):
    tab = browser.new_page(**desk)
    tab.goto(f'{address}search.html?q={words.replace(" ", "+")}')
    tab.locator('ul.search a[href^="how_do_i.html"]').first.wait_for(timeout=60_000)
    tab.close()

def test_what_nbdev_is_told_is_not_shown(site):
    for p in site.glob('*.html'): assert '#| ' not in re.sub(r'<[^>]+>', '', re.sub(r'<p>.*?</p>|<code.*?</code>', '', p.read_text(), flags=re.S)), p.name

def test_search_in_a_browser(address, browser):
    page = browser.new_page(**desk)
    page.goto(address+'search.html?q=render')
    page.get_by_text('Python function, in').first.wait_for(timeout=60_000)
    page.close()
