"The engine in JavaScript against the Python that it mirrors, in a browser; and the page as a person meets it."
import base64, json, re
from pathlib import Path
import numpy as np, pytest, torch
from safetensors.torch import save
from conftest import chromium
from music_transformer.data import Performance
from music_transformer.echo import Echo, HABIT, Planned, TOLD, draw_plan
from music_transformer.directions import left_class
from music_transformer.drawing import BothHands, Ending, FewKeys, InScale, Keys, guided
from music_transformer.engine import _load, browser_logits, checkpoint_files, in_browser
from music_transformer.engine import composed_in_browser, packaged, play_page
from music_transformer.generation import Past, probabilities
from music_transformer.midi import read_midi
from music_transformer.model import Cache, ModelConfig, MusicTransformer, Step, describe_keys, State
from music_transformer.processor import NOTE_OFF, TIME_SHIFT, encode, legal

pytestmark = pytest.mark.skipif(not chromium, reason='no chromium on this machine (apt-get install chromium)')
root = Path(__file__).parent.parent
long_run = root/'examples/long-run/weights' # in two shards of bf16
piece = encode(read_midi(root/'examples/piece-1.mid')).tolist()
sizes = dict(d_model=32, n_layers=2, n_heads=2, d_ff=64)

@pytest.fixture(autouse=True)
def one_browser(browser, monkeypatch):
    "A tab for each script, not a browser."
    def shown(path, folder, timeout):
        page = browser.new_page()
        page.goto(path.as_uri(), timeout=1000*timeout)
        text = page.locator('pre').inner_html()
        page.close()
        return f'<pre>{text}</pre>'
    monkeypatch.setattr('music_transformer.engine._shown', shown)

def planned(returns): return [Planned(*o) for o in returns]

def python_logits(folder, ids, window, directions, returns=()):
    model,cache = MusicTransformer.from_pretrained(folder),Cache(window)
    if model.cfg.echo: cache.echoes = [Echo(planned(returns))]
    for o in cache.echoes or []: o.directions = directions
    with torch.no_grad(): begin = model(torch.tensor([ids[:1]]), cache)[:,-1]
    step = Step(model, cache)
    return torch.cat([begin, *(step([i]) for i in ids[1:])])

def apart(folder, ids, window, directions=(0,)*5, returns=()):
    "The largest difference of any log-probability."
    asked = folder,ids,window,list(directions),returns
    ours,theirs = torch.tensor(browser_logits(*asked)),python_logits(*asked)
    return float((ours.log_softmax(-1)-theirs.log_softmax(-1)).abs().max())

cases = [(packaged(), 500, 512), (long_run, 140, 128)]
@pytest.mark.parametrize('folder,n,window', cases, ids=['packaged','long-run'])
def test_it_gives_the_log_probabilities_of_python(folder, n, window):
    "Those of the reference, and of a piece after it: longer than the window together, and a second piece in the stream."
    ids = json.loads((folder/'reference.json').read_text())['ids'] + piece[:n]
    assert len(ids)>window and apart(folder, ids, window)<2e-3

def told_kinds(ids, returns):
    echo,out = Echo(planned(returns)),[]
    for i in ids:
        echo.push(i)
        out.append(echo.kind)
    return out, echo.returned

@pytest.mark.parametrize('folder', [long_run, packaged()], ids=['long-run','packaged'])
def test_it_is_told_to_return_as_python_is(folder):
    ids,returns = returning()[:130],[(2, .4, 1.2), (4.5, 1, 3)]
    kinds,returned = told_kinds(ids, returns)
    assert 20<kinds.count(TOLD)<100 and len(returned)==2
    assert apart(folder, ids, 90, (3,12,0,7,14), returns)<2e-3

kinds = [(dict(position='none', state=False), torch.float32), (dict(wishes=False, conv=3), torch.float16),
         (dict(clock=False, echo=True, directions=True, ends=True), torch.bfloat16)]
@pytest.mark.parametrize('given,dtype', kinds, ids=['float32','float16','bfloat16'])
def test_every_kind_of_model_in_every_precision(given, dtype, tmp_path):
    torch.manual_seed(1)
    model = MusicTransformer(ModelConfig(**sizes, **given))
    for o in model.parameters(): o.data = torch.randn_like(o)*.3
    model.to(dtype).save_pretrained(tmp_path)
    assert apart(tmp_path, piece[:110], 37, (3,12,0,7,14))<2e-3

