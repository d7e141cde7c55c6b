"Lengths, ends and rests of composed pieces, rules of one's own, the plan of returns, and how settings are explained: what is too long for the lesson."
import inspect, os, pydoc
import numpy as np, pytest, torch
from hypothesis import given, settings, strategies as st
from music_transformer.data import Performance
from music_transformer.drawing import Rests, compose, wait_at_most
from music_transformer.echo import Planned
from music_transformer.given import bridge, fill, vary
from music_transformer.generation import Ending, Past, Returns, Rule, Sampling, Take, generate, stream
from music_transformer.judge import holes
from music_transformer.midi import midi_bytes
from music_transformer.model import Cache, ModelConfig, MusicTransformer, Step
from music_transformer.processor import EOS, NOTE_OFF, SOS, STEP, TIME_SHIFT, VELOCITY, VOCAB_SIZE, decode, encode
from music_transformer.playback import player, write_roll
from music_transformer.sound import render, write_audio

@pytest.fixture(scope='module')
def model(): return MusicTransformer.from_pretrained()

tune = Performance([(i*.2, i*.2+.2, 60+5*i%13, 64) for i in range(20)])

def test_a_careful_draw_makes_music_to_the_end(model):
    takes = [Take([SOS], 1, Ending(14, told=True), Sampling(temperature=t)) for t in (0, .3, .6)]
    for _ in compose(model, takes): pass
    for p in (decode(t.finished()[0]) for t in takes):
        strikes = np.sort(p.notes['start'])
        assert 12.6<=p.seconds<=15 and len(p)>=6
        assert np.diff(strikes).max()<=5+2+.02 and holes(p).max()<=2.001         # max_hold, then max_rest

def drawn(logits, seconds, tails=1, **sampling):
    "A take that always hears the same."
    t = Take([SOS], 1, Ending(seconds, tails=tails), Sampling(**sampling))
    takes = [t]
    while takes:
        for o in takes: o.draw(logits)
        takes = [o for k in takes for o in k.go_on()]
    return t

@pytest.mark.parametrize('tails', (1, 4))
@pytest.mark.parametrize('seconds', (.02, .5, 3, 20.5))
@pytest.mark.parametrize('liked', ([TIME_SHIFT+99], [TIME_SHIFT+9, *range(NOTE_OFF, TIME_SHIFT)], [EOS, TIME_SHIFT+40, 60, NOTE_OFF+60]), ids=('waits','releases','ends'))
def test_whatever_the_model_says_a_piece_is_well_formed_and_as_long_as_asked(liked, seconds, tails):
    logits = torch.full((VOCAB_SIZE,), -9.)
    logits[liked] = 4.
    ids,ended = drawn(logits, seconds, tails).finished()
    p = decode(np.array(ids))
    assert len(p) and np.array_equal(encode(p)[:len(ids)-1], ids[:len(encode(p)[:len(ids)-1])])
    assert p.seconds<=max(seconds, 1)+1.02 and (p.seconds>=seconds-1.02 or ended=='by itself')
    assert holes(p).max(initial=0)<=2.001 and p.notes['start'].min()<=1.001

@settings(max_examples=25, deadline=None)
@given(seconds=st.floats(.01, 12), rest=st.floats(.01, 6), hold=st.floats(.01, 6), seed=st.integers(0, 99))
def test_rules_of_drawing_leave_a_way_on(seconds, rest, hold, seed):
    logits = 6*torch.randn(VOCAB_SIZE, generator=torch.Generator().manual_seed(seed))
    t = drawn(logits, seconds, max_rest=rest, max_hold=hold)
    p = decode(np.array(t.ids))
    n = p.notes
    assert holes(p).max(initial=0)<=max(rest, STEP)+STEP and (n['end']-n['start']).max()<=max(hold, STEP)+STEP
    assert p.seconds<=max(seconds, 1)+1.02

three = Performance([(i*.5, i*.5+1.9, 48+i, 60) for i in range(9)])

@pytest.mark.parametrize('kw', [dict(seconds=5, tails=2), dict(seconds=10, tails=2), dict(seconds=5, tails=2, primer=three), dict(seconds=5, tails=2, primer=three, keep_primer=False), dict(seconds=6, tails=1)], ids=str)
def test_within_a_second_of_the_asked_length(model, kw):
    begin = 4. if 'primer' in kw else 0.                                         # the primer's last strike
    for p in generate(model, seed=[1,2,3], **kw):
        first = p.info['new_from'] if kw.get('keep_primer', True) else 0
        long = p.seconds-(begin if first else 0)
        assert abs(long-kw['seconds'])<=1.02 or p.info['ended']=='by itself' or not kw.get('keep_primer', True) and 0<=kw['seconds']-long<=2.1, (long, p.info['ended'])

def test_progress_counts_what_is_left():
    told = []
    generate(tiny(), seconds=8, seed=[1,2], progress=told.append)
    assert all(a<=b+1e-9 for a,b in zip(told, told[1:])) and .9<told[-1]<=1+1e-9
    assert sum(o>.99 for o in told)<.1*len(told)                                 # it does not stand at the end

