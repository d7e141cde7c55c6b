"The studio: its page in Chromium with Python on the other side, the instrument by itself, and all of it in a real JupyterLab."
import base64, json, os, re, shutil, socket, subprocess, sys, time, urllib.request
from importlib.util import find_spec
from pathlib import Path
import pytest

sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed (pip install playwright)')
if not find_spec('jupyterlab'): pytest.skip('jupyterlab is not installed (pip install .[dev])', allow_module_level=True)
from studio_live import chromium, flags as as_a_person_has_it, open_studio, write_page
from music_transformer.data import COMPOSED, PRIMER, Performance
from music_transformer.midi import write_midi
from music_transformer.model import MusicTransformer
from music_transformer.playback import beside
from music_transformer.sound import _small, piano_samples
from music_transformer.studio import _rows, studio
pytestmark = pytest.mark.skipif(not chromium, reason='no chromium on this machine (apt-get install chromium)')
root = Path(__file__).parent.parent

flags = as_a_person_has_it # of the browser, see conftest
SHORT = dict(seconds=5)

@pytest.fixture
def page(browser):
    context = browser.new_context(viewport=dict(width=1000, height=1000))
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.complaints = []
    page.on('console', lambda m: page.complaints.append(m.text) if m.type in ('error','warning') else None)
    page.on('pageerror', lambda e: page.complaints.append(str(e)))
    yield page
    assert not page.complaints
    context.close()

@pytest.fixture(autouse=True)
def small_piano(monkeypatch, request):
    if 'lab' not in request.fixturenames: monkeypatch.setenv('SOUNDFONT', str(_small))

def button(page, name): return page.locator('.mt-actions button', has_text=name).first
def says(page, text): page.locator('.mt-said', has_text=text).wait_for()

def play_phrase(page, keys=('KeyA','KeyD','KeyG')):
    page.locator('.mt-help').click()
    for k in keys:
        page.keyboard.down(k)
        page.wait_for_timeout(120)
        page.keyboard.up(k)

# -- the stored picture, the old door

def test_the_stored_studio_is_the_one_that_comes(monkeypatch):
    "A take is in it, and its settings are the defaults."
    monkeypatch.setenv('IN_TEST', '1')
    monkeypatch.chdir(root/'examples')
    nb = json.loads((root/'examples/studio.ipynb').read_text(encoding='utf-8'))
    [stored] = [''.join(o['data']['text/html']) for c in nb['cells'] for o in c.get('outputs', []) if 'mt-compare' in ''.join(o['data'].get('text/html', ''))]
    assert stored.split('</table>')[0]==studio().picture().split('</table>')[0]
    assert 'Take 1' in stored and 'mt-player' in stored

def test_the_studio_is_still_found_at_its_old_place():
    from music_transformer import playback
    assert playback.studio is playback.Studio is studio

# -- its page, with Python on the other side

def test_a_phrase_is_answered_kept_and_found_again(page, tmp_path):
    s = studio(themes=[], out=tmp_path/'takes')
    s.set(**SHORT)
    open_studio(s, page, tmp_path)
    page.wait_for_function('panel.instrument.samples')
    assert page.evaluate('panel.instrument.samples.touches.length')==2
    play_phrase(page)
    assert page.evaluate('panel.instrument.sound.voices.size')>0
    page.keyboard.press('Enter')                                             # an answer to what was played
    page.wait_for_function('panel.list.children.length==1')
    phrase = s.made[0].piece.notes[:3]
    assert phrase['pitch'].tolist()==[60,64,67] and phrase['start'][0]==0 and len(s.made[0].piece)>3
    assert page.evaluate('panel.instrument.notes.filter(o => o.given).length')==3
    page.wait_for_function('panel.instrument.playing && panel.instrument.position>panel.instrument.notes[2].start+.2 && panel.instrument.sound.voices.size>0')
    heard = page.evaluate('panel.instrument.notes.map(o => [o.start, o.pitch])')
    assert len(heard)==len(s.made[0].piece)                                  # the page and Python have the same take
    page.locator('.mt-takes button', has_text='Keep').click()
    page.locator('.mt-takes button', has_text='WAV').click()
    says(page, 'Saved')
    assert [o.suffix for o in (tmp_path/'takes').iterdir()]==['.wav']
    again = studio(themes=[])                                                # the kernel is gone, and so is the page
    write_page(again, tmp_path/'studio.html')
    page.reload()
    page.wait_for_function('window.panel')
    [kept] = page.evaluate('panel.stored()')
    again.settle([kept])
    for k in ('start','end','pitch','velocity'): assert again.made[0].piece.notes[k]==pytest.approx(s.made[0].piece.notes[k], abs=1e-4)
    assert again.takes[0]['kept'] and again.takes[0]['about'].startswith(f'{s.made[0].piece.seconds:.0f} s')

