"Notes that are given: whatever they are, they are in the result, the ids are well-formed, and the weights are exact."
import math
import numpy as np, pytest, torch
from hypothesis import given, settings, strategies as st
from music_transformer import given as room
from music_transformer.data import Performance
from music_transformer.drawing import Rule
from music_transformer.echo import Planned
from music_transformer.generation import Returns, generate
from music_transformer.given import ARRIVE, Cloud, Particle, accompany, bridge, complete, fill, gap_in, play_on, vary, what_follows, _foretold
from music_transformer.model import ModelConfig, MusicTransformer
from music_transformer.processor import EOS, NOTE_OFF, STEP, TIME_SHIFT, VELOCITY, VOCAB_SIZE, decode, encode
from music_transformer.settings import Sampling

def small(**kw):
    torch.manual_seed(0)
    return MusicTransformer(ModelConfig(d_model=32, n_layers=1, n_heads=2, d_ff=64, max_distance=64, **kw)).eval()

@pytest.fixture(scope='module')
def model(): return small()

@st.composite
def performances(draw, most=12):
    "Notes that do not overlap themselves, with times off the grid, on any key."
    ends,notes = {},[]
    for _ in range(draw(st.integers(1, most))):
        pitch = draw(st.sampled_from((3, 48, 60, 61, 64, 72, 120)))
        start = ends.get(pitch, 0)+draw(st.sampled_from((0, .0013, .3, 1.7)))
        end = start+draw(st.sampled_from((.0004, .02, .25, .6, 2.5)))
        ends[pitch] = end+.02
        notes.append((start, end, pitch, draw(st.integers(1, 127))))
    return Performance(notes)

def check(p, q):
    "All of `p` is in `q`, exactly; and what was drawn is what the encoder would write."
    new = q.info['new']
    assert np.array_equal(q.notes[~new], p.notes)
    ids = q.info['ids']
    whole = ids if ids[-1]==EOS else [*ids, TIME_SHIFT]
    n = len(whole)-1
    assert np.array_equal(encode(decode(whole))[:n], whole[:n])
    assert np.array_equal(encode(q)[:len(ids)-1], ids[:-1])
    same = q.notes[np.lexsort((q.notes['start'], q.notes['pitch']))]
    apart = (np.diff(same['pitch'])!=0) | (same['start'][1:]>=same['end'][:-1]-1e-9)
    assert apart[~np.isin(same['pitch'][1:], p.notes['pitch'])].all()

@settings(max_examples=25, deadline=None)
@given(p=performances(), seed=st.integers(0, 99), cut=st.tuples(st.floats(0, 1), st.floats(0, 1)), most=st.sampled_from((None, 1, 5)),
       shortest=st.sampled_from((0., .05, .3)), how=st.sampled_from((dict(), dict(temperature=.7), dict(temperature=0.), dict(grammar=False), dict(top_k=3), dict(max_rest=.05), dict(max_hold=.05))))
def test_whatever_is_given_is_in_the_result(model, p, seed, cut, most, shortest, how):
    a,b = sorted(o*p.seconds for o in cut)
    if b-a<STEP: a,b = 0,p.seconds
    if b-a<STEP: return
    q = complete(model, p, (a, b), particles=3, seed=seed, most=most, shortest=shortest, **how)
    check(p, q)
    new = q.notes[q.info['new']]
    assert (new['start']>=a-STEP).all() and (new['start']<b+STEP).all()
    assert q.info['logp']<=0 and q.info['effective']>=1-1e-9

class Nothing(Rule):
    "A rule that forbids to strike."
    def veto(self, past, allowed): allowed[:NOTE_OFF] = False

def test_what_is_given_has_its_way(model):
    p = Performance([(0,1,60,66), (2,3,64,66)])
    check(p, complete(model, p, particles=2, rules=[Nothing()]))
    with torch.no_grad():
        stubborn = small()
        stubborn.head.weight *= 200
    q = complete(stubborn, p, (1, 2), particles=4)
    check(p, q)
    assert q.info['likely']=='next to impossible' and math.isfinite(q.info['logp'])

class Few(Rule):
    def veto(self, past, allowed):
        few = [60, 64, NOTE_OFF+60, NOTE_OFF+64, VELOCITY+16, EOS]
        if past.steps<150: few.append(TIME_SHIFT+49)
        allowed &= np.isin(np.arange(VOCAB_SIZE), few)

