"What a person does with the player, in a real browser: play, seek, pause, on a desk and on a phone."
import base64, json, os, re
from dataclasses import replace
from pathlib import Path
import numpy as np, pytest
from conftest import chromium

pytestmark = pytest.mark.skipif(not chromium, reason='no chromium on this machine (apt-get install chromium)')

from music_transformer.data import Performance
from music_transformer import playback
from music_transformer.midi import write_midi
from music_transformer.playback import beside, compare, player
from music_transformer.sound import _small

SECONDS = 8.  # of notes; two more for the last one to fade
piece = Performance([(i*.5, i*.5+.5, 48+5*i%36, 30+5*i) for i in range(16)], title='a <test> & "piece"')

@pytest.fixture(scope='module')
def html():
    old = os.environ.get('SOUNDFONT'); os.environ['SOUNDFONT'] = str(_small)
    body = player(piece) + compare([piece, replace(piece, info=dict(new_from=4.))], ['first','second']).data + player(Performance([], title='nothing'))
    if old is None: del os.environ['SOUNDFONT']
    else: os.environ['SOUNDFONT'] = old
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"><body style="margin:8px">{body}'

@pytest.fixture
def page(browser, html, tmp_path, request):
    (tmp_path/'page.html').write_text(html, encoding='utf-8')
    context = browser.new_context(**getattr(request, 'param', dict(viewport=dict(width=1000, height=1400))))
    page = context.new_page()
    page.complaints,page.visits = [],[]
    page.on('console', lambda m: page.complaints.append(m.text) if m.type in ('error','warning') else None)
    page.on('pageerror', lambda e: page.complaints.append(str(e)))
    page.on('request', lambda r: page.visits.append(r.url[:40]))
    page.goto((tmp_path/'page.html').as_uri())
    yield page
    assert not page.complaints
    assert not [o for o in page.visits if not o.startswith(('file:','data:'))]
    context.close()

def audio(page, i, what): return page.evaluate(f'document.querySelectorAll(".mt-player audio")[{i}].{what}')
def ready(page): page.wait_for_function('[...document.querySelectorAll(".mt-player audio")].every(o => o.readyState>0)')
def field(page, i): return page.locator('.mt-roll').nth(i).locator('> div').bounding_box()
def until(page, i, what): page.wait_for_function(f'(o => {what})(document.querySelectorAll(".mt-player audio")[{i}])')

def test_sound_is_as_long_as_the_music(page):
    ready(page)
    for i in range(3): assert audio(page, i, 'duration') == pytest.approx(SECONDS+2, abs=.08)
    assert page.locator('.mt-time').first.text_content() == '0:00 / 0:10'
    assert page.locator('.mt-player').count() == 4 and page.locator('.mt-player audio').count() == 3
    assert 'no notes' in page.locator('.mt-player').nth(3).text_content()
    assert page.locator('.mt-title').first.text_content() == piece.title

def test_button_plays_and_the_playhead_follows(page):
    ready(page)
    button = page.locator('.mt-play').first
    assert button.get_attribute('aria-label') == 'Play'
    button.click()
    until(page, 0, 'o.currentTime>.7')
    assert button.get_attribute('aria-label') == 'Pause'
    button.click()
    until(page, 0, 'o.paused')
    page.wait_for_timeout(100)
    at,b = audio(page, 0, 'currentTime'),field(page, 0)
    head = page.locator('.mt-now').first.bounding_box()
    assert (head['x']+head['width']/2-b['x'])/b['width']*(SECONDS+2) == pytest.approx(at, abs=.05)
    assert button.get_attribute('aria-label') == 'Play'

def test_it_ends(page):
    ready(page)
    audio(page, 0, 'currentTime=9.5')
    page.locator('.mt-play').first.click()
    until(page, 0, 'o.ended')
    page.wait_for_timeout(100)
    assert page.locator('.mt-play').first.get_attribute('aria-label') == 'Play'
    page.locator('.mt-play').first.click()
    until(page, 0, '!o.paused && o.currentTime<3')

def test_click_and_drag_seek(page):
    ready(page)
    b = field(page, 0)
    page.mouse.click(b['x']+b['width']*.6, b['y']+40)
    assert audio(page, 0, 'currentTime') == pytest.approx(6, abs=.05)
    page.mouse.move(b['x']+b['width']*.2, b['y']+40); page.mouse.down()
    page.mouse.move(b['x']+b['width']*.45, b['y']+60); page.mouse.up()
    assert audio(page, 0, 'currentTime') == pytest.approx(4.5, abs=.05)
    page.mouse.move(b['x']+b['width']*.9, b['y']+60)
    assert audio(page, 0, 'currentTime') == pytest.approx(4.5, abs=.05)
    assert page.locator('.mt-roll').first.get_attribute('aria-valuetext') == '0:04 of 0:10'