def test_go_on_undo_and_mistakes(page, tmp_path):
    s = studio(themes=[root/'examples/prelude.mid'])
    s.set(**SHORT)
    open_studio(s, page, tmp_path)
    button(page, 'Compose').click()
    page.wait_for_function('panel.list.children.length==1 && !panel.model.get("busy")')
    page.evaluate('panel.instrument.stop(), panel.instrument.seek(2)')
    button(page, 'Continue from 0:02').click()
    page.wait_for_function('panel.list.children.length==2 && !panel.model.get("busy")')
    assert 'Take 1 continued from 2.0 s' in s.takes[1]['about']
    page.locator('.mt-help').click()
    page.keyboard.press('Backspace')
    page.wait_for_function('panel.list.children.length==1')
    button(page, 'Bring back').click()
    page.wait_for_function('panel.list.children.length==2')
    page.locator('.mt-upload input').set_input_files(dict(name='song.mid', mimeType='audio/midi', buffer=b'abc'))
    says(page, 'song is not a MIDI file')
    page.locator('.mt-seconds input').fill('1000')
    page.locator('.mt-seconds input').press('Tab')
    says(page, 'seconds must be at least 5 and at most 300')
    hears = MusicTransformer.from_pretrained().cfg.directions                # those that have not are not asked
    assert page.locator('.mt-loudness input').is_enabled()==hears
    button(page, 'Answer').click()
    says(page, 'Play a phrase first')

def test_a_lost_kernel_is_said(page, tmp_path):
    write_page(studio(themes=[]), tmp_path/'studio.html')
    page.goto((tmp_path/'studio.html').as_uri())
    says(page, 'Python does not answer')
    page.evaluate('panel.instrument.say(""), panel.hear({begin: "Take 1", uid: "a", given: [], at: 0}, []), panel.last -= 5000')
    says(page, 'Python does not answer')                                     # nor does it go on with what it began

def test_the_pedal_holds_what_a_midi_instrument_plays(page, tmp_path):
    instrument(page, tmp_path)
    page.locator('.mt-help').click()
    page.evaluate('i.record(), [[0x90,60,90], [0xb0,64,127], [0x80,60,0], [0x90,64,70]].forEach(o => i.receive(o))')
    page.wait_for_timeout(300)
    page.evaluate('[[0xb0,64,0], [0x90,64,0]].forEach(o => i.receive(o))')
    notes = page.evaluate('i.phrase()')
    assert [(o['pitch'], o['velocity']) for o in notes]==[(60,90),(64,70)]
    assert all(o['end']-o['start']>.28 for o in notes) and page.evaluate('i.fingers.size')==0

def test_what_python_does_with_what_comes():
    s = studio(themes=[])
    for do,args,said in (('set', dict(nothing=1), 'there is no setting nothing'), ('find', {}, ''), ('__init__', {}, ''), ('save', dict(kind='exe'), 'not exe'),
                         ('save', dict(paper='A4'), 'paper'), ('settle', dict(takes=[{}]), '1 could not be read'), ('offer', dict(name=5), 'TypeError'),
                         ('show', dict(uid='x'), 'There is no take yet: compose one first.')):
        s.said = ''
        s.hear(None, {'do': do, 'id': 1, 'with': args}, [])
        assert said in s.said and bool(said)==bool(s.said), (do, s.said)
    assert not s.made

def put(s, *names):
    for o in names: s.settle([dict(uid=o, name=o, about='', notes=[(0,1,60,64), (1,2,62,64)], given=0)])

def test_a_kept_take_comes_back_in_its_colours():
    "Given and new notes alternate in a filling; an earlier version kept only how many were given."
    s = studio()
    rows = [[t, t+1, 60+t, 64, t%2==0] for t in range(6)]
    s.settle([dict(uid='new', name='new', about='', notes=rows), dict(uid='old', name='old', about='', notes=[o[:4] for o in rows], given=2)])
    for uid,given in (('new', [1,0,1,0,1,0]), ('old', [1,1,0,0,0,0])):
        assert [o[4] for o in _rows(s.find(uid).piece)]==[bool(o) for o in given]

def test_what_is_refused_changes_nothing(tmp_path):
    s = studio(themes=root/'examples/prelude.mid', out=tmp_path/'file')
    before = s.settings
    for o in (dict(model=str(tmp_path)), dict(primer='nope'), dict(seconds=1), dict(nonsense=1)):
        with pytest.raises((ValueError, OSError)): s.set(**o)
    assert s.settings==before and list(s.found)==['nothing','prelude']
    put(s, 'a')
    for at in (-1, 1e9, 'x'):
        with pytest.raises(ValueError, match='0 to 2.0'): s.go_on('a', at=at)
    (tmp_path/'file').touch()
    with pytest.raises(OSError, match='cannot be made'): s.save()
    s.out = tmp_path
    s.rename('a', 300*'a')
    assert len(s.save().stem)==60
    s.rename(s.made[0].uid, 5)
    assert s.takes[0]['name']=='5'
    for wrong in (dict(themes=['no.mid']), dict(themes=None, soundfont='no.sf2')):
        with pytest.raises(FileNotFoundError, match='no[.]'): studio(**wrong)

