"Attention, cache and generation: what is too long or too odd for the lessons."
import numpy as np, pytest, torch
from music_transformer.model import MusicTransformer, ModelConfig, Cache, State, Step, key_classes, rel_attention
from music_transformer.drawing import GUIDANCE
from music_transformer.generation import generate, stream, Take, Ending, Sampling, compose
from music_transformer.processor import Grammar
from music_transformer.processor import SOS, EOS, NOTE_OFF, TIME_SHIFT, VELOCITY, VOCAB_SIZE, encode, decode
from music_transformer.data import Performance

small = dict(d_model=32, n_layers=2, n_heads=2, d_ff=64, max_distance=40, position='relative')
kinds = [dict(position=p, state=s, wishes=w, clock=c) for p in ('relative','rotary','sinusoidal','none') for s,w,c in ((True,True,True),(False,True,False),(False,False,False))
    if p=='rotary' or s or not w] # that wishes need no state is seen once
name = lambda o: '-'.join(map(str, o.values()))

def make(**kw): torch.manual_seed(0); return MusicTransformer(ModelConfig(**small|kw)).eval()
def ids(B=2, T=150, seed=0): return torch.randint(0, 391, (B, T), generator=torch.Generator().manual_seed(seed))

def reference(q, k, v, e):
    "Every pair by itself."
    (B,H,T,d),S = q.shape,k.shape[2]
    s = torch.full((B,H,T,S), -torch.inf, dtype=q.dtype)
    for i in range(T):
        for j in range(S-T+i+1): s[:,:,i,j] = (q[:,:,i]*(k[:,:,j]+e[:,min(S-T+i-j, e.shape[1]-1)])).sum(-1)/d**.5
    return s.softmax(-1) @ v

@pytest.mark.parametrize('T,S,M,block', [(1,1,1,64), (2,9,3,64), (65,65,20,64), (64,64,100,64), (70,90,1,16), (33,33,33,32), (5,300,7,64)])
def test_attention_and_its_gradients_are_the_formula(T, S, M, block):
    g = torch.Generator().manual_seed(T)
    q,k,v,e = (torch.randn(*s, generator=g, dtype=torch.float64, requires_grad=True) for s in ((2,3,T,8), (2,3,S,8), (2,3,S,5), (3,M,8)))
    a,b = rel_attention(q, k, v, e, block),reference(q, k, v, e)
    assert (a-b).abs().max()<1e-10
    w = torch.randn(b.shape, generator=g, dtype=torch.float64)
    for x,y in zip(torch.autograd.grad((a*w).sum(), (q,k,v,e)), torch.autograd.grad((b*w).sum(), (q,k,v,e))): assert (x-y).abs().max()<1e-10
    with torch.no_grad(): assert torch.equal(rel_attention(q, k, v, e, block), a)

def test_under_autocast():
    m = make().train(); x = ids()
    def run(on):
        m.zero_grad()
        with torch.autocast('cpu', torch.bfloat16, enabled=on): logits = m(x)
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0,1), x.clamp(max=387).flatten()); loss.backward()
        return loss.item(), m.blocks[0].attn.e_rel.grad.clone()
    m.cfg.dropout = 0.
    for o in m.modules():
        if isinstance(o, torch.nn.Dropout): o.p = 0.
    (a,ga),(b,gb) = run(False),run(True)
    assert abs(a-b)<.02 and (ga-gb).norm()<.1*ga.norm()

@pytest.mark.parametrize('kw', kinds, ids=name)
def test_the_cache_changes_nothing(kw):
    m,x = make(**kw),ids()
    with torch.no_grad():
        full = m(x)
        for cuts in ([150], [1]*150, [37,1,1,60,51]):
            c = Cache(200)
            assert (torch.cat([m(o, c) for o in x.split(cuts, 1)], 1)-full).abs().max()<1e-5