def test_keys(page):
    ready(page)
    page.locator('.mt-roll').first.focus()
    page.keyboard.press(' '); until(page, 0, '!o.paused')
    page.keyboard.press(' '); until(page, 0, 'o.paused')
    page.keyboard.press('Home'); assert audio(page, 0, 'currentTime') == 0
    page.keyboard.press('ArrowRight'); assert audio(page, 0, 'currentTime') == pytest.approx(5, abs=.01)
    page.keyboard.press('ArrowLeft'); assert audio(page, 0, 'currentTime') == 0
    page.locator('.mt-play').first.focus()
    page.keyboard.press(' '); until(page, 0, '!o.paused')       # once, not twice
    page.wait_for_timeout(150); assert not audio(page, 0, 'paused')
    page.keyboard.press(' '); until(page, 0, 'o.paused')

def test_one_at_a_time(page):
    ready(page)
    for i in (0,1,2,0):
        page.locator('.mt-play').nth(i).click()
        until(page, i, '!o.paused')
        for j in {0,1,2}-{i}: until(page, j, 'o.paused')

def test_script_may_run_again(page):
    ready(page)
    page.evaluate('eval(document.querySelector(".mt-player script").textContent)')
    page.locator('.mt-play').first.click()
    until(page, 0, '!o.paused')

def test_arrives_later_as_in_jupyter(page, html):
    ready(page)
    page.evaluate('''h => { // what JupyterLab does with an HTML output: innerHTML, then each script made anew
      const host = document.createElement('div'); host.innerHTML = h; document.body.prepend(host)
      for (const old of host.querySelectorAll('script')) { const s = document.createElement('script'); s.textContent = old.textContent; old.replaceWith(s) } }''',
      player(piece, _small))
    ready(page)
    page.locator('.mt-play').first.click()
    until(page, 0, '!o.paused && o.currentTime>.2')

def test_downloads(page):
    ready(page)
    for i,(name,head) in enumerate((('a-test-piece.mid',b'MThd'), ('a-test-piece.mp3',b''))):
        with page.expect_download() as d: page.locator('.mt-links').first.locator('a').nth(i).click()
        assert d.value.suggested_filename == name
        with open(d.value.path(), 'rb') as f: assert f.read(4).startswith(head)

def test_the_midi_is_that_of_write_midi(page, tmp_path):
    odd = Performance([(0,2,60,64), (1,3,60,64), (4,4,64,64), (5,6,64,64)])   # one overlaps the next, one has no length
    letters = re.search('data:audio/midi;base64,([^"]+)', player(odd)).group(1)
    assert base64.b64decode(letters)==write_midi(odd, tmp_path/'a.mid').read_bytes()

def test_a_long_piece_with_given_notes(monkeypatch):
    "Of which a player shows the beginning."
    monkeypatch.setattr(playback, '_longest', 4)
    monkeypatch.setattr(playback, '_full', 2)
    p = replace(piece, info=dict(new=np.arange(len(piece))%2==0))
    assert 'The first 0:04 of 0:' in player(p)

def test_what_comes_back_is_drawn_and_named(page):
    "An arc from the place that is taken up to where it returns; one right note alone may be chance."
    returns = [dict(when=4., since=1., played=6, right=5), dict(when=6., since=0., played=6, right=1)]
    page.set_content(player(replace(piece, info=dict(returns=returns)), _small))
    ready(page)
    arc,= page.get_by_role('img', name='At 0:04 it takes up 0:01').all()
    assert page.locator('.mt-returns g').count()==1 and page.get_by_text('what comes back').is_visible()
    found,b = arc.locator('.mt-arc').bounding_box(),field(page, 0)
    second = b['width']/(SECONDS+2)
    assert found['x']-b['x'] == pytest.approx(second, abs=4) and found['width'] == pytest.approx(3*second, abs=8)
    assert found['y']+found['height'] <= b['y']

def test_the_lesson_shows_the_script_as_it_is():
    cells = json.loads((Path(__file__).parent.parent/'nbs/05_playback.ipynb').read_text(encoding='utf-8'))['cells']
    shown = [''.join(o['data']['text/markdown']) for c in cells for o in c.get('outputs', []) if 'text/markdown' in o.get('data', {})]
    assert len(shown)==2
    for o in shown: assert o.removeprefix('```js\n').removesuffix('\n```') in beside('player.js')

phone = dict(viewport=dict(width=320, height=700), has_touch=True, is_mobile=True, device_scale_factor=2)
@pytest.mark.parametrize('page', [phone, {**phone, 'color_scheme':'dark'}], indirect=True)
def test_on_a_phone(page):
    ready(page)
    assert page.evaluate('document.documentElement.scrollWidth') <= 320
    b = field(page, 0)
    page.touchscreen.tap(b['x']+b['width']*.5, b['y']+30)
    assert audio(page, 0, 'currentTime') == pytest.approx(5, abs=.1)
    page.locator('.mt-play').first.tap()
    until(page, 0, '!o.paused')
    size = page.locator('.mt-play').first.bounding_box()
    assert min(size['width'], size['height']) >= 44

@pytest.mark.parametrize('page', [dict(java_script_enabled=False, viewport=dict(width=700, height=700))], indirect=True)
def test_without_scripts(page):
    one = page.locator('.mt-player').first
    assert one.locator('svg[role=img] path').first.is_visible() and one.locator('audio').is_visible()
    assert not one.locator('.mt-play').is_visible() and not one.locator('.mt-now').is_visible()
    assert one.get_by_text('MIDI').is_visible() and not one.get_by_text('MP3').is_visible()
