"The eight rules of the vocabulary, each against a slow reading of it; windows; the token store under damage and kills."
import csv, errno, io, json, os, resource, shutil, signal, subprocess, sys, time, zipfile
from collections import defaultdict
from pathlib import Path
import numpy as np, pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from conftest import in_child
from music_transformer import corpus, files
from music_transformer.data import MidiError, Performance, note_dtype, read_midi, write_midi
from music_transformer.processor import (EOS, MAX_SHIFT, NOTE_OFF, NOTE_ON, PAD, SOS, STEP, TIME_SHIFT, VELOCITY, VOCAB_SIZE,
    Augment, TokenStore, Windows, decode, encode, epoch_stream, prepare)

check = settings(deadline=None, max_examples=100, database=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

# ---- the rules, read aloud ----

def slow_grid(notes):
    "Rules 1 and 3: rows of (on, off, pitch, velocity) in steps."
    strikes = {}
    for start,end,pitch,velocity in notes:
        at = int(pitch),round(start/STEP)
        off,loud = strikes.get(at, (0,0))
        strikes[at] = max(off, round(end/STEP)),max(loud, int(velocity))
    rows = []
    for (pitch,on),(off,velocity) in strikes.items():
        off = max(off, on+1)
        for other,later in strikes:
            if other==pitch and on<later<off: off = later
        rows.append((on,off,pitch,velocity))
    return sorted(rows, key=lambda o: (o[0],o[2]))

def slow_encode(notes, grid=slow_grid):
    "Rules 4, 5 and 7."
    events = []
    for on,off,pitch,velocity in grid(notes): events += [(off,0,pitch,0), (on,1,pitch,velocity)]
    ids,now,touch = [SOS],0,None
    for time,strike,pitch,velocity in sorted(events):
        while time-now>MAX_SHIFT: ids.append(TIME_SHIFT+MAX_SHIFT-1); now += MAX_SHIFT
        if time>now: ids.append(TIME_SHIFT+time-now-1); now = time
        if strike and velocity//4!=touch: touch = velocity//4; ids.append(VELOCITY+touch)
        ids.append((NOTE_ON if strike else NOTE_OFF)+pitch)
    return ids+[EOS]

def slow_decode(ids):
    "Rule 8, as a player piano would: rows of (on, off, pitch, bin) in steps."
    now,touch,sounding,rows = 0,16,{},[]
    def up(pitch):
        if pitch in sounding:
            on,velocity = sounding.pop(pitch)
            rows.append([on,max(now, on+1),pitch,velocity])
    for i in ids:
        if i<NOTE_OFF:
            up(i)
            sounding[i] = now,touch
        elif i<TIME_SHIFT: up(i-NOTE_OFF)
        elif i<VELOCITY: now += i-TIME_SHIFT+1
        elif i<PAD: touch = i-VELOCITY
    for pitch in list(sounding): up(pitch)
    merged = {}
    for on,off,pitch,velocity in rows:
        a,b = merged.get((on,pitch), (0,0))
        merged[on,pitch] = max(a, off),max(b, velocity)
    return sorted(((on,off,pitch,velocity) for (on,pitch),(off,velocity) in merged.items()), key=lambda o: (o[0],o[2]))

# ---- performances ----

times = st.one_of(st.floats(0, 3), st.integers(0, 60).map(lambda k: k*.005), st.integers(0, 600).map(lambda k: k*.001),
                  st.floats(0, 2).map(lambda t: 2*3600+t))                 # hours later
lengths = st.one_of(st.just(0.), st.floats(0, .02), st.integers(0, 40).map(lambda k: k*.005), st.floats(0, 5), st.floats(0, 900))
pitches = st.one_of(st.integers(60, 62), st.integers(0, 127))
notes_at = st.builds(lambda t,d,p,v: (t,t+d,p,v), times, lengths, pitches, st.integers(1, 127))
performances = st.lists(notes_at, max_size=30)
anything = st.lists(st.one_of(st.integers(0, VOCAB_SIZE-1), st.sampled_from([60,61,188,189,256,355,356,387,PAD,SOS,EOS])), max_size=120)

def valid(p):
    "What every decoded performance is: sorted, on the grid, a step at least, one note at a time on a pitch."
    n = p.notes
    assert n.dtype==note_dtype and (n['pitch']<128).all() and (n['velocity']>0).all() and (n['velocity']<128).all()
    assert [(o['start'],o['pitch']) for o in n]==sorted((o['start'],o['pitch']) for o in n)
    assert np.allclose(n['start'], np.rint(n['start']/STEP)*STEP, atol=1e-6) and (n['end']-n['start']>STEP*.999).all()
    free = defaultdict(float)
    for o in n:
        assert o['start']>free[o['pitch']]-1e-6; free[o['pitch']] = o['end']

def steps(p): return [(round(s/STEP),round(e/STEP),int(k),int(v)) for s,e,k,v in p.notes]

@check
@given(performances)
def test_encode_is_the_rules(rows): assert encode(Performance(rows)).tolist()==slow_encode(rows)

@check
@given(performances, st.randoms())
def test_order_of_input_does_not_matter(rows, random):
    mixed = list(rows); random.shuffle(mixed)
    assert np.array_equal(encode(Performance(rows)), encode(Performance(mixed)))

def test_100_000_notes():
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 4*3600, 100_000).round(3); rng.shuffle(start)
    rows = list(zip(start, start+rng.exponential(1, len(start)), rng.integers(21, 109, len(start)), rng.integers(1, 128, len(start))))
    def grid(notes): # the same rules, in sorted order
        strikes = {}
        for s,e,p,v in notes:
            k = int(p),round(s/STEP); off,loud = strikes.get(k, (0,0))
            strikes[k] = max(off, round(e/STEP)),max(loud, int(v))
        out,later = [],{}
        for (p,on),(off,v) in sorted(strikes.items(), reverse=True):
            out.append((on,min(max(off, on+1), later.get(p, 1<<60)),p,v)); later[p] = on
        return out
    ids = encode(Performance(rows))
    assert ids.tolist()==slow_encode(rows, grid)
    assert np.array_equal(encode(decode(ids)), ids)