def notes_of(p): return [dict(zip(('start','end','pitch','velocity'), o)) for o in p.notes.tolist()]

def crowd():
    "Notes that get in each other's way."
    rng = np.random.default_rng(0)
    on = rng.uniform(0, 9, 200).round(3)
    off = on+rng.uniform(0, 3, 200).round(3)
    return Performance(np.stack([on, off, rng.integers(50, 62, 200), rng.integers(1, 128, 200)], 1))

players = [*(read_midi(root/f'examples/{o}.mid') for o in ('prelude','piece-1')), crowd(), Performance([(12.345, 12.345, 21, 1)]),
           Performance([(0, .005, 60, 64), (.005, .015, 60, 65)])]

def returning():
    "Ids of a piece that takes itself up, a semitone higher too, with velocities whose mean lies between two bins."
    line = [60,64,67,72,67,64,62,65,69,74,71]
    rows = [(.4*n, .4*n+.2, line[n%11]+(n>21), 40+7*(n%5)) for n in range(33)]
    return encode(Performance(rows+[(a, b, p-12, v+4) for a,b,p,v in rows])).tolist()

logits = torch.randn(391, generator=torch.Generator().manual_seed(1))*3
draws = [(1,1), (1,.9), (.5,.99), (2,.5), (0,1)]      # temperature, top-p
code = '''
const state = new State(), grammar = new Grammar(), all = new Uint8Array(391).fill(1)
const keys = i => { state.push(i); const out = new Uint8Array(512); keyClasses(out, state); return [...out] }
const said = echo => i => { echo.push(i); const h = echo.hint(); return [h.kind, h.keys.sort((a, b) => a - b), h.due, h.touch] }
const told = ([ids, plan]) => { const echo = new Echo(plan), out = ids.map(said(echo)); return [out, echo.returned] }
const inScale = logits => { new InScale(.7).bias(new Past(data.piece), logits = [...logits]); return logits }
const free = logits => { new FewKeys(.35).bias(new Past(data.trill), logits = [...logits]); return logits }
const both = logits => { new BothHands(.5).bias(new Past(data.trill), logits = [...logits]); return logits }
const calmer = logits => { new Keys(.6).bias(null, logits = [...logits]); return logits }
const allowed = i => { if (i < 388) grammar.push(i); return [...grammar.allowed()] }
return {left: data.lefts.map(leftClass), ids: data.players.map(encode), keys: data.piece.map(keys), told: data.told.map(told), allowed: data.piece.map(allowed),
  plans: data.seeds.map(o => drawPlan(data.habit, 90, 10, new Random(o))), calm: calmer(data.logits), scale: inScale(data.logits), free: free(data.logits), both: both(data.logits),
  shares: data.draws.map(([temperature, topP]) => probabilities(data.logits, all, temperature, topP))}'''

@pytest.fixture(scope='module')
def found():
    "What the engine says of all these, in one visit to the browser."
    told = [(ids, [dict(zip(('when','since','until'), o)) for o in plan]) for ids,plan in streams]
    data = dict(told=told, seeds=list(range(3000)), habit=HABIT, lefts=lefts)
    return in_browser(code, data | dict(players=[notes_of(o) for o in players], piece=both, trill=trill, draws=draws, logits=logits.tolist()))

both = returning()+piece[:400]
trill = [60, NOTE_OFF+60, TIME_SHIFT+6, 62, NOTE_OFF+62, TIME_SHIFT+6]*24

def wild(seed):
    "Ids in any order, of few keys: what is told is often played, left out or missed."
    return np.random.default_rng(seed).choice([60,62,64,188,TIME_SHIFT+4,TIME_SHIFT+9,TIME_SHIFT+40,366], 500).tolist()

plan = [(3.5, .4, 2.1), (6, 9, 9.5), (7, 1.2, 4), (12, 2, 7), (12.1, 2, 3)]
many = [(t, t*.6, t*.6+1.5) for t in range(4, 60, 2)]
streams = [(both, []), (both, plan), *((wild(o), many) for o in range(3))]

lefts = [-1, *np.arange(0, 25, .25).tolist(), 1e6]