def test_themes_of_one_name_stand_side_by_side(tmp_path):
    s = studio(themes=None)
    content = write_midi(Performance([(9,10,60,64)]), tmp_path/'a.mid').read_bytes()
    for _ in range(3): s.offer('nothing.mid', content)
    assert s.themes==['nothing','nothing.mid','nothing 2','nothing 3'] and s.found['nothing'] is None
    s.set(seconds=5, primer_seconds=3)                # less than the silence before its first note
    s.compose()
    s.set(seed=777)                                   # stays
    s.thread.join()
    first = s.made[0].piece.notes[0]
    assert (first['start'], first['pitch'])==(0, 60) and s.settings['seed']==777

def test_a_take_comes_back_to_its_place():
    s = studio(themes=[])
    put(s, *'abc')
    s.drop('b')
    s.drop('a')
    for _ in 'ab': s.restore()
    assert [o['name'] for o in s.takes]==['a','b','c']

def test_a_stretch_again_and_a_melody_accompanied():
    s = studio(themes=[root/'examples/prelude.mid'])
    s.set(**SHORT)
    s.compose(); s.thread.join()
    s.again(a=2., b=4.); s.thread.join()
    first,second = (o.piece for o in s.made)
    kept = {o for o in first.notes.tolist() if not 2<=o[0]<4}
    assert kept and {*second.notes.tolist()}>=kept
    s.accompany([(0., .5, 72, 80), (.5, 1., 74, 80), (1., 2., 76, 80)]); s.thread.join()
    assert {72,74,76} <= {*s.made[-1].piece.notes['pitch'].tolist()}

# -- the instrument by itself

def instrument(page, tmp_path, **how):
    text = beside('instrument.js')
    (tmp_path/'instrument.html').write_text('<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,"><div id="i"></div>'
        f'<script type="module">{text}\nObject.assign(window, {{Samples, Sound, i: new Instrument(document.querySelector("#i"))}})</script>', encoding='utf-8')
    page.goto((tmp_path/'instrument.html').as_uri())
    page.wait_for_function('window.i')

def test_colours_are_those_of_the_roll():
    for colours in (COMPOSED, PRIMER): assert ', '.join(f"'{o}'" for o in colours) in beside('instrument.js')

def test_it_waits_for_a_slow_composer_and_says_so(page, tmp_path):
    instrument(page, tmp_path)
    page.evaluate('i.begin("slow"), i.play(0), [0,.3,.6].forEach(time => i.add({time, pitch: 60, velocity: 80}))')
    page.wait_for_function('i.underruns==1')
    says(page, 'waits for its composer')
    assert page.evaluate('i.position')<=.6
    page.evaluate('[1,1.5,2].forEach(time => i.add({time, pitch: 64, velocity: 80})), i.end()')
    page.wait_for_function('i.position>1')
    assert page.locator('.mt-said').text_content()=='' and page.evaluate('i.clock.late')==0
    assert page.evaluate('i.notes.map(o => o.end)')==[.3,.6,2,1.5,2,2]

def test_nothing_is_recorded_into_a_take_that_comes_in(page, tmp_path):
    instrument(page, tmp_path)
    page.evaluate('i.press(62), i.lift(62), i.phrase()')
    page.evaluate('i.begin("coming"), i.record()')
    assert not page.evaluate('i.recording')
    page.evaluate('i.end(), i.record()')
    says(page, 'it is being recorded')
    assert page.evaluate('i.phrase()')==[]                                    # not the phrase before it
    says(page, 'Nothing was played')
    assert len(page.evaluate('i.phrase()'))==1
    page.evaluate('i.record(), i.begin("another")')
    assert page.locator('.mt-said').text_content()==''

def test_given_notes_do_not_move_the_horizon(page, tmp_path):
    instrument(page, tmp_path)
    page.evaluate("""() => {
        i.begin('phrase')
        i.add({time: 0, pitch: 60, velocity: 80, given: true})
        i.add({time: 5, pitch: 60, velocity: 0, given: true})
        i.add({time: 1, pitch: 60, velocity: 70})
    }""")
    assert page.evaluate('i.clock.take.horizon')==1
    page.evaluate('i.add({time: 2, pitch: 60, velocity: 0}), i.end()')
    assert page.evaluate('i.notes.map(o => [o.start, o.end, o.given])')==[[0,1,True],[1,2,False]]