def test_resampling_at_every_id_changes_no_total(monkeypatch):
    "The lesson's enumerated case, with the sum of its pieces; resampled as often as can be, and once not at all."
    tiny = small(state=False, wishes=False, clock=False)
    with torch.no_grad(): tiny.head.weight *= 8
    found = {}
    for always in (True, False):
        monkeypatch.setattr(room, 'effective', lambda logw: 0 if always else len(logw))
        sampling = Sampling(off_scale=0., top_p=1., max_hold=99., max_rest=99.)
        cloud = Cloud(Particle(gap_in(Performance([(.5,1,64,66)]), 0, 1), sampling, rules=[Few()]), 600, seed=3)
        for _ in play_on(tiny, cloud): pass
        logw = cloud.weights()
        w = np.exp(logw-np.logaddexp.reduce(logw))
        share = {}
        for o,x in zip(cloud, w): share[tuple(o.ids)] = share.get(tuple(o.ids), 0)+x
        found[always] = np.logaddexp.reduce(logw)-math.log(600), share
    (a,p),(b,q) = found.values()
    assert abs(a-b)<.2
    assert sum(abs(p.get(k, 0)-q.get(k, 0)) for k in {*p, *q})/2<.12

def test_an_echo_goes_with_its_take():
    check(p := Performance([(t/4, t/4+.2, 60+t%3, 66) for t in range(24)]), fill_(small(echo=True), p))

def fill_(model, p): return complete(model, p, (2, 4), particles=4)

def test_a_stop_gives_what_there_is(model):
    p = Performance([(t/4, t/4+.2, 60+t%3, 66) for t in range(24)])
    q = fill(model, p, 2, 4, particles=3, progress=lambda share: share>.5)
    assert q.info['ended']=='stopped' and set(q.notes[~q.info['new']].tolist())<=set(p.notes.tolist())

def test_seeds_progress_and_door(model):
    p = Performance([(t/4, t/4+.2, 60+t%3, 66) for t in range(24)])
    heard = []
    a,b = fill(model, p, 2, 3, particles=2, seed=[1,2], progress=heard.append)
    assert heard==sorted(heard) and heard[-1]==1
    assert b==fill(model, p, 2, 3, particles=2, seed=2) and a!=b
    assert generate(model, given=p, between=(2,3), particles=2)==complete(model, p, (2,3), particles=2)
    assert generate(model, primer=p, given=p, seconds=1, particles=2)==bridge(model, p, p, 1, particles=2)
    c,d = vary(model, p, keep=.5, particles=2, seed=[1,2])
    assert not np.array_equal(c.notes[~c.info['new']], d.notes[~d.info['new']])

def test_a_hundred_thousand_notes_are_not_lost(model):
    p = Performance([(t/50, t/50+.01, 21+t%88, 66) for t in range(100_000)])
    q = complete(model, p, (1000, 1000.1), particles=2)
    assert np.array_equal(q.notes[~q.info['new']], p.notes)
    assert len(q.info['ids'])<40_000                       # of the left side only the last half hour or less was read

bad = [(dict(particles=0), 'particles must be'), (dict(most=0), 'most must be'), (dict(between=(2,1)), 'more after it begins'),
       (dict(between=(0,99)), 'lies outside the piece'), (dict(between=3), 'two moments'), (dict(between=(float('nan'),1)), 'two moments'),
       (dict(seed=[]), 'at least one'), (dict(window=0), 'window must be'), (dict(temperature=-1), 'temperature must be'), (dict(shortest=-1), 'shortest must be'),
       (dict(particles=None), 'particles must be'), (dict(between='24'), 'two moments'), (dict(between=('0','1')), 'two moments')]

@pytest.mark.parametrize('how,said', bad, ids=lambda o: str(o)[:30])
def test_what_is_refused(model, how, said):
    with pytest.raises(ValueError, match=said): complete(model, Performance([(0,2,60,66)]), **how)

def test_notes_that_overlap_themselves(model):
    with pytest.raises(ValueError, match='key 60 sounds to 2.00 s and is struck again at 1.00 s'):
        accompany(model, Performance([(0,2,60,66), (1,3,60,66)]))
    with pytest.raises(TypeError, match='did you mean temperature'): accompany(model, Performance([(0,2,60,66)]), temperatur=1)
    with pytest.raises(ValueError, match='no given notes'): fill(model, Performance([(0,2,60,66)]), 0, 2)

class Never(Rule):
    "Finds a given key impossible."
    def bias(self, past, logits): logits[60] = -torch.inf

class One(Rule):
    "One note at a time."
    def veto(self, past, allowed):
        if past.down.any(): allowed[:128] = False