def test_what_is_left_has_the_same_class(found): assert found['left']==left_class(lefts).tolist()

def test_notes_become_the_same_ids(found):
    for ids,p in zip(found['ids'], players): assert ids==encode(p).tolist()

def test_the_echo_says_the_same(found):
    "Found or told, and what became of the returns."
    kinds,began = set(),[]
    for (ids,plan),(theirs,returned) in zip(streams, found['told']):
        echo,said = Echo(planned(plan)),[]
        for i in ids:
            echo.push(i)
            h = echo.hint()
            said.append([h.kind, sorted(h.keys), h.due, h.touch])
        ours = [{k.replace('until_step', 'untilStep'): x for k,x in vars(o).items()} for o in echo.returned]
        assert theirs==said and returned==ours
        kinds |= {o[0] for o in said}
        began += echo.returned
    assert kinds==set(range(9)) and any(o.missed==4 for o in began) and any(o.right>4 for o in began)

def test_plans_are_drawn_from_the_same_habit(found):
    ours,theirs = ([[(o.when, o.since, o.until) for o in draw_plan(90, np.random.default_rng(s), 10)] for s in range(3000)],
                   [[(o['when'], o['since'], o['until']) for o in p] for p in found['plans']])
    for plan in theirs:
        assert all(0<=a<b<=t and t-a>=2 and 10<=t<=100-(b-a) for t,a,b in plan)
        assert all(t+b-a<=u for (t,a,b),(u,_,_) in zip(plan, plan[1:]))
    def looks(plans):
        t,a,b = np.array(sum(plans, [])).T
        how_many = np.bincount([len(o) for o in plans], minlength=9)[:9]/len(plans)
        return [*how_many, *(f(np.percentile(x, q)) for x,f in ((t, lambda o: o/90), (t-a, np.log), (b-a, np.log)) for q in (10,50,90))]
    assert np.abs(np.subtract(looks(ours), looks(theirs))).max()<.08

def test_keys_are_described_alike(found):
    theirs = describe_keys(State().trace(torch.tensor([both])))[0].flatten(1)
    assert torch.equal(torch.tensor(found['keys']), theirs.long())

def test_the_grammar_is_the_same(found): assert np.array_equal(np.array(found['allowed'], bool), legal(both))

@pytest.mark.parametrize('n', range(len(draws)))
def test_the_distribution_is_the_same(found, n):
    ours = torch.zeros(391)
    for i,p in found['shares'][n]: ours[i] = p
    assert torch.allclose(ours, probabilities(logits, draws[n][0], top_p=draws[n][1]), atol=1e-6)

def test_keys_are_chosen_as_carefully(found):
    ours = logits.clone()
    Keys(.6).bias(Past(), ours)
    assert torch.allclose(torch.tensor(found['calm']), ours, atol=1e-5)

def test_keys_off_the_scale_are_as_unlikely(found):
    ours = logits.clone()
    InScale(.7).bias(Past(both), ours)
    assert torch.allclose(torch.tensor(found['scale']), ours, atol=1e-5) and not torch.allclose(ours, logits, atol=.1)

def test_few_keys_are_as_unlikely(found):
    ours = logits.clone()
    FewKeys(.35).bias(Past(trill), ours)
    assert torch.allclose(torch.tensor(found['free']), ours, atol=1e-5) and ours[60]<logits[60]-3

def test_a_silent_hand_is_as_likely(found):
    ours = logits.clone()
    BothHands(.5).bias(Past(trill), ours)
    assert torch.allclose(torch.tensor(found['both']), ours, atol=1e-5) and ours[40]-logits[40]>ours[60]-logits[60]+.5

def test_what_it_composes_is_well_formed_and_as_long_as_asked():
    primer = notes_of(read_midi(root/'examples/prelude.mid')[:3])
    code = _load + '''
        return data.asked.map(asked => {
          const take = new Take(model.cfg, asked)
          for (const i of compose(model, take));
          return [take.given, take.past.ids]
        })'''
    asked = [dict(seconds=6), dict(seconds=6), dict(seconds=4, primer=primer, temperature=.8), dict(seconds=5, maxHold=.3, maxRest=.2, seed=4)]
    found = in_browser(code, checkpoint_files(packaged()) | dict(asked=asked))
    assert found[0]==found[1]!=found[3]               # of one seed the same
    for (given,ids),o in zip(found, asked):
        ok = legal(ids)
        assert all(ok[n-1][i] for n,i in enumerate(ids) if n>=max(given, 1))
        lasts = (Past(ids).steps-Past(ids[:given]).steps)/100
        assert .9*o['seconds']<=lasts<=o['seconds']+1
    held = Past()
    for i in found[3][1][1:]:
        held.push(i)
        assert not held.down.any() or (held.steps-held.struck[held.down]).max()<=30
    assert found[2][1][:20]==encode(read_midi(root/'examples/prelude.mid')[:3]).tolist()[:20]