def test_louder_touches_are_louder_and_keys_have_their_pitch(page, tmp_path):
    import numpy as np
    instrument(page, tmp_path)
    piano = base64.b64encode(piano_samples(_small)).decode()
    page.evaluate('async b => { window.samples = await Samples.read(Uint8Array.from(atob(b), c => c.charCodeAt(0))) }', piano)
    heard = lambda pitch,velocity: np.array(page.evaluate("""async ([pitch, velocity]) => {
        const context = new OfflineAudioContext(1, 22050, 22050), sound = new Sound(context)
        sound.samples = samples
        sound.strike(pitch, velocity, .1)
        return [...(await context.startRendering()).getChannelData(0)]
    }""", [pitch, velocity]))
    loud = [np.std(heard(60, v)) for v in (30,60,90,120)]
    assert 0<loud[0]<loud[1]<loud[2]<loud[3]
    x = heard(70, 90)
    assert np.abs(x[:2000]).max()<1e-3<np.abs(x[2205:2900]).max()            # on time: no silence of the encoder's before it
    spectrum = np.abs(np.fft.rfft(x*np.hanning(len(x))))
    peak = spectrum[440:490].argmax()+440
    assert abs(peak-440*2**(1/12))<4

def test_marks_tempo_loop_and_what_a_screen_reader_says(page, tmp_path):
    instrument(page, tmp_path)
    page.evaluate('i.load([...Array(20).keys()].map(k => ({start: k/4, end: k/4+.2, pitch: 60+k, velocity: 70})), "scale")')
    page.locator('.mt-roll').click(position=dict(x=5, y=5))                  # seeks, and gives the focus
    box = page.locator('.mt-roll').bounding_box()
    page.mouse.move(box['x']+60, box['y']+20)
    page.mouse.down()
    page.mouse.move(box['x']+200, box['y']+30, steps=3)
    page.mouse.up()
    a,b = page.evaluate('i.marked')
    assert 0<a<b<5
    page.get_by_role('button', name='Loop').click()
    page.evaluate('i.tempo = 2')
    page.get_by_role('button', name='Play').click()
    page.wait_for_timeout(1000*(b-a)/2+500)
    assert a-.1<=page.evaluate('i.position')<=b+.1 and page.evaluate('i.playing')
    page.locator('.mt-help').click()
    page.keyboard.press('Space')
    assert not page.evaluate('i.playing')
    page.keyboard.press('Escape')
    assert page.evaluate('i.marked') is None
    names = [o.get_attribute('aria-label') for o in page.locator('.mt-keys button').all()]
    assert len(names)==88 and names[0]=='A 0' and names[39]=='C 4' and names[40]=='C sharp 4'
    page.evaluate('delete Navigator.prototype.requestMIDIAccess')
    page.get_by_role('button', name='MIDI').click()
    says(page, 'This browser has no Web MIDI')

# -- all of it in a real JupyterLab

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
def notebook(lab, browser):
    page = browser.new_page(viewport=dict(width=1400, height=1800))
    page.set_default_timeout(100_000)
    page.errors = []
    page.on('pageerror', lambda e: None if 'Canceled future' in str(e) else page.errors.append(str(e))) # JupyterLab's own, now and then
    page.goto(lab[0])
    page.locator('.jp-Notebook').wait_for()
    yield page
    page.close()

def run_all(page):
    "Run every cell once the kernel is there: asked before, JupyterLab offers to choose one, and the answer drops the one that is coming, with its widgets."
    page.locator('#jp-main-statusbar', has_text=re.compile(r'Python 3.*Idle')).wait_for()
    for name in ('Run','Run All Cells'): page.get_by_role('menuitem', name=name, exact=True).click()

def test_press_the_button_and_hear(notebook, lab):
    page = notebook
    run_all(page)
    page.locator('.mt-primer select').select_option('prelude')
    page.locator('.mt-seconds input').fill('5')
    page.locator('.mt-seconds input').press('Tab')
    page.locator('.mt-primer_seconds input').fill('1')
    page.locator('.mt-primer_seconds input').press('Tab')
    button(page, 'Compose').click()
    look = 'document.querySelector(".mt-studio").mtPanel'
    page.wait_for_function(f'{look}.instrument.playing && {look}.instrument.position>1.5 && {look}.instrument.sound.voices.size>0')
    page.locator('.mt-takes li').wait_for()
    page.locator('.mt-takes button', has_text='MP3').click()
    says(page, 'Saved')
    assert [o.suffix for o in (lab[1]/'takes').iterdir()]==['.mp3']
    assert not page.errors
    assert page.locator('[data-mime-type="application/vnd.jupyter.stderr"], [data-mime-type="application/vnd.jupyter.error"]').count()==0