# ---- rule by rule ----

@check
@given(performances)
def test_rule_1_onsets_within_5_ms_wherever_in_the_piece(rows):
    at = defaultdict(list)
    for o in decode(encode(Performance(rows))).notes: at[int(o['pitch'])].append(o['start'])
    for start,_,pitch,_ in rows: assert min(abs(start-t) for t in at[pitch])<=.005+1e-7

def test_rule_1_no_drift_over_a_long_piece():
    start = np.cumsum(np.full(20_000, .0637))
    q = decode(encode(Performance([(t,t+.03,60+i%5,64) for i,t in enumerate(start)])))
    assert np.abs(q.notes['start']-start).max()<=.005+1e-7

@check
@given(performances)
def test_rule_3_one_note_at_a_time_and_none_lost(rows):
    p = Performance(rows); q = decode(encode(p))
    valid(q)
    assert len(q)==len({(o[2],round(o[0]/STEP)) for o in rows})

@pytest.mark.parametrize('rows, expected', [
    ([(0,1,60,50), (.5,.8,60,70)],         [(0,50,60,50), (50,80,60,70)]),   # a re-strike ends the earlier note
    ([(0,.9,60,50), (.004,.5,60,90)],      [(0,90,60,90)]),                  # one step: louder, later end
    ([(0,0,60,50), (.01,.012,60,50)],      [(0,1,60,50), (1,2,60,50)]),      # a step at least
    ([(0,9,60,50), (.01,.5,60,50)],        [(0,1,60,50), (1,50,60,50)])])