listened = _load + '''
const take = new Take(model.cfg, data.asked), logits = []
const draw = take.draw
take.draw = o => { logits.push([...o]); return draw.call(take, o) }
for (const i of compose(model, take));
return [take.given, take.past.ids, logits, take.echo.returned]'''

told = [dict(when=8, since=4.5, until=7), dict(when=2, since=0, until=1.5)]
loud = [0, 11, 0, 0, 0]
@pytest.mark.parametrize('asked', [dict(returns=told), dict(directions=loud)], ids=['returns','directions'])
def test_guidance_agrees_with_a_told_and_an_untold_pass_of_python(asked, tmp_path):
    "The twin of the engine begins when something is told first; that of Python, at once."
    torch.manual_seed(2)
    model = MusicTransformer(ModelConfig(**sizes, conv=3, echo=True, directions=True, ends=True))
    for o in model.parameters(): o.data += torch.randn_like(o)*.2
    model.save_pretrained(tmp_path)
    primer = notes_of(read_midi(root/'examples/prelude.mid')[:3])
    given,ids,logits,returned = in_browser(listened, checkpoint_files(tmp_path) |
        dict(asked=dict(seconds=8, window=32, guidance=2.5, primer=primer) | asked))
    assert given>32 and len(returned)==len(asked.get('returns', ()))
    plan = [(o['when'], o['since'], o['until']) for o in reversed(asked.get('returns', []))]
    model = MusicTransformer.from_pretrained(tmp_path).eval()
    def passed(directions, plan, told=True):
        "The window of the primer at once, then id by id, as in composing."
        cache,echo,past = Cache(32),Echo(planned(plan)),Past(ids[:given])
        cache.echoes,echo.directions,ending = [echo],directions,Ending(8, past.steps, told=True)
        def hear(f):
            if told:
                ending.tell(past, echo)
                times.append([4. if echo.left else 2.5]) # an end that is told counts four times at least
            with torch.no_grad(): return f()
        def move(i):
            past.push(i)
            return hear(lambda: step([i]))
        x = torch.tensor([ids[:given]])
        begin = hear(lambda: model(x[:,-32:], cache, x[:,:-32])[:,-1])
        step = Step(model, cache)
        return torch.cat([begin, *(move(i) for i in ids[given:-1])])
    times = []
    untold = passed([0]*5, [], told=False)
    wanted = guided(passed(asked.get('directions', [0]*5), plan), untold, torch.tensor(times))
    assert 0<sum(o==[4.] for o in times)<len(times)
    found = torch.tensor(logits)
    assert found.shape==wanted.shape and (found-wanted).abs().max()<5e-3
    assert (found-untold).abs().max()>.1

def follower(folder):
    "A model that plays what it is told, and else any key now and then; and soon lets go of it."
    model = MusicTransformer(ModelConfig(**sizes, echo=True))
    for o in model.parameters(): o.data *= 0
    model.norm.bias.data += 1                          # all that the head and the answer ever hear
    logits = torch.zeros(391)
    logits[:128],logits[128:256],logits[286:388] = -3,4,-10 # no wait beyond 0.3 s, no change of touch
    model.head.weight.data[:] = logits[:,None]/sizes['d_model']
    model.answer.keys.weight.data[TOLD] = 15/sizes['d_model']
    model.save_pretrained(folder)
    return folder

def test_what_is_told_comes_back(tmp_path):
    p = composed_in_browser(follower(tmp_path), seconds=20, seed=3, guidance=2., returns=[(9, 2, 6)])
    [back] = p.info['returns']
    assert 9<=back['when']<=11 and back['right']>=6
    assert composed_in_browser(tmp_path, seconds=20, seed=3, returns=None)[:8]==p[:8]