def test_stopped_where_the_one_who_listens_says_so(model):
    p = generate(model, seconds=30, seed=1, progress=lambda share: share>.1)
    whole = generate(model, seconds=30, seed=1, tails=1, progress=lambda share: share>.4).info['ids']
    assert p.info['ended']=='stopped' and 1<=p.seconds<=10
    assert p.info['ids'].tolist()==whole[:len(p.info['ids'])].tolist()

@pytest.mark.parametrize('wrong, meant', [('second','seconds'), ('n','seed'), ('topk','top_k'), ('temprature','temperature'), ('maxrest','max_rest')])
def test_a_wrong_setting_is_told_the_nearest_real_one(model, wrong, meant):
    with pytest.raises(TypeError, match=f'no parameter {wrong};.*{meant}'): generate(model, **{wrong: 1})

@pytest.mark.parametrize('use', [generate, lambda o: next(stream(o)), lambda o: fill(o, tune, 1, 2), lambda o: vary(o, tune), lambda o: bridge(o, tune, tune)])
@pytest.mark.parametrize('wrong', [None, 'pretrained'])
def test_what_is_no_model_is_refused(use, wrong):
    with pytest.raises(TypeError, match='must be a MusicTransformer, not a'): use(wrong)

@pytest.mark.parametrize('use', [encode, midi_bytes, render, player, lambda o: write_roll(o, 'x.png'), lambda o: write_audio(o, 'x.mp3')])
def test_a_path_is_no_performance(use):
    with pytest.raises(TypeError, match='a Performance is needed, not a str; read_midi'): use('a.mid')

def test_help_shows_what_each_argument_is():
    text = pydoc.render_doc(generate, renderer=pydoc.plaintext)
    names = [k for k in inspect.signature(generate).parameters if k!='sampling'] + list(Sampling.__dataclass_fields__)
    for k in names: assert f'\n    {k}: ' in text, k

def test_as_many_events_as_asked(model):
    for seed in (1,2): assert len(generate(model, tokens=60, seed=seed).info['ids'])==61

def test_a_plan_is_of_its_seed_and_its_piece():
    torch.manual_seed(0)
    net = MusicTransformer(ModelConfig(d_model=32, n_layers=1, n_heads=2, d_ff=32, echo=True, conv=4)).eval()
    alone = generate(net, seconds=9, seed=2)
    assert generate(net, seconds=9, seed=[1,2])[1].info['ids'].tolist()==alone.info['ids'].tolist()
    free = generate(net, seconds=9, seed=2, returns=None)
    told = generate(net, seconds=9, seed=2, returns=[(5, 1, 3)])
    assert free.info['returns']==[] and 5<=told.info['returns'][0]['when']<=8

class Given(Rule):
    "Notes that are there already, round which a model composes. Their keys are theirs alone."
    def __init__(self, p):
        self.keys,self.due,past = np.unique(p.notes['pitch']),[],Past()
        for i in encode(p)[1:-1].tolist():
            past.push(i)
            if i<TIME_SHIFT: self.due.append((past.steps, i, past.velocity))

    def next(self, past):
        "What is put in now, if anything is."
        if not self.due or self.due[0][0]>past.steps: return None
        _,i,velocity = self.due[0]
        return i if i>=NOTE_OFF or past.velocity==velocity else VELOCITY+velocity

    def push(self, i, past):
        if self.due and (past.steps, i)==self.due[0][:2]: del self.due[0]

    def veto(self, past, allowed):
        if not self.due: return
        key,now = self.due[0][1],self.next(past)
        allowed[[*self.keys, *(NOTE_OFF+self.keys), EOS]] = False
        wait_at_most(self.due[0][0]-past.steps, allowed)
        if now is None: return
        allowed[:] = False
        allowed[[now, key]] = True             # the key too: no velocity is offered that no strike could follow

    def bias(self, past, logits):
        now = self.next(past)
        if now is not None and now>=VELOCITY: logits[self.due[0][1]] = -np.inf  # not yet

def test_notes_that_are_given_are_a_rule(model):
    melody = Performance([(.5+i*.7, 1.1+i*.7, 72+(i*5)%12, 60+4*i) for i in range(8)])
    for p in generate(model, seconds=6.5, seed=[1,2], tails=4, rules=[Given(melody)]):
        ids = p.info['ids']
        n = len(ids[ids!=EOS])
        assert np.array_equal(encode(decode(ids))[:n], ids[:n]) and len(p)>2*len(melody)
        asked,got = decode(encode(melody)).notes,p.notes[np.isin(p.notes['pitch'], melody.notes['pitch'])]
        assert [tuple(o) for o in got[:len(asked)]]==[tuple(o) for o in asked]