@pytest.mark.parametrize('kw', kinds, ids=name)
def test_the_cache_rolls_for_ever_in_the_same_room(kw):
    m,x = make(**kw|dict(n_layers=1)),ids(1, 360)
    c,window = Cache(50),50
    with torch.no_grad():
        out = torch.cat([m(x[:,i:i+1], c) for i in range(360)], 1)
        room = {i: o[0].shape for i,o in c.layers.items()}
        assert room[0][3]==100
        if kw['position']!='sinusoidal':                                         # which counts from the start
            for i in (120, 250, 359):
                want = m(x[:,i-49:i+1], past=x[:,:i-49])[:,-1]
                assert (out[:,i]-want).abs().max()<2e-5, i

extras = kinds + [dict(position=p, state=s, echo=True, conv=4) for p,s in (('relative',True), ('rotary',False))]

@pytest.mark.parametrize('kw', extras, ids=name)
def test_a_step_is_the_full_pass(kw):
    m,x = make(**kw),ids(3)
    for k,p in m.named_parameters():
        if 'conv' in k: torch.nn.init.normal_(p, std=.3)
    with torch.no_grad():
        full,c = m(x),Cache(200)
        m(x[:,:5], c)
        step = Step(m, c)
        for i in range(5, 150): assert (step(x[:,i].tolist())-full[:,i]).abs().max()<1e-5, i

def test_a_step_and_the_full_pass_may_take_turns_while_the_window_rolls():
    m,x = make(echo=True, conv=4),ids(2, 300)
    with torch.no_grad():
        a,b = Cache(50),Cache(50)
        m(x[:,:9], a), m(x[:,:9], b)
        step = Step(m, b)
        for i in range(9, 300):
            want = m(x[:,i:i+1], a)[:,0]
            got = m(x[:,i:i+1], b)[:,0] if i%7==0 else step(x[:,i].tolist())
            assert (got-want).abs().max()<1e-5, i

@pytest.mark.parametrize('given', [[SOS], encode(Performance([(0,1,60,64), (.5,2,64,64), (1,3,67,90)]))[:-1].tolist()], ids=['new','primer'])
def test_by_steps_the_same_ids_are_composed(given):
    m,seeds = MusicTransformer.from_pretrained(),(1,2)
    def takes(): return [Take(given, s, Ending(tokens=80), Sampling()) for s in seeds]
    one,all = takes(),takes()
    for t in one:
        c,x = Cache(64),torch.tensor([given])
        while not t.over:
            with torch.inference_mode(): t.draw(m(x, c)[0,-1])
            x = torch.tensor([t.ids[-1:]])
    for _ in compose(m, all, 64): pass
    assert [t.ids for t in all]==[t.ids for t in one] and len(all[0].ids)==len(given)+80

def test_what_a_step_refuses():
    m,c = make(),Cache(9)
    with pytest.raises(ValueError, match='the cache is empty'): Step(m, c)
    with torch.no_grad(): m(ids(2, 3), c)
    step = Step(m, c)
    for bad,why in (([1,391], '0-390'), ([-1,1], '0-390'), ([1], '2 streams'), ([1,2,3], '2 streams')):
        with pytest.raises(ValueError, match=why): step(bad)
    assert c.seen==3

def test_rows_of_a_batch_can_leave():
    m,x = make(),ids(4, 60)
    with torch.no_grad():
        c = Cache(100); m(x[:,:30], c); c.select([2,0])
        assert (m(x[[2,0],30:], c)-m(x[[2,0]])[:,30:]).abs().max()<1e-5

@pytest.mark.parametrize('seed', range(3))
def test_state_is_what_decode_hears(seed):
    rng = np.random.default_rng(seed); s = rng.uniform(0, 20, 200).round(2)
    x = encode(Performance(list(zip(s, s+rng.exponential(.8, 200)+.01, rng.integers(20, 110, 200), rng.integers(1, 128, 200)))))
    t = State().trace(torch.from_numpy(x.astype(np.int64))[None])
    g = Grammar()
    for n,i in enumerate(x[1:], 1):
        g.push(int(i))
        assert (t['down'][0,n].numpy()==g.down).all() and t['now'][0,n]==g.steps and t['velocity'][0,n]==(32 if g.velocity is None else g.velocity)

def test_arrays_and_tensors_are_described_alike():
    rng = np.random.default_rng(0)
    for share in (0, .03, .3, 1):
        down,age = rng.random((3,128))<share,rng.integers(0, 24, (3,128))
        assert np.array_equal(key_classes(down, age), key_classes(torch.from_numpy(down), torch.from_numpy(age)).numpy())