def test_a_bad_plan_is_refused():
    code = 'return data.map(([cfg, o]) => { try { new Take(readConfig(cfg), o); return "" } catch (e) { return e.message } })'
    hears,deaf = sizes|dict(echo=True),sizes
    plans = [dict(zip(('when','since','until'), o)) for o in ((9, 2, 6), (3, 2, 4), (3, 2, 1), (3, -1, 1), (5, 'a', 2))]
    asked = [(hears, dict(returns=[o])) for o in plans]
    asked += [(deaf, dict(returns=plans[:1])), (deaf, dict(returns=HABIT)), (hears, dict(guidance=-1))]
    said = in_browser(code, asked)
    assert said[0]==said[6]=='' and all('since < until' in o for o in said[1:5])
    assert 'hears no echo' in said[5] and 'guidance must lie' in said[7]

def test_what_it_does_not_know_is_refused_in_a_sentence():
    bad = [dict(position='relative'), dict(position='sinusoidal'), dict(rooms=3), dict(d_model='wide'), dict(n_heads=3), dict(vocab_size=400),
           dict(directions=True), dict(echo=True, ends=True)]
    code = 'return data.map(o => { try { readConfig(o); return "" } catch (e) { return e.message } })'
    said = in_browser(code, [sizes, *(sizes|o for o in bad)])
    assert not said[0] and all(o.endswith('.') for o in said[1:])
    for word,o in zip(('relative','sinusoidal','rooms','d_model','multiples','391','echo','directions'), said[1:]): assert word in o

def test_damaged_weights_are_named():
    model = MusicTransformer(ModelConfig(**sizes))
    whole,weights = save(model.state_dict()),model.state_dict()
    lacking = {k: v for k,v in weights.items() if k!='head.weight'}
    bad = [whole[:1000], b'', whole[:-4], save(lacking), save(weights | dict(more=torch.zeros(3))), save(weights | {'norm.bias': torch.zeros(3)})]
    code = '''
        const bytes = text => Uint8Array.from(atob(text), o => o.charCodeAt(0)).buffer
        return data.bad.map(o => { try { new Model(data.config, [bytes(o)]); return "" } catch (e) { return e.message } })'''
    said = in_browser(code, dict(config=sizes, bad=[base64.b64encode(o).decode() for o in [whole, *bad]]))
    assert not said[0] and all('The weights are damaged' in o for o in said[1:4])
    assert said[4:]==['The checkpoint lacks the tensor head.weight.', 'The checkpoint has a strange tensor, more.',
                      'In the checkpoint, norm.bias has shape 3, not 32.']

# -- the page

@pytest.fixture(scope='module')
def site(tmp_path_factory): return play_page(tmp_path_factory.mktemp('site'))

@pytest.fixture
def tab(browser, request):
    "An empty one, which bears no complaint and asks for nothing from elsewhere."
    page = browser.new_context(**getattr(request, 'param', dict(viewport=dict(width=1400, height=900)))).new_page()
    page.set_default_timeout(120_000)                 # machines differ, and do other work
    page.wrong = []
    page.on('console', lambda m: page.wrong.append(m.text) if m.type in ('error','warning') else None)
    page.on('pageerror', lambda e: page.wrong.append(str(e)))
    page.on('request', lambda r: r.url.startswith(('file:','data:','blob:')) or page.wrong.append(f'asks {r.url[:80]}'))
    yield page
    assert not page.wrong
    page.context.close()

@pytest.fixture
def page(tab, site):
    tab.goto(site.as_uri())
    tab.wait_for_function('!document.querySelector("#compose").disabled')
    return tab

def takes_of(page): return page.locator('#takes option').all_text_contents()
def button(page, name): return page.get_by_role('button', name=name, exact=True)
def until_composed(page): page.wait_for_function('document.querySelector("#state").textContent.startsWith("Composed")')