def test_rule_3_small(rows, expected):
    assert [(a,b,p,v//4) for a,b,p,v in steps(decode(encode(Performance(rows))))]==[(a,b,p,v//4) for a,b,p,v in expected]

@check
@given(performances)
def test_rule_4_offs_before_ons_by_pitch_and_full_shifts_first(rows):
    keys,before = [],None
    for i in encode(Performance(rows)).tolist()[1:]:
        if i==EOS or TIME_SHIFT<=i<VELOCITY:
            assert keys==sorted(keys, key=lambda o: (o<NOTE_OFF, o%128)) and len(keys)==len(set(keys))
            if before and TIME_SHIFT<=before<VELOCITY: assert before==TIME_SHIFT+MAX_SHIFT-1
            keys = []
        elif i<TIME_SHIFT: keys.append(i)
        before = i

def test_rule_4_small():
    ids = encode(Performance([(0,3.5,64,64), (0,3.5,60,64), (3.5,4,72,64), (3.5,4,67,64)])).tolist()
    assert ids==[SOS, VELOCITY+16, 60, 64, *[TIME_SHIFT+99]*3, TIME_SHIFT+49, 128+60, 128+64, 67, 72, TIME_SHIFT+49, 128+67, 128+72, EOS]

@check
@given(performances)
def test_rule_5_velocity_only_when_the_bin_changes(rows):
    ids = encode(Performance(rows)).tolist()
    touch = None
    for a,b in zip(ids, ids[1:]):
        if VELOCITY<=a<PAD: assert a!=touch and b<NOTE_OFF; touch = a      # new, and a strike follows at once
        if a<NOTE_OFF: assert touch is not None

@pytest.mark.parametrize('v', range(1,128))
def test_rule_5_bins(v):
    q = decode(encode(Performance([(0,1,60,v)])))
    assert q.notes['velocity'][0]==v//4*4+2 and abs(int(q.notes['velocity'][0])-v)<=2

@check
@given(performances)
def test_rule_6_what_comes_back(rows):
    ids = encode(Performance(rows)); q = decode(ids)
    assert ids.dtype==np.uint16 and np.array_equal(encode(q), ids)
    groups = defaultdict(list)
    for o in rows: groups[o[2],round(o[0]/STEP)].append(o)
    for o in q.notes:
        g = groups.pop((int(o['pitch']),round(o['start']/STEP)))
        assert abs(int(o['velocity'])-max(n[3] for n in g))<=2
        end = max(n[1] for n in g)
        again = [k for p,k in {(n[2],round(n[0]/STEP)) for n in rows} if p==o['pitch'] and k>round(o['start']/STEP)]
        moved = end<o['start']+STEP or again and end>min(again)*STEP-.005       # by rule 3
        assert moved or abs(o['end']-end)<=.005+1e-7
    assert not groups

@check
@given(performances)
def test_rule_7_begins_and_ends(rows):
    ids = encode(Performance(rows)).tolist()
    assert ids[0]==SOS and ids[-1]==EOS and ids.count(SOS)==ids.count(EOS)==1 and PAD not in ids

@check
@given(anything)
def test_rule_8_any_ids_decode(ids):
    p = decode(ids)
    valid(p)
    assert [(a,b,k,v//4) for a,b,k,v in steps(p)]==slow_decode(ids)
    assert decode(np.array(ids, np.uint16))==p and np.array_equal(encode(decode(encode(p))), encode(p))

@check
@given(anything)
def test_rule_8_specials_are_skipped(ids):
    p,q = decode(ids),decode([i for i in ids if i<PAD])
    assert p==q

@check
@given(st.lists(st.integers(-3, VOCAB_SIZE+3), min_size=1, max_size=20))
def test_ids_outside_the_vocabulary_are_refused(ids):
    if all(0<=i<VOCAB_SIZE for i in ids): decode(ids)
    else:
        with pytest.raises(ValueError, match='outside the vocabulary'): decode(ids)

# ---- variations and windows ----

@check
@given(performances, st.integers(0, 24), st.floats(0, .5), st.integers(0, 127), st.integers(0, 99))
def test_augment_is_music(rows, semitones, stretch, velocity, seed):
    ids = encode(Performance(rows)); p = decode(ids)
    make = lambda: Augment(semitones, stretch, velocity)(ids, np.random.default_rng(seed))
    new = make(); q = decode(new)
    valid(q)
    assert np.array_equal(new, make()) and np.array_equal(encode(q), new) and len(q)<=len(p)
    if not len(p): return
    lo,hi = p.notes['pitch'].min(),p.notes['pitch'].max()
    assert q.notes['pitch'].min()>=min(lo, 21) and q.notes['pitch'].max()<=max(hi, 108)    # never leaves the piano
    assert set(q.notes['pitch'])=={k+int(q.notes['pitch'].min())-int(lo) for k in p.notes['pitch'].astype(int)}
    assert abs(int(q.notes['pitch'].min())-int(lo))<=semitones
    assert p.notes['start'][0]*(1-stretch)-.01<=q.notes['start'][0]<=p.notes['start'][0]*(1+stretch)+.01

def test_augment_keeps_to_the_piano():
    for pitches in ((30,100), (21,21), (108,108), (60,120), (5,60)):
        ids = encode(Performance([(i,i+1,p,64) for i,p in enumerate(pitches)])); got = set()
        for seed in range(200):
            new = decode(Augment(semitones=12)(ids, np.random.default_rng(seed))).notes['pitch'].astype(int)
            got.add(int(new[0])-pitches[0])
        assert got==set(range(min(0, max(-12, 21-min(pitches))), max(0, min(12, 108-max(pitches)))+1))

@check
@given(performances, st.integers(0, 9))
def test_augment_by_nothing_changes_nothing(rows, seed):
    ids = encode(Performance(rows))
    assert np.array_equal(Augment()(ids, np.random.default_rng(seed)), ids)

@check
@given(st.integers(2, 300), st.integers(1, 400), st.integers(0, 2**32), st.integers(0, 1000))
def test_windows_meet_every_id_once(n, length, seed, epoch):
    stream = (np.arange(n)%PAD).astype(np.uint16)          # no PAD in it
    w = Windows(stream, length, seed=seed, epoch=epoch)
    met = []
    for i in range(len(w)):
        x,y = w[i]
        assert x.shape==y.shape==(length,) and x.dtype==y.dtype==np.int64
        first = int(w.order[i])*length - w.offset
        for k in range(length):
            if y[k]!=PAD:
                met.append(first+k+1)
                assert x[k]==stream[first+k] and y[k]==stream[first+k+1]
            if k+1<length and y[k]!=PAD: assert x[k+1]==y[k]
    assert sorted(met)==list(range(1, n))                  # nothing precedes the first id, so nothing can predict it
    again = Windows(stream, length, seed=seed, epoch=epoch)
    assert all(np.array_equal(a, b) for i in range(len(w)) for a,b in zip(w[i], again[i]))

def test_windows_differ_by_epoch_and_seed():
    orders = {(s,e): (Windows(np.arange(5000), 10, s, e).offset, *Windows(np.arange(5000), 10, s, e).order[:9]) for s in range(3) for e in range(3)}
    assert len(set(orders.values()))==9

# ---- the token store ----

def tune(seed, n=40):
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 10, n).round(3)
    return Performance(list(zip(start, start+rng.exponential(.5, n)+.01, rng.integers(21, 109, n), rng.integers(1, 128, n))))

@pytest.fixture(scope='module')
def midi(tmp_path_factory):
    "Thirty small files."
    d = tmp_path_factory.mktemp('midi')
    for i in range(30): write_midi(tune(i), d/f'{i:02}.mid')
    return d

@pytest.fixture(scope='module')
def whole(midi, tmp_path_factory):
    d = tmp_path_factory.mktemp('store')/'store'
    prepare(midi, d, n_workers=1, progress=False)
    return d

@pytest.fixture
def store(whole, tmp_path): return Path(shutil.copytree(whole, tmp_path/'store'))

def test_store_holds_the_pieces(midi, whole):
    s = TokenStore(whole)
    assert len(s)==30 and sum(len(s.split(o)) for o in {r.split for r in s.pieces})==len(s.tokens)
    for i,row in enumerate(s.pieces):
        p = read_midi(midi/row.file)
        assert np.array_equal(s[i], encode(p)) and row.notes==len(p) and row.merged==len(p)-len(decode(s[i]))
        assert row.split==corpus.content_split((midi/row.file).read_bytes())
    for name in ('train','validation','test'):
        rows = [i for i,r in enumerate(s.pieces) if r.split==name]
        if rows: assert np.array_equal(s.split(name), np.concatenate([s[i] for i in rows]))

def test_store_is_the_same_with_any_number_of_workers(midi, whole, tmp_path):
    s = prepare(midi, tmp_path/'two', n_workers=2, progress=False)
    for f in ('tokens.npy','pieces.csv','store.json'): assert (tmp_path/'two'/f).read_bytes()==(whole/f).read_bytes()
    assert str(s)==str(TokenStore(whole)).replace('<TokenStore store', '<TokenStore two')

def test_augmented_stream_is_whole_pieces(whole):
    s = TokenStore(whole)
    x = epoch_stream(s, 'train', Augment(semitones=3, stretch=.05, velocity=8), seed=1, epoch=2)
    assert (x==SOS).sum()==(x==EOS).sum()==sum(r.split=='train' for r in s.pieces) and x[0]==SOS and x[-1]==EOS
    assert np.array_equal(x, epoch_stream(s, 'train', Augment(semitones=3, stretch=.05, velocity=8), seed=1, epoch=2))
    assert not np.array_equal(x, epoch_stream(s, 'train', Augment(semitones=3, stretch=.05, velocity=8), seed=1, epoch=3))
    assert np.array_equal(epoch_stream(s, 'train'), s.split('train'))

def _npy(a): b = io.BytesIO(); np.save(b, a); return b.getvalue()

def _rows(d, f):
    with open(d/'pieces.csv', newline='', encoding='utf-8') as o: head,*rows = csv.reader(o)
    rows = f(rows)
    with open(d/'pieces.csv', 'w', newline='', encoding='utf-8') as o: csv.writer(o).writerows([head,*rows])

def _info(d, **kw):
    i = json.loads((d/'store.json').read_text()); i.update(kw)
    (d/'store.json').write_text(json.dumps({k: v for k,v in i.items() if v is not ...}))

garbage = np.random.default_rng(0).bytes(3000)
damage = dict(
    tokens_gone=lambda d: (d/'tokens.npy').unlink(),
    tokens_empty=lambda d: (d/'tokens.npy').write_bytes(b''),
    tokens_cut_in_header=lambda d: os.truncate(d/'tokens.npy', 60),
    tokens_cut=lambda d: os.truncate(d/'tokens.npy', (d/'tokens.npy').stat().st_size//2),
    tokens_cut_by_one=lambda d: os.truncate(d/'tokens.npy', (d/'tokens.npy').stat().st_size-1),
    tokens_garbage=lambda d: (d/'tokens.npy').write_bytes(garbage),
    tokens_zip=lambda d: (d/'tokens.npy').write_bytes(b'PK\3\4'+garbage),
    tokens_broken_header=lambda d: (d/'tokens.npy').write_bytes((d/'tokens.npy').read_bytes().replace(b"'descr'", b"(descr'")),
    tokens_a_folder=lambda d: ((d/'tokens.npy').unlink(), (d/'tokens.npy').mkdir()),
    tokens_short=lambda d: (d/'tokens.npy').write_bytes(_npy(np.load(d/'tokens.npy')[:-5])),
    tokens_long=lambda d: (d/'tokens.npy').write_bytes(_npy(np.append(np.load(d/'tokens.npy'), np.uint16(3)))),
    tokens_floats=lambda d: (d/'tokens.npy').write_bytes(_npy(np.load(d/'tokens.npy').astype('f4'))),
    tokens_columns=lambda d: (d/'tokens.npy').write_bytes(_npy(np.load(d/'tokens.npy')[:,None])),
    tokens_a_number=lambda d: (d/'tokens.npy').write_bytes(_npy(np.uint16(3))),
    table_gone=lambda d: (d/'pieces.csv').unlink(),
    table_empty=lambda d: (d/'pieces.csv').write_bytes(b''),
    table_garbage=lambda d: (d/'pieces.csv').write_bytes(garbage),
    table_nul=lambda d: (d/'pieces.csv').write_bytes((d/'pieces.csv').read_bytes()[:500]+bytes(500)),
    table_cut=lambda d: os.truncate(d/'pieces.csv', (d/'pieces.csv').stat().st_size*2//3),
    table_huge_field=lambda d: (d/'pieces.csv').write_bytes((d/'pieces.csv').read_bytes()+b'x'*200_000),
    row_gone_first=lambda d: _rows(d, lambda o: o[1:]),
    row_gone_middle=lambda d: _rows(d, lambda o: o[:10]+o[11:]),
    row_gone_last=lambda d: _rows(d, lambda o: o[:-1]),
    rows_swapped=lambda d: _rows(d, lambda o: [o[1],o[0],*o[2:]]),
    row_short=lambda d: _rows(d, lambda o: [o[0][:4],*o[1:]]),
    row_long=lambda d: _rows(d, lambda o: [o[0]+['x'],*o[1:]]),
    row_words=lambda d: _rows(d, lambda o: [['a','b',*o[0][2:]],*o[1:]]),
    row_moved=lambda d: _rows(d, lambda o: [[str(int(o[0][0])+5),*o[0][1:]],*o[1:]]),
    column_renamed=lambda d: (d/'pieces.csv').write_text((d/'pieces.csv').read_text().replace('composer', 'author')),
    info_gone=lambda d: (d/'store.json').unlink(),
    info_empty=lambda d: (d/'store.json').write_bytes(b''),
    info_garbage=lambda d: (d/'store.json').write_bytes(garbage),
    info_cut=lambda d: os.truncate(d/'store.json', 50),
    info_a_list=lambda d: (d/'store.json').write_text('[1]'),
    info_null=lambda d: (d/'store.json').write_text('null'),
    info_foreign=lambda d: (d/'store.json').write_text('{}'),
    info_deep=lambda d: (d/'store.json').write_text('['*200_000),
    info_a_folder=lambda d: ((d/'store.json').unlink(), (d/'store.json').mkdir()),
    other_vocabulary=lambda d: _info(d, vocabulary='piano-388-0'),
    no_count=lambda d: _info(d, n_tokens=...),
    other_count=lambda d: _info(d, n_tokens=7),
    all_gone=lambda d: shutil.rmtree(d),
    a_file=lambda d: (shutil.rmtree(d), d.write_text('hello')))

def one_sentence(e): return '\n' not in str(e) and len(str(e))<600 and str(e).endswith('.') and 'mt-prepare' in str(e)

@pytest.mark.parametrize('how', damage)
def test_a_damaged_store_is_refused(store, how):
    damage[how](store)
    with pytest.raises(ValueError) as e: TokenStore(store)
    assert one_sentence(e.value), e.value

@pytest.mark.parametrize('name', ['tokens.npy','pieces.csv','store.json'])
def test_a_store_with_any_flaw_opens_or_says_so(store, name):
    f = store/name; good = f.read_bytes(); rng = np.random.default_rng(1)
    for _ in range(150):
        bad = bytearray(good); near = min(len(good), 300)              # the header, where it hurts
        for _ in range(rng.integers(1, 4)): bad[rng.integers(near)] = rng.integers(256)
        if rng.random()<.3: del bad[rng.integers(len(bad)):]
        f.write_bytes(bad)
        try:
            s = TokenStore(store)
            for i,r in enumerate(s.pieces): assert len(s[i])==r.length
        except ValueError as e: assert one_sentence(e), e

def test_a_half_written_store_is_not_a_store(whole, tmp_path):
    for k in range(3):
        d = tmp_path/f'{k}'; d.mkdir()
        for f in ('tokens.npy','pieces.csv','store.json')[:k]: shutil.copy(whole/f, d)
        with pytest.raises(ValueError, match='not a token store') as e: TokenStore(d)
        assert one_sentence(e.value)

def test_only_a_store_is_ever_replaced(midi, store, tmp_path):
    (tmp_path/'mine').mkdir(); (tmp_path/'mine/diary.txt').write_text('dear')
    (tmp_path/'file').write_text('dear')
    (tmp_path/'my.npz').write_bytes(b'PK dear'); np.savez(tmp_path/'weights.npz', w=np.ones(3)); weights = (tmp_path/'weights.npz').read_bytes()
    (store/'notes').mkdir(); (store/'notes/diary.txt').write_text('dear')  # beside the store's own files
    for o in ('mine','file','my.npz','weights.npz','store'):
        with pytest.raises(ValueError, match='choose another'): prepare(midi, tmp_path/o, n_workers=1, progress=False)
    assert (tmp_path/'mine/diary.txt').read_text()==(tmp_path/'file').read_text()==(store/'notes/diary.txt').read_text()=='dear'
    assert (tmp_path/'my.npz').read_bytes()==b'PK dear' and (tmp_path/'weights.npz').read_bytes()==weights and len(TokenStore(store))==30

def test_what_is_put_into_a_store_meanwhile_stays(midi, store, monkeypatch):
    real = corpus._encode_corpus
    def slowly(*a): (store/'diary.txt').write_text('dear'); return real(*a)
    monkeypatch.setattr(corpus, '_encode_corpus', slowly)
    with pytest.raises(ValueError, match='diary.txt'): prepare(midi, store, n_workers=1, progress=False)
    assert (store/'diary.txt').read_text()=='dear' and len(TokenStore(store))==30

def test_where_nothing_can_be_written_is_noticed_before_any_work(midi, public, monkeypatch):
    (public/'ro').mkdir(mode=0o555)
    def work():
        if os.geteuid()==0: os.setuid(65534)                              # root may write anywhere
        monkeypatch.setattr(corpus, 'corpus', lambda o: pytest.fail('began to read'))
        for o in ('ro/store','ro/store.npz','ro/a/b/store'):
            with pytest.raises(PermissionError, match='nothing can be written'): prepare(midi, public/o, n_workers=1, progress=False)
    assert in_child(work)==0

def test_two_preparations_of_one_store(midi, tmp_path, monkeypatch):
    "The second is refused at once, not after all its work."
    monkeypatch.setattr(corpus, '_encode_corpus', lambda *a: pytest.fail('began to encode'))
    with files.new_folder(tmp_path/'s'):
        with pytest.raises(OSError, match='another process'): prepare(midi, tmp_path/'s', n_workers=1, progress=False)

# ---- packed into one file ----

def test_packed_and_unpacked(midi, whole, tmp_path):
    a = TokenStore(whole); f = a.pack(tmp_path/'a.npz'); b = TokenStore(f)
    assert np.array_equal(a.tokens, b.tokens) and a.pieces==b.pieces and a.info==b.info and not b.tokens.flags.writeable
    assert [o.name for o in tmp_path.iterdir()]==['a.npz'] and f.stat().st_size<sum(o.stat().st_size for o in whole.iterdir())
    prepare(f, tmp_path/'back', progress=False)
    for o in ('tokens.npy','pieces.csv','store.json'): assert (tmp_path/'back'/o).read_bytes()==(whole/o).read_bytes()
    prepare(midi, tmp_path/'b.npz', n_workers=1, progress=False); prepare(whole, tmp_path/'a.npz', progress=False)   # a store is replaced
    assert (tmp_path/'b.npz').read_bytes()==f.read_bytes()
    with pytest.raises(ValueError, match='end in .npz'): a.pack(tmp_path/'c.zip')

def _entries(f, **kw):
    with np.load(f) as z: o = dict(z) | kw
    np.savez_compressed(f, **{k: v for k,v in o.items() if v is not ...})

ends = dict(
    empty=lambda f: f.write_bytes(b''), text=lambda f: f.write_text('hello'), garbage=lambda f: f.write_bytes(garbage), gone=lambda f: f.unlink(), folder=lambda f: (f.unlink(), f.mkdir()),
    cut=lambda f: os.truncate(f, f.stat().st_size//2), cut_by_one=lambda f: os.truncate(f, f.stat().st_size-1),
    flipped=lambda f: f.write_bytes(f.read_bytes()[:900]+bytes([f.read_bytes()[900]^4])+f.read_bytes()[901:]),
    an_npy=lambda f: f.write_bytes(_npy(np.arange(9))), pickled=lambda f: np.savez(f, tokens=np.array([{}], object), pieces=np.zeros(3, 'u1'), store=np.frombuffer(b'{"vocabulary": "piano-391-1"}', np.uint8)),
    no_tokens=lambda f: _entries(f, tokens=...), no_table=lambda f: _entries(f, pieces=...), no_facts=lambda f: _entries(f, store=...), foreign=lambda f: np.savez(f, w=np.ones(9)),
    fewer_tokens=lambda f: _entries(f, tokens=np.load(f)['tokens'][:-1]), floats=lambda f: _entries(f, tokens=np.load(f)['tokens'].astype('f4')),
    other_vocabulary=lambda f: _entries(f, store=np.frombuffer(np.load(f)['store'].tobytes().replace(b'piano-391', b'piano-392'), np.uint8)))

@pytest.mark.parametrize('how', ends)
def test_a_damaged_packed_store_is_refused(whole, tmp_path, how):
    f = TokenStore(whole).pack(tmp_path/'a.npz'); ends[how](f)
    with pytest.raises(ValueError) as e: TokenStore(f)
    assert one_sentence(e.value), e.value

# ---- broken files ----

def broken(d):
    good = (d/'good0.mid').read_bytes()
    bad = {'empty.mid': b'', 'text.mid': b'hello, I am no MIDI', 'cut.mid': good[:40], 'head.mid': good[:14], 'still.mid': good[:12]+bytes(2)+good[14:]}
    for k,v in bad.items(): (d/k).write_bytes(v)
    return sorted(bad)

@pytest.fixture
def mixed(tmp_path):
    d = tmp_path/'mixed'
    for i in range(6): write_midi(tune(100+i), d/f'good{i}.mid')
    return d

def test_what_is_not_read_stands_in_the_store(mixed, tmp_path):
    (mixed/'notes.txt').write_text('Bach')
    (mixed/'good0.mid').rename(mixed/'good0.KAR')
    s = prepare(mixed, tmp_path/'s', n_workers=1, progress=False)
    assert len(s)==6 and s.info['left']==['notes.txt'] and s.info['missing']==[]

@pytest.mark.parametrize('n_workers', [1,2])
def test_broken_files_are_listed(mixed, tmp_path, n_workers):
    bad = broken(mixed)
    s = prepare(mixed, tmp_path/'s', n_workers=n_workers, progress=False)
    assert sorted(o['file'] for o in s.info['skipped'])==bad and sorted(r.file for r in s.pieces)==[f'good{i}.mid' for i in range(6)]
    assert all(o['reason'] and '\n' not in o['reason'] for o in s.info['skipped'])

def test_nothing_readable_is_said_and_the_old_store_stays(mixed, store, tmp_path):
    old = (store/'tokens.npy').read_bytes()
    broken(mixed)
    for f in mixed.glob('good*'): f.unlink()
    with pytest.raises(MidiError, match='could be read'): prepare(mixed, store, n_workers=1, progress=False)
    assert (store/'tokens.npy').read_bytes()==old

def test_a_file_that_cannot_be_opened_is_listed(mixed, public):
    mixed = Path(shutil.copytree(mixed, public/'mixed')); (mixed/'good1.mid').chmod(0)
    def work():
        if os.geteuid()==0: os.setuid(65534)
        s = prepare(mixed, public/'s', n_workers=1, progress=False)
        assert len(s)==5 and [o['file'] for o in s.info['skipped']]==['good1.mid']
    assert in_child(work)==0

def test_a_link_to_nothing_is_listed(mixed, tmp_path):
    (mixed/'lost.mid').symlink_to('nowhere.mid'); (mixed/'round.mid').symlink_to('round.mid'); (mixed/'kept.mid').symlink_to('good1.mid')
    s = prepare(mixed, tmp_path/'s', n_workers=1, progress=False)
    assert len(s)==7 and {o['file']: o['reason'] for o in s.info['skipped']}.keys()=={'lost.mid','round.mid'}
    for o in s.info['skipped']: assert o['file'] in o['reason'] and ('not there' in o['reason'] if o['file']=='lost.mid' else 'cannot be opened' in o['reason'])

def test_a_file_that_cannot_be_opened_is_not_the_validation_split(tmp_path):
    d = tmp_path/'two'
    for i in range(2): write_midi(tune(200+i), d/f'{i}.mid')
    (d/'lost.mid').symlink_to('nowhere.mid')
    s = prepare(d, tmp_path/'s', n_workers=1, progress=False)
    assert len(s)==2 and 'validation' in s.pieces['split']

@pytest.mark.parametrize('fault', ['crc','deflate','encrypted'])
def test_a_broken_file_in_a_zip_is_listed(mixed, tmp_path, fault):
    z = tmp_path/'a.zip'
    with zipfile.ZipFile(z, 'w', zipfile.ZIP_DEFLATED) as o:
        for f in sorted(mixed.glob('*.mid')): o.write(f, f.name)
        info = o.getinfo('good1.mid')
    raw = bytearray(z.read_bytes())
    body = info.header_offset+30+len('good1.mid'); entry = raw.rindex(b'PK\1\2', 0, raw.rindex(b'good1.mid'))
    if fault=='crc': raw[entry+16] ^= 255                           # the central directory's word on it
    elif fault=='deflate': raw[body:body+20] = bytes([255])*20
    else: raw[info.header_offset+6] |= 1; raw[entry+8] |= 1
    z.write_bytes(raw)
    s = prepare(z, tmp_path/'s', n_workers=1, progress=False)
    assert len(s)==5 and [o['file'] for o in s.info['skipped']]==['good1.mid']

@pytest.mark.parametrize('n_workers, cores', [(2,2), (0,1)])
def test_a_file_that_kills_its_reader_is_listed(mixed, tmp_path, n_workers, cores, monkeypatch):
    real = corpus.read_midi
    monkeypatch.setattr(os, 'cpu_count', lambda: cores)
    monkeypatch.setattr(corpus, 'read_midi', lambda raw, title='': os.kill(os.getpid(), signal.SIGKILL) if title=='good1' else real(raw, title=title))
    def work():
        s = prepare(mixed, tmp_path/'s', n_workers=n_workers, progress=False)
        assert len(s)==5 and [o['file'] for o in s.info['skipped']]==['good1.mid']
    assert in_child(work)==0

def test_a_zip_of_any_name_and_a_bomb_in_it(mixed, tmp_path):
    z = tmp_path/'music.ZIP'
    with zipfile.ZipFile(z, 'w', zipfile.ZIP_DEFLATED) as o:
        for f in sorted(mixed.glob('*.mid')): o.write(f, f.name)
        o.writestr('bomb.mid', (mixed/'good0.mid').read_bytes()+bytes(2**25))
    s = prepare(z, tmp_path/'s', n_workers=1, progress=False)
    assert len(s)==6 and [o['file'] for o in s.info['skipped']]==['bomb.mid'] and 'larger than 8 MB' in s.info['skipped'][0]['reason']
    assert len(corpus.corpus(z)[0].read_bytes())==2**23+1                # as much as it takes to know

# ---- a full disk ----

def test_a_full_disk_is_said_and_the_old_store_stays(midi, store, tmp_path):
    "The kernel refuses bytes beyond a limit, as a full disk does."
    old = {f.name: f.read_bytes() for f in store.iterdir()}
    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000,1000))
        with pytest.raises(OSError) as e: prepare(midi, store, n_workers=1, progress=False)
        assert e.value.errno==errno.EFBIG and e.value.strerror=='File too large'
    assert in_child(work)==0 and {f.name: f.read_bytes() for f in store.iterdir()}==old and [o.name for o in tmp_path.iterdir()]==['store']

# ---- kills ----

def die_at(k):
    "From now on, die by SIGKILL at the k-th step that touches the disk: odd before it, even after it."
    count = 0
    def deadly(f):
        def g(*a, **kw):
            nonlocal count
            for after in (0,1):
                count += 1
                if count==k: os.kill(os.getpid(), signal.SIGKILL)
                if not after: r = f(*a, **kw)
            return r
        return g
    for o,name in ((Path,'write_bytes'), (csv.DictWriter,'writerows'), (Path,'write_text'), (Path,'rename'), (Path,'mkdir'), (shutil,'rmtree')):
        setattr(o, name, deadly(getattr(o, name)))

@pytest.mark.parametrize('had', [True,False])
def test_killed_at_any_step_leaves_the_old_store_or_the_new(mixed, store, tmp_path, had):
    old = TokenStore(store).info['sha256']
    new = prepare(mixed, tmp_path/'ref', n_workers=1, progress=False).info['sha256']
    seen = set()
    for k in range(1, 60):
        d = tmp_path/f'at{k}'/'store'
        if had: shutil.copytree(store, d)
        def work(): die_at(k); prepare(mixed, d, n_workers=1, progress=False)
        status = in_child(work)
        assert status in (0, -signal.SIGKILL)
        try: s = TokenStore(d)
        except ValueError as e: assert not had and 'not a token store' in str(e); seen.add(None)
        else:
            assert s.info['sha256'] in (old,new) and all(len(s[i])==r.length for i,r in enumerate(s.pieces)); seen.add(s.info['sha256'])
        assert prepare(mixed, d, n_workers=1, progress=False).info['sha256']==new
        assert [o.name for o in d.parent.iterdir()]==['store']         # no litter
        if status==0: break
    assert k>12 and seen=={old if had else None,new}

def test_killed_from_outside(midi, store, tmp_path):
    "A real process with workers, killed wherever it happens to be."
    many = tmp_path/'many'
    for i in range(8): shutil.copytree(midi, many/str(i))
    old = TokenStore(store).info['sha256']
    code = 'import sys; from music_transformer.processor import prepare; print("go", flush=True); prepare(sys.argv[1], sys.argv[2], n_workers=2, progress=False)'
    ended,delay = set(),.0
    for _ in range(4):
        p = subprocess.Popen([sys.executable,'-c',code,many,store], stdout=subprocess.PIPE, start_new_session=True)
        p.stdout.readline(); time.sleep(delay); delay += .1
        p.kill(); ended.add(p.wait()); p.stdout.close()
        s = TokenStore(store)
        assert len(s) in (30,240) and all(len(s[i])==r.length for i,r in enumerate(s.pieces))
        for _ in range(50):                                            # its workers notice and go
            try: os.killpg(p.pid, 0)
            except ProcessLookupError: break
            time.sleep(.1)
        else:
            os.killpg(p.pid, signal.SIGKILL); pytest.fail('workers outlive the process that was killed')
    assert -signal.SIGKILL in ended
    assert len(prepare(many, store, n_workers=2, progress=False))==240

def test_odd_arguments_are_refused_by_name():
    from music_transformer.processor import Augment
    for kw in (dict(semitones=-3), dict(stretch=-.1), dict(stretch=1.), dict(velocity=-5), dict(semitones=1.5)):
        with pytest.raises(ValueError, match=next(iter(kw))): Augment(**kw)
    with pytest.raises(ValueError, match='whole'): decode([60.7, 300.])
    with pytest.raises(ValueError, match='million'): encode(Performance([(0,1e17,60,64)]))

def test_odd_names_and_links(tmp_path):
    import os, shutil
    from pathlib import Path
    prelude = Path(__file__).parent.parent/'examples/prelude.mid'
    for i in range(3): (tmp_path/'c').mkdir(exist_ok=True); shutil.copy(prelude, tmp_path/f'c/{i}.mid')
    try: shutil.copy(prelude, os.fsencode(tmp_path)+b'/c/bad\xff.mid')
    except OSError: pass                                                     # a file system that wants UTF-8
    prepare(tmp_path/'c', tmp_path/'st', n_workers=1, progress=False)
    (tmp_path/'link').symlink_to('st')
    for _ in range(2): s = prepare(tmp_path/'c', tmp_path/'link', n_workers=1, progress=False)
    assert (tmp_path/'link').is_symlink() and len(s)>=3 and not list(tmp_path.glob('.*old'))
    x = np.load(tmp_path/'st/tokens.npy'); x[5:9] = 60000; np.save(tmp_path/'st/tokens.npy', x)
    with pytest.raises(ValueError, match='store'): TokenStore(tmp_path/'st')

@pytest.mark.parametrize('guard', [True, False])
def test_a_script_whose_processes_are_spawned(tmp_path, guard):
    "Each new process runs the script again: without a guard it would prepare the corpus there too."
    for n in range(3): write_midi(Performance([(0, .5, 60+n, 64)]), tmp_path/f'midi/{n}.mid')
    call = "prepare('midi', 'store', progress=False, n_workers=2)"
    lines = ['import multiprocessing', 'from music_transformer.processor import prepare']
    start = "multiprocessing.set_start_method('spawn', force=True)"
    lines += ["if __name__=='__main__':", f'    {start}', f'    {call}'] if guard else [start, call]
    (tmp_path/'script.py').write_text('\n'.join(lines))
    said = subprocess.run([sys.executable, 'script.py'], cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode==0 and len(TokenStore(tmp_path/'store'))==3
    assert 'Traceback' not in said.stderr and ('__main__' in said.stderr)!=guard