def test_what_moved_is_still_found_here():
    from music_transformer import model, relative, settings
    assert model.ModelConfig is settings.ModelConfig and model.rel_attention is relative.rel_attention
    assert {'ModelConfig','by_key','rel_attention','flex_attend'}<=set(model.__all__)

def test_takes_of_a_batch_end_where_they_like():
    m = make()
    takes = [Take([SOS], s, Ending(tokens=n), Sampling()) for s,n in ((1,30), (2,7), (3,90))]
    rounds = [len(o) for o in compose(m, takes, 40)]
    assert rounds==[3]*7+[2]*23+[1]*60 and [len(t.ids) for t in takes]==[31,8,91]
    alone = Take([SOS], 3, Ending(tokens=90), Sampling()); list(compose(m, [alone], 40))
    assert alone.ids==takes[2].ids

def test_of_several_tails_the_likeliest_end_is_taken():
    m = MusicTransformer.from_pretrained()
    takes = [Take([SOS], s, Ending(seconds=6, tails=4, told=True), Sampling()) for s in (2,3,8)]
    for _ in compose(m, takes, 512, GUIDANCE): pass
    assert any(len({o.best_end() for o in t.tails})>1 for t in takes)                                # there was something to choose
    for t in takes:
        assert len(t.tails)==4 and all(o.ids[:len(t.ids)]==t.ids for o in t.tails) and t.past.steps-t.ending.begin>=540
        best = max(t.tails, key=lambda o: o.best_end())
        n = best.best_end()[1]
        assert t.finished()[0]==(best.ids[:n]+[EOS] if n else best.ids)
    assert generate(m, seconds=6, seed=8, tails=4).info['ids'].tolist()[:400]==takes[2].finished()[0][:400]

def test_a_rest_that_ends_a_piece_is_no_part_of_it():
    ids = [SOS, VELOCITY+9, 60, TIME_SHIFT+99, NOTE_OFF+60]                                    # one second; a rest from then on
    logits = torch.full((VOCAB_SIZE,), -50.); logits[TIME_SHIFT+99] = 50.
    for tails in (1,4):
        t = Take(ids, 1, Ending(seconds=4.2, tails=tails), Sampling(max_rest=60.))
        takes = [t]
        while takes: [o.draw(logits) for o in takes]; takes = [o for k in takes for o in k.go_on()]
        assert len(t.tails)==4*(tails>1) and t.finished()==(ids, 'cut'), tails