phone = dict(viewport=dict(width=390, height=844), is_mobile=True, has_touch=True, color_scheme='dark')
@pytest.mark.parametrize('tab', [phone], indirect=True)
def test_the_page_on_a_disk_composes_and_saves(page, tmp_path):
    assert re.search(r'(times as fast as|more slowly than) it sounds', page.locator('#state').text_content())
    page.select_option('#seconds', '10')
    page.get_by_role('button', name='Compose').click()
    until_composed(page)
    with page.expect_download() as d: page.get_by_role('button', name='Save as MIDI').click()
    d.value.save_as(tmp_path/'take.mid')
    p = read_midi(tmp_path/'take.mid')
    assert 9<=p.seconds<=11.5 and len(p)>15
    assert page.locator('#seed').input_value()=='2'   # it moves on
    assert page.evaluate('document.documentElement.scrollWidth')<=390
    page.reload()                                     # what was composed is still there
    page.wait_for_function('!document.querySelector("#continue").disabled')
    assert takes_of(page)==['Composed, seed 1'] and page.locator('#seed').input_value()=='2'
    assert all(o.bounding_box()['height']>=44 for o in page.locator('input[type=range]').all())

def test_it_answers_goes_on_and_stops(page):
    page.locator('#locked').check()
    page.select_option('#seconds', '180')             # long enough to be stopped
    page.get_by_role('button', name='Answer').click()
    assert 'nothing to answer' in page.locator('#state').text_content()
    page.get_by_role('button', name='Record').click()
    for key in ('C 4','E 4','G 4'): page.get_by_role('button', name=key, exact=True).click(delay=60)
    page.get_by_role('button', name='Answer').click()
    coming = 'It composes…|[1-9]0 % of that is there'  # where it is slower than it sounds, it waits before it plays
    page.wait_for_function(f'/{coming}/.test(document.querySelector("#state").textContent)')
    assert button(page, 'Record').is_disabled()       # a take is still coming in
    page.get_by_role('button', name='Stop composing').click()
    page.wait_for_function('document.querySelector("#state").textContent=="Stopped."')
    assert takes_of(page)==['Your phrase','Answer, seed 1'] and page.locator('.mt-said').text_content()==''
    page.select_option('#seconds', '10')
    page.get_by_role('button', name='Continue').click()
    until_composed(page)
    assert page.locator('#seed').input_value()=='1' and len(takes_of(page))==3

def test_a_model_that_hears_directions_is_asked_for_them(tmp_path, tab):
    MusicTransformer(ModelConfig(**sizes, echo=True, directions=True)).save_pretrained(tmp_path/'toy')
    tab.goto(play_page(tmp_path/'site', tmp_path/'toy', piano=False).as_uri())
    tab.get_by_label('composer').select_option('Chopin')
    assert tab.get_by_label('comes back').is_checked() and tab.locator('#guidance').input_value()=='2'
    tab.locator('#guidance').select_option('3')
    assert tab.get_by_label('loudness').locator('option').all_text_contents()[:3]==['as it likes','under 30','30 to 40']
    tab.select_option('#seconds', '10')
    tab.locator('#compose:enabled').click()
    until_composed(tab)

def test_the_page_says_what_came_back(tmp_path, tab):
    MusicTransformer(ModelConfig(**sizes)).save_pretrained(tmp_path/'deaf')
    tab.goto(play_page(tmp_path/'silent', tmp_path/'deaf', piano=False).as_uri())
    tab.locator('#compose:enabled').wait_for()
    assert not tab.locator('#returns').count()       # it hears no echo
    tab.goto(play_page(tmp_path/'site', follower(tmp_path/'toy'), piano=False).as_uri())
    tab.locator('#seed').fill('4')
    tab.locator('#locked').check()
    said = []
    for box in ('check','uncheck'):
        getattr(tab.locator('#returns'), box)()
        button(tab, 'Compose').click()
        until_composed(tab)
        said.append(tab.locator('#state').text_content())
    assert re.fullmatch(r'Composed. It came back( at \d:\d\d to \d:\d\d,?)+\.', said[0]) and said[1]=='Composed.'