def test_rules_of_ones_own(model):
    p = Performance([(0,.5,62,66), (1,2,60,66)])
    q = complete(model, p, (0,2), particles=2, rules=[Never()])
    assert set(p.notes.tolist())<=set(q.notes.tolist()) and q.info['likely']=='next to impossible'
    q = complete(model, Performance([(0,1,60,66), (2,3,64,66)]), particles=2, rules=[One()])
    for t in q.notes['start'][q.info['new']]: assert not ((q.notes['start']<t) & (t<q.notes['end']-STEP)).any()

def test_where_no_key_is_free(model):
    held = Performance([(0,2,k,66) for k in range(21,109)])
    q = complete(model, held, (.5,1.5), particles=2)
    assert not q.info['new'].any() and np.isfinite(q.info['logp'])
    with_all = complete(model, Performance([(0,2,k,66) for k in range(128)]), (.5,1.5), particles=2)
    assert len(with_all)==128

def test_a_gap_at_the_beginning_is_not_left_silent(model):
    p = Performance([(t, t+.4, 60+t, 66) for t in range(8)])
    assert fill(model, p, 0, 4, particles=2).notes['start'].min()<=1

def test_no_more_strikes_a_second_than_asked_after_repeated_notes(model):
    p = Performance([(.06*n, .06*n+.05, 60, 66) for n in range(16)]+[(2,3,64,66)])
    q = complete(model, p, (.95,1.2), particles=2, most=3)
    for t in q.notes['start'][q.info['new']]: assert ((q.notes['start']>t-1) & (q.notes['start']<t)).sum()<=3

def test_what_follows_says_which_scale_we_are_in(model):
    "Nothing has sounded; a flood of notes in F sharp major follows. What a random model puts before them is off that scale less than half as often."
    later = Performance([(4+i*.1, 4.09+i*.1, 54+(0,2,4,5,7,9,11)[3*i%7]+12*(i%2), 66) for i in range(60)])
    def off(sampling):
        new = [fill(model, later, 0, 3, seed=s, particles=1, **sampling) for s in range(1, 13)]
        pitch = np.concatenate([p.notes['pitch'][p.info['new']] for p in new])
        assert len(pitch)>60
        return np.isin((pitch-6)%12, (1,3,6,10)).mean()        # the raised fifth is in a scale of `InScale`
    assert off(dict(off_scale=3.))<.5*off(dict(off_scale=0.))

def test_a_gap_of_a_hundredth_and_one_note(model):
    assert len(fill(model, Performance([(0,1,60,66), (5,5.4,62,66), (5.2,6,64,66)]), 5, 5.01, particles=2))>=2
    assert 60 in vary(model, Performance([(0,1,60,66)]), particles=2, seed=1).notes['pitch']

def test_a_gap_that_reaches_the_end_is_no_surprise(model):
    "Nothing is given after it, so nothing can be called unlikely."
    p = Performance([(t, t+.4, 60+t, 66) for t in range(6)])
    q = fill(model, p, 4, p.seconds, particles=2)
    assert q.info['given_ids']==0 and 'likely' not in q.info and np.isfinite(q.info['logp'])

def test_a_wish_must_begin_in_the_gap():
    hearer = small(echo=True, directions=True)
    p = Performance([(t, t+.4, 60+t, 66) for t in range(6)])
    with pytest.raises(ValueError, match='a wish from 20 s on lies beyond the 1 s'): fill(hearer, p, 2, 3, particles=2, loudness=[(0,40), (20,80)])
    fill(hearer, p, 2, 3, particles=2, loudness=[(0,40), (.5,80)])

def test_wrong_kinds(model):
    p = Performance([(t, t+.4, 60+t, 66) for t in range(6)])
    with pytest.raises(TypeError, match='a Performance or the path'): fill(model, None, 0, 1)
    for seconds in ('8', 0, 1e7, None):
        with pytest.raises(ValueError, match='seconds must be'): bridge(model, p, p, seconds)
    for between in (0, ()):
        with pytest.raises(ValueError, match='two moments'): vary(model, p, between=between)
    assert len(vary(model, p, between=np.array([2,2.5]), particles=1))>=5

def test_returns_where_notes_are_given():
    listener = small(echo=True)
    p = Performance([(t/2, t/2+.4, 60+t%5, 66) for t in range(24)])
    q = generate(listener, given=p, between=(8,10), returns=[(8,0,3)], particles=2)
    [found] = q.info['returns']
    assert 8<=found['when']<=10 and found['since']<=2.5
    for idle in (dict(tails=1), dict(keep_primer=False), dict(seconds=8)):
        with pytest.raises(ValueError, match='has no say'): generate(listener, given=p, **idle)

