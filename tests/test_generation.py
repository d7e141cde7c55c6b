"Lengths, ends and rests of composed pieces, the plan of returns, and how settings are explained: what is too long for the lesson."
import inspect, pydoc
import numpy as np, pytest, torch
from hypothesis import given, settings, strategies as st
from music_transformer.data import Performance
from music_transformer.generation import Ending, Sampling, Take, generate
from music_transformer.model import ModelConfig, MusicTransformer
from music_transformer.processor import EOS, Grammar, NOTE_OFF, SOS, STEP, TIME_SHIFT, VELOCITY, VOCAB_SIZE, decode, encode

@pytest.fixture(scope='module')
def model(): return MusicTransformer.from_pretrained()

def rests(p):
    "Seconds of silence before each note but the first."
    n = p.notes
    return np.maximum(n['start'][1:]-np.maximum.accumulate(n['end'])[:-1], 0)

@pytest.mark.parametrize('temperature', (0, .3, .6))
def test_a_careful_draw_makes_music_to_the_end(model, temperature):
    p = generate(model, seconds=20, temperature=temperature, seed=1, tails=1)
    strikes = np.sort(p.notes['start'])
    assert 18<=p.seconds<=21 and len(p)>=8
    assert np.diff(strikes).max()<=5+2+.02 and rests(p).max()<=2.001             # max_hold, then max_rest

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
    assert rests(p).max(initial=0)<=2.001 and p.notes['start'].min()<=1.001

@settings(max_examples=25, deadline=None)
@given(seconds=st.floats(.01, 12), rest=st.floats(.01, 6), hold=st.floats(.01, 6), seed=st.integers(0, 99))
def test_rules_of_drawing_leave_a_way_on(seconds, rest, hold, seed):
    logits = 6*torch.randn(VOCAB_SIZE, generator=torch.Generator().manual_seed(seed))
    t = drawn(logits, seconds, max_rest=rest, max_hold=hold)
    p = decode(np.array(t.ids))
    n = p.notes
    assert rests(p).max(initial=0)<=max(rest, STEP)+STEP and (n['end']-n['start']).max()<=max(hold, STEP)+STEP
    assert p.seconds<=max(seconds, 1)+1.02

def test_time_shifts_stop_where_the_length_is_reached():
    for seconds,now in ((3,250), (10,999), (60,5901), (60,0), (60,6000)):
        g,ok,e = Grammar(),np.ones(VOCAB_SIZE, bool),Ending(seconds)
        for i in [VELOCITY+9, 60] + [TIME_SHIFT+99]*(now//100) + [TIME_SHIFT+now%100-1]*(now%100>0): g.push(i)
        e.veto(g, ok)
        assert ok[TIME_SHIFT:VELOCITY].sum()==min(100*seconds+100-now, 100), (seconds, now)

three = Performance([(i*.5, i*.5+1.9, 48+i, 60) for i in range(9)])

@pytest.mark.parametrize('kw', [dict(seconds=5), dict(seconds=10), dict(seconds=5, primer=three), dict(seconds=5, primer=three, keep_primer=False), dict(seconds=6, tails=1)], ids=str)
def test_within_a_second_of_the_asked_length(model, kw):
    begin = 4. if 'primer' in kw else 0.                                         # the primer's last strike
    for p in generate(model, seed=[1,2,3], **kw):
        first = p.info['new_from'] if kw.get('keep_primer', True) else 0
        long = p.seconds-(begin if first else 0)
        assert abs(long-kw['seconds'])<=1.02 or p.info['ended']=='by itself' or not kw.get('keep_primer', True) and 0<=kw['seconds']-long<=2.1, (long, p.info['ended'])

def test_progress_counts_what_is_left(model):
    told = []
    generate(model, seconds=8, seed=[1,2], progress=told.append)
    assert all(a<=b+1e-9 for a,b in zip(told, told[1:])) and .9<told[-1]<=1+1e-9
    assert sum(o>.99 for o in told)<.1*len(told)                                 # it does not stand at the end

def test_stopped_where_the_one_who_listens_says_so(model):
    p = generate(model, seconds=30, seed=1, progress=lambda share: share>.1)
    whole = generate(model, seconds=30, seed=1, tails=1).info['ids']
    assert p.info['ended']=='stopped' and 1<=p.seconds<=10
    assert p.info['ids'].tolist()==whole[:len(p.info['ids'])].tolist()

@pytest.mark.parametrize('wrong, meant', [('second','seconds'), ('n','seed'), ('topk','top_k'), ('temprature','temperature'), ('maxrest','max_rest')])
def test_a_wrong_setting_is_told_the_nearest_real_one(model, wrong, meant):
    with pytest.raises(TypeError, match=f'no parameter {wrong};.*{meant}'): generate(model, **{wrong: 1})

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