class Advised(Rule):
    "A second model, which hears the same, has a say."
    def __init__(self, model): self.model,self.step,self.logits = model,None,None
    def __deepcopy__(self, memo): return Advised(self.model)
    def push(self, i, past):
        if not self.step:
            cache = Cache(self.model.cfg.max_distance)
            self.logits = self.model(torch.tensor([past.ids]), cache)[:,-1]
            self.step = Step(self.model, cache)
        else: self.logits = self.step([i])
    def bias(self, past, logits):
        if self.logits is not None: logits += self.logits[0]

class Back(Rule):
    "After a while, a wish: back to the beginning."
    wished = False
    def tell(self, past, heard):
        if self.wished or past.steps<400: return
        heard.plan.append(Planned(4, 1, 3))
        self.wished = True

def tiny(**kw):
    torch.manual_seed(0)
    return MusicTransformer(ModelConfig(d_model=32, n_layers=1, n_heads=2, d_ff=32, **kw)).eval()

def test_wishes_are_rules(model):
    free,led = (generate(model, tokens=150, seed=1, rules=o) for o in ([], [Advised(tiny())]))
    ids = led.info['ids']
    assert np.array_equal(encode(decode(ids))[:140], ids[:140]) and ids.tolist()!=free.info['ids'].tolist()
    net = tiny(echo=True, conv=4)
    with torch.no_grad():
        for o in net.answer.parameters(): o.mul_(20)                              # it heeds what it hears
    plan = [(5, 1, 3), (8, 2, 4)]
    a = generate(net, seconds=9, seed=2, returns=plan)
    b = generate(net, seconds=9, seed=2, returns=None, rules=[Returns([Planned(*o) for o in plan])])
    assert a.info['ids'].tolist()==b.info['ids'].tolist() and a.info['returns']==b.info['returns']
    back,plain = (generate(net, seconds=9, seed=2, returns=None, tails=4, rules=o) for o in ([Back()], []))
    a,b = back.info['ids'].tolist(),plain.info['ids'].tolist()
    assert a!=b and decode(os.path.commonprefix([a, b])).seconds>=4              # the same until then

def test_a_plan_in_any_form_is_everyones():
    net,plan = tiny(echo=True),[(5, 1, 3)]
    wanted = [p.info['returns'] for p in generate(net, seconds=7, seed=[1,2], tails=1, returns=plan)]
    assert all(wanted)
    for form in (np.array(plan), (o for o in plan)):
        assert [p.info['returns'] for p in generate(net, seconds=7, seed=[1,2], tails=1, returns=form)]==wanted
    p = Performance([(t/2, t/2+.4, 60, 66) for t in range(8)])
    with pytest.raises(ValueError, match='a return at 2 s lies outside'): generate(net, seconds=7, primer=p, returns=[(2, 0, 1)])

class Only(Rule):
    "A few keys; and how many were struck."
    def __init__(self, *keys): self.keys,self.n = keys,0
    def push(self, i, past): self.n += i<NOTE_OFF
    def veto(self, past, allowed): allowed[np.isin(np.arange(NOTE_OFF), self.keys, invert=True).nonzero()] = False

@settings(max_examples=20, deadline=None)
@given(keys=st.sets(st.integers(21, 108), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_a_rule_about_keys_leaves_a_way_on(keys, seed):
    logits = 6*torch.randn(VOCAB_SIZE, generator=torch.Generator().manual_seed(seed))
    t = Take([SOS], seed, Ending(6), Sampling(), rules=[Only(*keys)])
    while not t.over: t.draw(logits)
    assert set(decode(t.ids).notes['pitch'])<=keys and t.rules[1].n==sum(i<NOTE_OFF for i in t.ids)

def test_each_piece_has_rules_of_its_own(model):
    rule = Only(60, 64, 67)
    a,b = generate(model, seconds=5, seed=[1,2], tails=1, rules=[rule])
    assert rule.n==0 and a.info['ids'].tolist()==generate(model, seconds=5, seed=1, tails=1, rules=[rule]).info['ids'].tolist()
    assert set(b.notes['pitch'])<={60, 64, 67} and set(p for _,p,_ in stream(model, seconds=5, rules=[rule]))<={60, 64, 67}
    with pytest.raises(ValueError, match='the rules leave nothing'): generate(model, seconds=5, rules=[Only()])

def test_a_tail_is_a_copy():
    t = Take([SOS], 1, Ending(90, tails=3), Sampling(), rules=[Only(60)])
    for _ in range(99): t.draw(torch.zeros(VOCAB_SIZE))
    before = t.ids[:],t.rules[1].n,t.past.struck.copy()
    one,other = t.tail(0),t.tail(1)
    for o in (one, other):
        assert o.rules[0] is o.ending is not t.ending and {r.ending for r in o.rules if isinstance(r, Rests)}=={o.ending} and o.ids is o.past.ids
        while not o.over: o.draw(torch.zeros(VOCAB_SIZE))
    assert one.ids!=other.ids and (t.ids,t.rules[1].n)==before[:2] and (t.past.struck==before[2]).all()
    for _ in range(20): t.draw(torch.zeros(VOCAB_SIZE))
    assert t.ids==one.ids[:len(t.ids)]                                           # the first goes on as if nothing had been