@pytest.mark.parametrize('when', [5, 10, 500])
def test_a_return_outside_of_the_gap_is_refused(when):
    p = Performance([(t/2, t/2+.4, 60+t%5, 66) for t in range(24)])
    with pytest.raises(ValueError, match=f'a return at {when} s lies outside of what is to be composed, from 8 s to 10 s'):
        generate(small(echo=True), given=p, between=(8,10), returns=[(when,0,3)], particles=2)

def test_a_return_after_more_than_is_read(monkeypatch):
    "Its seconds are those of the piece, though only the end of what comes before the gap is read."
    p,listener = Performance([(t/2, t/2+.4, 60+t%5, 66) for t in range(64)]),small(echo=True)
    monkeypatch.setattr(room, 'LOOK_BACK', 60)
    q = fill(listener, p, 28, 30, returns=np.array([[28, 24, 26.]]), particles=2)
    [found] = q.info['returns']
    assert gap_in(p, 28, 30).origin>0 and 28<=found['when']<=30 and 22<=found['since']<=26

def test_each_take_is_told_once_to_return():
    told = Returns([Planned(8., 0., 3.)])
    gap = gap_in(Performance([(t/2, t/2+.4, 60+t%5, 66) for t in range(24)]), 8, 10)
    cloud = Cloud(Particle(gap, rules=[told]), 3, seed=1)
    model,plans = small(echo=True),[]
    class Listening(Rule):
        def tell(self, past, heard): plans.append(len(heard.plan))
    for o in cloud.takes: o.rules.append(Listening())
    for _ in play_on(model, cloud): pass
    assert max(plans)==1

def test_what_follows_is_foretold(model):
    p,net = Performance([(t/4, t/4+.2, 60+t%3, 66) for t in range(80)]),small(echo=True, directions=True)
    how = _foretold(net, p, 2, 6, {})
    assert how['guidance']==1 and how['loudness']==[(2, 66)] and how['notes_per_second'][0][1]==pytest.approx(4, abs=.2)
    assert _foretold(net, p, 2, 14, {})['height'][0][0]==12-ARRIVE
    assert _foretold(net, p, 2, 6, dict(guidance=3.))['guidance']==3
    for how in (dict(loudness=30), dict(composer='Liszt')): assert _foretold(net, p, 2, 6, how)==how  # a wish takes its place
    for how in (dict(loudness=None), dict(height=0), dict(composer='')): assert _foretold(net, p, 2, 6, how)['loudness']==[(2, 66)]
    for net_,b in ((model,6), (net,20)): assert _foretold(net_, p, 2, b, {})=={}                      # not learned; nothing follows
    thick = Performance([(10+t/100, 11, 21+t%88, 127) for t in range(88)])
    check(thick, fill(net, thick, 2, 9, particles=2))                                                 # more than may be asked for

def test_a_bridge_foretells_its_first_chord(monkeypatch):
    p,q = Performance([(0, 2.383, 60, 66)]),Performance([(7.888, 9.888, k, 66) for k in (60,64,67)])
    heard = []
    monkeypatch.setattr(room, 'what_follows', lambda *a: heard.append(what_follows(*a)) or heard[-1])
    bridge(small(echo=True, directions=True), p, q, .57, particles=2)           # to-start+start is not always to
    assert heard[0]['sounding']==3

@pytest.mark.parametrize('use, how, said', [(fill, dict(fortell=False), 'fill has no parameter fortell; did you mean foretell'), (fill, dict(given=1), 'fill has no parameter given'),
    (vary, dict(foretell=True), 'vary has no parameter foretell'), (accompany, dict(particels=1), 'did you mean particles')])
def test_a_name_that_is_none(model, use, how, said):
    p = Performance([(t/4, t/4+.2, 60, 66) for t in range(24)])
    with pytest.raises(TypeError, match=said): use(model, p, *((1,2) if use is fill else ()), **how)

def test_foretell_is_yes_or_no(model):
    p = Performance([(t/4, t/4+.2, 60, 66) for t in range(24)])
    for wrong in ('no', 2, 8., np.array([True,False])):
        with pytest.raises(ValueError, match='foretell must be True or False'): fill(model, p, 1, 2, foretell=wrong)
    with pytest.raises(ValueError, match='nothing fits between'): bridge(model, Performance([(0,1,60,60), (3,3.001,62,60)]), p, .001)