def test_a_device_that_is_slower_than_real_time_says_so_and_waits(site, tab, tmp_path):
    "As if each id took 60 ms: a piece does not begin to sound before most of it is there."
    hear = '  // Move on by one id.\n  hear(i) {'
    text = site.read_text(encoding='utf-8')
    assert text.count(hear)==1
    slow = text.replace(hear, hear+' const since = performance.now(); while (performance.now() - since < 60);')
    (site.parent/'slow.html').write_text(slow, encoding='utf-8')
    tab.goto((site.parent/'slow.html').as_uri())
    tab.wait_for_function('!document.querySelector("#compose").disabled')
    tab.select_option('#seconds', '10')
    assert re.search(r'more slowly than it sounds \(0\.[1-4] of', tab.locator('#state').text_content())
    tab.get_by_role('button', name='Compose').click()
    tab.wait_for_function('document.querySelector("#state").textContent.endsWith("10 % of that is there.")')
    assert tab.locator('.mt-time').text_content().startswith('0:00 / 0:0')
    tab.get_by_role('button', name='Stop composing').click()
    tab.wait_for_function('document.querySelector("#state").textContent=="Stopped."')
    assert button(tab, 'Play').is_enabled()          # and it does not begin to sound

def record(page, *keys):
    button(page, 'Record').click()
    for key in keys: button(page, key).click(delay=40)
    button(page, 'Done').click()

def test_keys_are_heard_wherever_one_has_clicked(page):
    sounding = page.locator('.mt-keys .mt-down')
    for click in (None, 'h1'):
        if click: page.locator(click).click()
        page.keyboard.down('a')
        assert sounding.count()==1, click
        page.keyboard.up('a')
        assert sounding.count()==0
    page.locator('#locked').focus()
    page.keyboard.press(' ')                          # is the box's own
    assert page.locator('#locked').is_checked() and button(page, 'Play').is_visible()

def test_a_phrase_is_a_take_and_what_is_deleted_comes_back(page):
    page.select_option('#seconds', '180')
    record(page, 'C 4', 'E 4')
    with page.expect_download() as d: button(page, 'Save as MIDI').click()
    assert d.value.suggested_filename=='your-phrase.mid'
    record(page, 'G 4')
    record(page)                                      # of nothing: what was in view before comes back
    assert page.locator('.mt-said').text_content()=='Nothing was played.'
    assert takes_of(page)==['Your phrase','Your phrase 2'] and page.locator('.mt-title').text_content()=='Your phrase 2'
    page.select_option('#takes', label='Your phrase')
    button(page, 'Loop').press('Backspace')           # a button is no place for it
    assert len(takes_of(page))==2
    page.locator('.mt-help').click()
    page.keyboard.press('Backspace')
    assert takes_of(page)==['Your phrase 2'] and 'Bring back' in page.locator('#state').text_content()
    button(page, 'Bring back').press('Enter')
    assert takes_of(page)==['Your phrase','Your phrase 2'] and page.locator('.mt-title').text_content()=='Your phrase'
    assert page.evaluate('document.activeElement.id')=='instrument'
    button(page, 'Record').click()
    page.keyboard.press('a')
    page.wait_for_function('document.querySelector(".mt-time").textContent=="0:01"')
    button(page, 'Answer').click()
    button(page, 'Stop composing').click()
    page.wait_for_function('document.querySelector("#state").textContent=="Stopped."')
    page.reload()
    page.wait_for_function('!document.querySelector("#save").disabled')
    assert takes_of(page)[:3]==['Your phrase','Your phrase 2','Your phrase 3']

def test_two_tabs_share_a_shelf_and_a_damaged_one_is_borne(page, site):
    bad = '[1, null, {"title": "x", "notes": 5}, {"title": "x", "notes": [{"start": "a"}]}, {"title": "x", "notes": [null]}]'
    for o in ('{', bad):
        page.evaluate('o => localStorage.setItem("music_transformer.takes", o)', o)
        page.reload()
        assert takes_of(page)==['none yet']
    other = page.context.new_page()
    other.goto(site.as_uri())
    for o,key in ((page,'C 4'), (other,'D 4'), (page,'E 4')): record(o, key)
    other.wait_for_function('document.querySelectorAll("#takes option").length==3')
    assert takes_of(page)==takes_of(other)
    page.evaluate('''() => {
        const take = JSON.parse(localStorage.getItem('music_transformer.takes'))[0]
        const takes = [...Array(20).keys()].map(n => ({...take, id: `${n}`, title: `Take ${n}`}))
        localStorage.setItem('music_transformer.takes', JSON.stringify(takes))
    }''')
    page.reload()
    record(page, 'C 4')
    assert 'the oldest, Take 0, made room' in page.locator('#state').text_content() and len(takes_of(page))==20