def test_cut_off_where_it_was_promised():
    for seconds,now in ((3,370), (10,1090), (60,6095), (60,0)):
        g,ok = Grammar(),np.ones(VOCAB_SIZE, bool)
        for i in [VELOCITY+9, 60] + [TIME_SHIFT+99]*(now//100) + [TIME_SHIFT+now%100-1]*(now%100>0): g.push(i)
        Ending(seconds).veto(g, ok)
        most = 100*(seconds+1)-now
        assert ok[TIME_SHIFT:VELOCITY].sum()==max(1, min(most, 100)), (seconds, now)

def test_long_streams_are_well_formed():
    for kw in (dict(), dict(state=False, wishes=False, clock=False)):
        out = generate(make(n_layers=1, **kw), tokens=2100, seed=5, window=64).info['ids']
        assert len(out)==2101 and np.array_equal(encode(decode(out))[:-1][:2000], out[:2000])

def test_greedy_draws_nothing():
    m = make()
    assert generate(m, tokens=80, seed=1, temperature=0)==generate(m, tokens=80, seed=2, temperature=0)

def test_broken_weights_are_said():
    m = make()
    with torch.no_grad(): m.head.weight[0,0] = float('nan')
    with pytest.raises(ValueError, match='NaN'): generate(m, tokens=5)
    with pytest.raises(ValueError, match='NaN'): list(stream(m, tokens=5))

@pytest.mark.parametrize('kw', [dict(temperature=-1), dict(temperature=float('nan')), dict(top_p=0), dict(top_p=1.1), dict(top_k=-1), dict(min_p=2), dict(seconds=0), dict(seconds=float('inf')),
                                dict(tokens=0), dict(tokens=1.5), dict(seed=-1), dict(seed='a'), dict(seed=[]), dict(max_hold=0), dict(window=0), dict(primer=Performance([]))], ids=str)
def test_refused_before_any_work(kw):
    with pytest.raises(ValueError, match=next(iter(kw)).replace('primer', 'primer has no notes')): generate(make(), **kw)
    if not isinstance(kw.get('seed'), list):
        with pytest.raises(ValueError): stream(make(), **kw)                   # not only when the first event is asked for

def test_a_long_part_after_a_short_one():
    m,x = make(n_layers=1),ids(1, 99)
    c = Cache(16)
    with torch.no_grad():
        m(x[:,:1], c); got = m(x[:,1:], c)
        assert (got-m(x)[:,1:]).abs().max()<1e-5
    with pytest.raises(ValueError, match='streams'): m(ids(2, 3), c)
    with pytest.raises(ValueError, match='window'): Cache(0)

def test_a_new_model_composes_without_dropout_and_stays_in_training():
    torch.manual_seed(0); m = MusicTransformer(ModelConfig(**small))
    assert generate(m, tokens=50, seed=1)==generate(m, tokens=50, seed=1) and m.training

def test_what_is_new_is_known_without_a_grammar_too():
    pr = Performance([(0,1,60,64), (.5,1,64,64), (.5,2,120,64)])
    for seed in range(6):
        whole,new = (generate(make(), tokens=60, seed=seed, grammar=False, primer=pr, keep_primer=k) for k in (True, False))
        given = {(0.,60), (.5,64), (.5,120)}
        assert len(new)==len([o for o in whole.notes if (round(o['start'], 2),int(o['pitch'])) not in given])

@pytest.mark.parametrize('bad', [dict(d_model=32.), dict(d_ff='a'), dict(n_layers=None), dict(dropout=None), dict(state='no')], ids=str)
def test_a_config_of_other_types_is_refused(bad, tmp_path):
    import json
    with pytest.raises(ValueError, match=next(iter(bad))): ModelConfig(**small|bad)
    m = make(); m.save_pretrained(tmp_path); f = tmp_path/'config.json'
    f.write_text(json.dumps(json.loads(f.read_text())|bad))
    with pytest.raises(ValueError, match='config.json'): MusicTransformer.from_pretrained(tmp_path)

def test_a_damaged_reference_is_said(tmp_path):
    make().save_pretrained(tmp_path)
    for text in ('', '[]', '{"ids": [389, 60], "loss": "x"}', '{}'):
        (tmp_path/'reference.json').write_text(text)
        with pytest.raises(ValueError, match='reference.json'): MusicTransformer.from_pretrained(tmp_path, verify=True)

def test_two_streams_at_once_change_nothing():
    torch.manual_seed(0)
    m = MusicTransformer(ModelConfig(**small, dropout=.3)).train()
    alone = [list(stream(m, tokens=80, seed=s)) for s in (1,2)]
    n = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        a,b = (stream(m, tokens=80, seed=s) for s in (1,2))
        got = [[next(a)], [next(b)]]
        assert m.training and torch.get_num_threads()==2
        got[0] += list(a); got[1] += list(b)
        assert got==alone and m.training and torch.get_num_threads()==2
    finally: torch.set_num_threads(n)

def test_no_time_no_end_without_the_grammar():
    m = MusicTransformer(ModelConfig(**small)).eval()
    with torch.no_grad(): m.head.weight.zero_(); m.norm.weight.zero_(); m.norm.bias.fill_(1.); m.head.weight[60].fill_(1.)  # it always says key 60
    assert len(generate(m, seconds=2, grammar=False, temperature=0).info['ids'])<2000
    for bad in (dict(temperature='a'), dict(tails=0), dict(tails=1.5), dict(top_p=None), dict(seconds='3'), dict(tokens=True), dict(window=2.5)):
        with pytest.raises(ValueError, match=next(iter(bad))): generate(m, **bad)
    assert len(generate(m, tokens=5, window=np.int64(9), top_k=np.int64(3), seed=np.arange(2)))==2
