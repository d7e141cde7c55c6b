"The pedal and the reader against slow readings of the rule; files that survive a full disk; MIDI that is broken in 2,000 ways."
import errno, io, os, resource, signal, struct, time, zipfile
from collections import defaultdict
from pathlib import Path
import mido, numpy as np, pretty_midi, pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from conftest import in_child
from music_transformer.data import MidiError, Performance, check_writable, corpus, new_folder, read_midi, restore_folder, sostenuto, sustain, write_file, write_midi
from music_transformer.processor import encode
from fuzz import EOT, M, cc, chunk, fine, fuzz, header, midi_bytes, off, on, riff

check = settings(deadline=None, max_examples=150, database=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

# ---- the pedal, read aloud (rule 2) ----

def slow_sustain(notes, pedal, last):
    "When each (start, end, pitch) falls silent. At one instant the pedal moves before the keys."
    out = []
    for start,end,pitch in notes:
        down = False
        for t,v in pedal:
            if t<=end: down = v>=64
        if not down: out.append(end); continue
        stop = last
        for t,v in pedal:
            if t>end and v<64: stop = min(stop, t)
        for other,_,same in notes:
            if same==pitch and other>start: stop = min(stop, other)
        out.append(max(end, stop))
    return out

feet = st.lists(st.tuples(st.integers(0, 60), st.one_of(st.sampled_from([0,127,63,64]), st.integers(0, 127), st.integers(0, 63))), max_size=25)
keys = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 12), st.integers(60, 62)), min_size=1, max_size=15)

@check
@given(keys, feet)
def test_sustain_is_the_rule(keys, foot):
    notes = [(s,s+d,p) for s,d,p in keys]
    foot = sorted(foot, key=lambda o: o[0])                  # in order of time; at one time, as they came
    last = max([e for _,e,_ in notes]+[t for t,_ in foot])
    start,end,pitch = map(np.array, zip(*notes))
    time,value = np.array(foot, dtype=int).reshape(-1,2).T
    assert sustain(start, end, pitch, time, value).tolist()==slow_sustain(notes, foot, last)
    halves = sorted(foot+[(t,v) for t in range(61) for v in (20,50) if t not in {o[0] for o in foot} and _up(foot, t)], key=lambda o: o[0])
    if halves[len(halves)-1:]==foot[len(foot)-1:]:           # the foot rustles while the pedal is up: nothing changes
        time,value = np.array(halves, dtype=int).reshape(-1,2).T
        assert sustain(start, end, pitch, time, value).tolist()==slow_sustain(notes, foot, last)

def slow_sostenuto(notes, pedal, last):
    "When each (start, end, pitch) is let go: the middle pedal holds the keys that are down when it goes down. At one instant it moves after them."
    out = []
    for start,end,pitch in notes:
        stop = end
        for k,(press,v) in enumerate(pedal):
            if v<64 or k and pedal[k-1][1]>=64: continue
            up = min([t for t,v in pedal[k:] if v<64], default=last)
            down = any(s<=press<e for s,e,same in notes if same==pitch)
            again = min([s for s,_,same in notes if same==pitch and s>start], default=last)
            if down and press<end<up: stop = max(end, min(up, again))
        out.append(stop)
    return out

@check
@given(keys, feet)
def test_sostenuto_is_the_rule(keys, foot):
    notes = [(s,s+d,p) for s,d,p in keys]
    foot = sorted(foot, key=lambda o: o[0])
    start,end,pitch = map(np.array, zip(*notes))
    time,value = np.array(foot, dtype=int).reshape(-1,2).T
    assert sostenuto(start, end, pitch, time, value, 99).tolist()==slow_sostenuto(notes, foot, 99)

def _up(foot, t): return ([0]+[v for u,v in foot if u<=t])[-1]<64

# ---- whole files ----

END = 100                                                  # a pitch for the note that ends every piece

@st.composite
def scores(draw, channels=3, tracks=2):
    "Tracks of (delta, message): keys, pedals, tempo. Each track has pitches of its own; the last note outlasts everything."
    out = []
    used = draw(st.lists(st.sampled_from([0,1,2,5,9][:channels]), min_size=1, max_size=channels, unique=True))
    for k in range(draw(st.integers(1, tracks))):
        track = []
        for _ in range(draw(st.integers(0, 25))):
            dt,ch = draw(st.sampled_from([0,0,1,2,5,40,200,300_000])),draw(st.sampled_from(used))
            kind = draw(st.sampled_from(['on','on','on','off','off','off','off','pedal','pedal','tempo','mode']))
            pitch = 60+4*k+draw(st.integers(0, 1))
            if kind=='on': m = M('note_on', channel=ch, note=pitch, velocity=draw(st.integers(1, 127)))
            elif kind=='off': m = M('note_off', channel=ch, note=pitch) if draw(st.booleans()) else M('note_on', channel=ch, note=pitch, velocity=0)
            elif kind=='pedal': m = M('control_change', channel=ch, control=draw(st.sampled_from([64,64,64,66])), value=draw(st.sampled_from([0,20,63,64,100,127])))
            elif kind=='mode': m = M('control_change', channel=ch, control=draw(st.sampled_from([120,121,122,123,126])), value=0)
            elif k==0: m = mido.MetaMessage('set_tempo', tempo=draw(st.sampled_from([250_000,500_000,777_777])))
            else: continue
            track.append((dt,m))
        out.append(track)
    length = max(sum(dt for dt,_ in o) for o in out)
    out[0] += [(length+10-sum(dt for dt,_ in out[0]), M('note_on', channel=used[0], note=END, velocity=64)), (10, M('note_off', channel=used[0], note=END))]
    return out

def listen(score, tpq=96):
    """What one hears, settled, in seconds, and the number of strikes. A key that comes up ends
    the strikes of it that began before, or else those of this very tick; a strike without an end lasts as long as the piece. No strike outlasts
    the next message that lets go of all keys of its channel, nor any note the next one that silences it."""
    events = []
    for track in score:
        t = 0
        for dt,m in track: t += dt; events.append((t,m))
    events.sort(key=lambda o: o[0])
    last = events[-1][0]
    notes,feet,tempi,go,hush,middle = [],defaultdict(list),[(0,500_000)],defaultdict(list),defaultdict(list),defaultdict(list)
    for t,m in events:
        if m.type=='set_tempo': tempi.append((t,m.tempo))
        elif m.type=='control_change':
            if m.control==64: feet[m.channel].append((t,m.value))
            if m.control==66: middle[m.channel].append((t,m.value))
            if m.control==121:
                for pedal in (feet, middle): pedal[m.channel].append((t,0))
            if m.control in (120,123,126): go[m.channel].append(t)
            if m.control==120: hush[m.channel].append(t)
        elif m.type=='note_on' and m.velocity: notes.append([t,None,m.note,m.velocity,m.channel])
        else:
            sounding = [n for n in notes if n[1] is None and n[2]==m.note and n[4]==m.channel]
            for n in [n for n in sounding if n[0]<t] or sounding: n[1] = t
    for n in notes:
        n[1] = min([last if n[1] is None else n[1]] + [t for t in go[n[4]] if t>n[0]])
    notes = [n for n in notes if n[4]!=9]
    for ch in {n[4] for n in notes}:
        mine = [n for n in notes if n[4]==ch]
        for n,end in zip(mine, slow_sostenuto([n[:3] for n in mine], middle[ch], last)): n[1] = end
        for n,end in zip(mine, slow_sustain([n[:3] for n in mine], feet[ch], last)): n[1] = min([end] + [t for t in hush[ch] if t>n[0]])
    def seconds(tick):
        s = 0.
        for (a,us),(b,_) in zip(tempi, tempi[1:]+[(1<<60,0)]): s += max(0, min(tick, b)-a)*us/1e6/tpq
        return s
    return settle([(seconds(n[0]),seconds(n[1]),n[2],n[3]) for n in notes]),len(notes)

def settle(notes):
    "One note at a time on a pitch, rows of (pitch, start, end, velocity): a re-strike ends the earlier one, two at once are one."
    rows = []
    for p,start,end,v in sorted((int(p),float(s),float(e),int(v)) for s,e,p,v in notes):
        if rows and rows[-1][0]==p and start-rows[-1][1]<1e-6: rows[-1][2:] = max(rows[-1][2], end),max(rows[-1][3], v); continue
        if rows and rows[-1][0]==p: rows[-1][2] = min(rows[-1][2], start)
        rows.append([p,start,end,v])
    return np.array(rows).reshape(-1,4)

def hears_alike(a, b): return a.shape==b.shape and np.allclose(a, b, rtol=0, atol=1e-6)

@check
@given(scores(channels=1, tracks=1))
def test_one_channel_is_read_by_the_rule(score):
    p = read_midi(midi_bytes(score)); heard,strikes = listen(score)
    assert len(p)==strikes and hears_alike(settle(p.notes), heard)

@check
@given(scores(channels=4, tracks=3))
def test_tracks_and_channels_are_read_by_the_rule(score):
    p = read_midi(midi_bytes(score)); heard,strikes = listen(score)
    assert len(p)==strikes and hears_alike(settle(p.notes), heard)

@check
@given(scores(channels=5, tracks=2))
def test_drums_are_left_out_and_counted(score):
    drums = sum(m.type=='note_on' and m.velocity>0 and m.channel==9 for o in score for _,m in o)
    try: p = read_midi(midi_bytes(score))
    except MidiError as e: assert 'no notes' in str(e) and listen(score)[1]==0
    else:
        assert p.info['drum_notes']==drums and len(p)==listen(score)[1]
        assert p.info['instruments']==len({m.channel for o in score for _,m in o if m.type=='note_on' and m.velocity and m.channel!=9})

@check
@given(scores(channels=2, tracks=2))
def test_chunks_do_not_matter(score):
    "One track or many, with the pedals in a track of their own or not: the same music."
    flat = []
    for o in score:
        t = 0
        for dt,m in o: t += dt; flat.append((t,m))
    flat.sort(key=lambda o: o[0])
    def deltas(o): return [(t-u,m) for (t,m),u in zip(o, [0]+[t for t,_ in o])]
    foot = [o for o in flat if o[1].type in ('control_change','set_tempo')]; hands = [o for o in flat if o not in foot]
    p = settle(read_midi(midi_bytes([deltas(flat)])).notes)
    assert hears_alike(settle(read_midi(midi_bytes([deltas(foot),deltas(hands)])).notes), p)
    assert hears_alike(settle(read_midi(midi_bytes(score)).notes), p)

def middle(value, dt=0, ch=0): return dt,M('control_change', control=66, value=value, channel=ch)
def mode(control, dt=0, ch=0): return dt,M('control_change', control=control, channel=ch)

@pytest.mark.parametrize('name, score, expected', [                       # (start, end, pitch) in ticks of 10 ms
    ('pedal in a chunk of its own', [[cc(127), cc(0,1000)], [on(60), off(60,100)]], [(0,1000,60)]),
    ('pedal on another channel',    [[cc(127,ch=1), on(60), off(60,100), cc(0,900,1)]], [(0,100,60)]),
    ('unreleased pedal lasts as long as the other channel', [[cc(127), on(60), off(60,100), on(70,ch=1), off(70,900,1)]], [(0,1000,60), (100,1000,70)]),
    ('a key held when the pedal goes up', [[cc(127), on(60), cc(0,50), off(60,50)]], [(0,100,60)]),
    ('half pedal after the release', [[cc(127), on(60), off(60,10), cc(0,10), cc(40,10), cc(63,10), cc(5,10)]], [(0,20,60)]),
    ('re-struck under the pedal',   [[cc(127), on(60), off(60,10), on(60,90), off(60,10), cc(0,90)]], [(0,100,60), (100,200,60)]),
    ('pedal up and down at once',   [[cc(127), on(60), off(60,10), cc(0,10), cc(127,0), cc(0,100)]], [(0,20,60)]),
    ('pedal down and up at once',   [[on(60), cc(127,5), cc(0), off(60,5), cc(0,90)]], [(0,10,60)]),
    ('a strike without an end',     [[on(60), on(62,10), off(62,90)]], [(0,100,60), (10,100,62)]),
    ('a release that is missing',   [[on(60), on(60,100), off(60,50), on(60,50), off(60,50)]], [(0,100,60), (100,150,60), (200,250,60)]),
    ('a release before its strike', [[off(60,10), on(60), on(60,90), off(60,10), on(60,90), off(60,10)]], [(10,100,60), (100,110,60), (200,210,60)]),
    ('struck and released at once', [[on(60), off(60), on(62), off(62,10)]], [(0,0,60), (0,10,62)]),
    ('one key in two tracks',       [[on(60), off(60,100)], [on(60,50), off(60,100)]], [(0,50,60), (50,150,60)]),
    ('a release in another track',  [[on(60), off(60,100)], [off(60,50), on(62), off(62,10)]], [(0,100,60), (50,60,62)]),
    ('hours of silence',            [[on(60), off(60,10), on(60,2_500_000), off(60,10)]], [(0,10,60), (2_500_010,2_500_020,60)]),
    ('the middle pedal',            [[on(60), middle(127,24), off(60,24), on(64), off(64,48), middle(0,96), on(65), off(65,48)]], [(0,192,60), (48,96,64), (192,240,65)]),
    ('the middle pedal, and a caught key struck again', [[on(48), middle(127,24), off(48,24), on(48,24), off(48,8), on(60), off(60,8), middle(0,96)]], [(0,72,48), (72,184,48), (80,88,60)]),
    ('the middle pedal, from a chord to the next', [[on(60), off(60,48), on(64), middle(127), off(64,48), middle(0,96)]], [(0,48,60), (48,192,64)]),
    ('the middle pedal, which no key was down for', [[middle(127), on(60,1), off(60,48), middle(0,48)]], [(1,49,60)]),
    ('the middle pedal on another channel', [[on(60), middle(127,24,1), off(60,24), middle(0,96,1)]], [(0,48,60)]),
    ('both pedals',                 [[on(48), middle(127,24), off(48,24), cc(127), middle(0,48), cc(0,48)]], [(0,144,48)]),
    ('all controllers reset, the middle pedal too', [[on(60), middle(127,20), off(60,20), mode(121,30), middle(0,30)]], [(0,70,60)]),
    ('all notes off',               [[on(60), on(62,10), mode(123,40), off(62,50)]], [(0,50,60), (10,50,62)]),
    ('all notes off under the pedal', [[cc(127), on(60), mode(123,50), cc(0,50)]], [(0,100,60)]),
    ('another mode on another channel', [[on(60), on(62,ch=1), mode(127,50,1), off(60,50)]], [(0,100,60), (0,50,62)]),
    ('all sound off',               [[cc(127), on(60), off(60,20), on(62), mode(120,30), on(64), off(64,10), cc(0,40)]], [(0,50,60), (20,50,62), (50,100,64)]),
    ('all controllers reset',       [[cc(127), on(60), off(60,20), mode(121,30), on(62,10), off(62,10)]], [(0,50,60), (60,70,62)]),
    ('local control',               [[cc(127), on(60), off(60,20), mode(122,30), cc(0,50)]], [(0,100,60)]),
    ('all notes off before and after', [[mode(123), on(60), off(60,20), mode(123,80)]], [(0,20,60)]),
    ('struck again before released, at one tick', [[on(60), on(60,10), off(60), off(60,10)]], [(0,10,60), (10,20,60)])])
def test_small_files(name, score, expected):
    p = read_midi(midi_bytes(score, tpq=50))                              # 120 beats a minute: a tick is 10 ms
    got = sorted((round(s*100),round(e*100),int(k)) for k,s,e,_ in settle(p.notes))
    assert got==sorted(expected)

@pytest.mark.parametrize('division, per_second', [(0xe728,1000), (0xe808,24*8), (0xe350,30_000/1001*80), (0xe264,3000)])
def test_a_clock_of_film_frames(division, per_second):
    "Ticks are parts of a frame, whatever the tempo says."
    tempo = (7,mido.MetaMessage('set_tempo', tempo=123_456))
    raw = bytearray(midi_bytes([[on(60), tempo, off(60,993), on(62,500), off(62,500)]])); raw[12:14] = struct.pack('>H', division)
    n = read_midi(bytes(raw)).notes
    assert np.allclose(n['start'], np.array([0,1500])/per_second) and np.allclose(n['end'], np.array([1000,2000])/per_second)

def test_what_a_file_is_that_is_no_piece():
    for raw,word in ((header(2)+chunk(b'MTrk', note), 'is a MIDI file of format 2'), (header(div=0x8004)+chunk(b'MTrk', note), 'neither beats nor'),
                     (header(div=0xe700)+chunk(b'MTrk', note), 'neither beats nor'), (header(0, div=0)+chunk(b'MTrk', note), 'stands still')):
        with pytest.raises(MidiError, match=word): read_midi(raw)

def test_pretty_midi_keeps_the_order_of_the_foot():
    for values in ((127,0),(0,127)):
        pm = pretty_midi.PrettyMIDI(); piano = pretty_midi.Instrument(0); pm.instruments.append(piano)
        piano.notes = [pretty_midi.Note(64, 60, 0, 1)]
        piano.control_changes = [pretty_midi.ControlChange(64, v, .5) for v in values]+[pretty_midi.ControlChange(64, 0, 3)]
        assert Performance.from_pretty_midi(pm).notes['end'][0]==(3 if values[1] else 1)

@check
@given(scores(channels=1, tracks=1))
def test_pretty_midi_reads_the_same(score):
    raw = midi_bytes(score)
    keyed = [m.note for _,m in score[0] if m.type=='note_on' and m.velocity]
    if len(set(keyed))<len(keyed): return                                 # pretty_midi pairs overlapping strikes its own way
    pm = Performance.from_pretty_midi(pretty_midi.PrettyMIDI(io.BytesIO(raw)))
    ours = read_midi(raw).notes
    ended = np.isin(ours['pitch'], pm.notes['pitch'])                     # pretty_midi forgets a strike without an end
    assert hears_alike(settle(ours[ended]), settle(pm.notes))

# ---- there and back ----

on_grid = st.lists(st.builds(lambda s,d,p,v: (s*.01,(s+d)*.01,p,v), st.one_of(st.integers(0, 300), st.integers(10**6, 10**6+99)), st.integers(1, 200),
                             st.integers(60, 64), st.integers(1, 127)), min_size=1, max_size=25, unique_by=lambda o: (o[0],o[2]))

@check
@given(on_grid)
def test_round_trip_on_the_grid(tmp_path_factory, rows):
    p = Performance(rows)
    q = read_midi(write_midi(p, tmp_path_factory.getbasetemp()/'a.mid'))
    assert len(q)==len(p) and np.array_equal(encode(q), encode(p))
    one = Performance([(s,e,int(k),int(v)) for k,s,e,v in settle(rows)])          # a note at a time on each pitch
    back = read_midi(write_midi(one, tmp_path_factory.getbasetemp()/'a.mid')).notes
    assert np.allclose(back['start'], one.notes['start'], atol=1e-6, rtol=0) and np.allclose(back['end'], one.notes['end'], atol=1e-6, rtol=0)
    assert np.array_equal(back[['pitch','velocity']], one.notes[['pitch','velocity']])

@check
@given(st.lists(st.builds(lambda s,d,p: (s,s+d,p,64), st.floats(0, 5), st.one_of(st.just(0.), st.floats(0, .003)), st.integers(60, 61)), min_size=1, max_size=8,
                unique_by=lambda o: (round(o[0], 2),o[2])))
def test_no_note_is_too_short_for_a_file(tmp_path_factory, rows):
    assert len(read_midi(write_midi(Performance(rows), tmp_path_factory.getbasetemp()/'b.mid')))==len(rows)

def test_any_title_can_be_written(tmp_path):
    for title in ('', 'Dvořák: Humoreska č. 7', '東京', 'a\nb', 'x'*500): assert len(read_midi(write_midi(Performance([(0,1,60,64)], title), tmp_path/'c.mid')))==1

@check
@given(on_grid, st.floats(0, 12), st.floats(0, 12))
def test_slices_stay_inside(rows, a, b):
    p = Performance(rows); a,b = sorted((a,b)); q = p[a:b]
    assert len(q)==((p.notes['start']>=min(a, p.seconds)) & (p.notes['start']<min(b, p.seconds))).sum() and q.seconds<=max(b-a, 0)+1e-9
    assert p[:]==p and len(p[:5]+p[5:])==len(p)
    assert p.transpose(3).transpose(-3)==p and abs(p.stretch(2).seconds-2*p.seconds)<1e-9

def test_a_slice_of_everything_is_everything():
    p = Performance([(0,1,60,64), (2,2,61,64)]); assert p[:]==p

@pytest.mark.parametrize('bad', [[(-1,0,60,64)], [(1,0,60,64)], [(0,float('nan'),60,64)], [(0,float('inf'),60,64)], [(0,1,128,64)], [(0,1,-1,64)],
                                 [(0,1,60,0)], [(0,1,60,128)], [(0,1,60)], [(0,1,60,64,5)], 'abc', [5], [(0,1,'x',64)], [(0,1,float('nan'),64)], [(0,1,60.5,64)], [(0,1,60)]*4])
def test_what_is_no_note_is_refused(bad):
    with pytest.raises(ValueError): Performance(bad)

def test_a_numpy_table_is_taken_or_refused_never_bent():
    p = Performance([(0,1,60,64), (1,2,62,64)])
    assert Performance(np.array([(0,1,60,64), (1,2,62,64)], float))==p
    wide = [('start','f8'),('end','f8'),('pitch','i8'),('velocity','i8')]
    assert Performance(np.array([(0,1,60,64), (1,2,62,64)], wide))==p
    with pytest.raises(ValueError): Performance(np.array([(0,1,60+256,64)], wide))
    assert Performance(np.array([(60,64,0,1), (62,64,1,2)], [('pitch','u1'),('velocity','u1'),('start','f8'),('end','f8')]))==p

def test_rows_with_the_pitch_first_are_recognised():
    rows = np.array([(60,0,.5,64), (62,.5,1,64)])
    with pytest.raises(ValueError, match='look like .pitch, start, end, velocity.'): Performance(rows)
    with pytest.raises(ValueError, match='look like'): Performance([tuple(o) for o in rows])
    for fine in ([(30,31,110,64)], [(60,64,72,64)], [(21,108,127,1)]): assert len(Performance(fine))==1   # odd, but notes as they stand

# ---- a full disk, a folder one may not write to ----

def debris(d): return sorted(o.name for o in Path(d).iterdir())

@pytest.mark.parametrize('at', ['fsync','replace','open'])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, at):
    f = write_file(tmp_path/'a', b'old')
    def full(*a, **kw): raise OSError(errno.ENOSPC, 'No space left on device')
    if at=='open': monkeypatch.setattr('builtins.open', full)
    else: monkeypatch.setattr(os, at, full)
    with pytest.raises(OSError, match='No space left'): write_file(f, b'new')
    with pytest.raises(OSError, match='No space left'): write_midi(Performance([(0,1,60,64)]), f)
    monkeypatch.undo()
    assert f.read_bytes()==b'old' and debris(tmp_path)==['a']

def test_a_write_cut_half_way_leaves_the_old(tmp_path):
    "The kernel refuses bytes beyond a limit: a real half-written file, which needs no tiny disk."
    f = write_file(tmp_path/'a', b'old')
    with new_folder(tmp_path/'d') as new: (new/'x').write_bytes(b'old')
    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000,1000))
        with pytest.raises(OSError): write_file(f, bytes(5000))
        with pytest.raises(OSError):
            with new_folder(tmp_path/'d') as new: (new/'x').write_bytes(bytes(5000))
    assert in_child(work)==0 and f.read_bytes()==(tmp_path/'d/x').read_bytes()==b'old' and debris(tmp_path)==['a','d']

def test_a_read_only_folder_is_said(public):
    d = public/'d'; f = write_file(d/'a', b'old'); d.chmod(0o555)
    def work():
        if os.geteuid()==0: os.setuid(65534)                              # root may write anywhere
        for o in (f, d/'b', d/'deep'/'c'):
            with pytest.raises(PermissionError): write_file(o, b'new')
        with pytest.raises(PermissionError):
            with new_folder(d/'e'): pass
        for o in (d, d/'deep'/'deeper'):
            with pytest.raises(PermissionError, match='nothing can be written in'): check_writable(o)
        check_writable(public/'new')
    status = in_child(work); d.chmod(0o755)
    assert status==0 and f.read_bytes()==b'old' and debris(d)==['a']

@pytest.mark.parametrize('code', [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_that_cannot_lock_is_not_another_process(tmp_path, monkeypatch, code):
    import fcntl
    def never(*a): raise OSError(code, os.strerror(code))
    monkeypatch.setattr(fcntl, 'flock', never)
    try:
        with new_folder(tmp_path/'d') as new: (new/'x').write_text('1')
    except OSError as e: assert 'can be locked' in str(e) and 'another process' not in str(e)
    else: assert code==errno.ENOSYS                                       # filelock has a way of its own then
    assert debris(tmp_path) in ([],['d'])

def test_the_folder_one_stands_in_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert restore_folder('.')==Path('.')

def test_a_folder_killed_between_its_renames_is_healed(tmp_path):
    with new_folder(tmp_path/'d') as new: (new/'x').write_text('1')
    def work():
        real = Path.rename
        def deadly(self, to):                                             # the old one is away, the new one not yet there
            if real(self, to).name!='d': os.kill(os.getpid(), signal.SIGKILL)
        Path.rename = deadly
        with new_folder(tmp_path/'d') as new: (new/'x').write_text('2')
    assert in_child(work)==-signal.SIGKILL and not (tmp_path/'d').exists()
    assert (restore_folder(tmp_path/'d')/'x').read_text()=='1'
    with new_folder(tmp_path/'d') as new: (new/'x').write_text('3')
    assert (tmp_path/'d/x').read_text()=='3' and debris(tmp_path)==['d']

def test_several_processes_write_one_folder(tmp_path):
    "One at a time, or a refusal in words; never a mixture, whoever looks."
    def work(who):
        done,until = 0,time.time()+60
        while done<20 and time.time()<until:
            try:
                with new_folder(tmp_path/'d') as new:
                    for f in 'abc': (new/f).write_text(who); time.sleep(.001)
                done += 1
            except OSError as e: assert 'another process' in str(e), e; time.sleep(.003)
            restore_folder(tmp_path/'d')                                  # as a reader does, at any moment
        assert done==20
    pids = []
    for who in 'XYZ':
        pids.append(os.fork())
        if not pids[-1]:
            try: work(who); os._exit(0)
            except BaseException:
                import traceback; traceback.print_exc(); os._exit(1)
    assert [os.waitpid(o, 0)[1] for o in pids]==[0]*3
    assert debris(tmp_path)==['d'] and len({(tmp_path/'d'/f).read_text() for f in 'abc'})==1

# ---- broken MIDI ----

def test_only_midi_errors():
    rows = fuzz(2000)
    assert len(rows)==2000 and not [o for o in rows if not fine(o[3])]
    assert min(sum(o[3]=='read' for o in rows), sum(o[3]!='read' for o in rows))>100        # neither all broken nor all sound

@pytest.mark.parametrize('name, event', [('a key that is none', b'\0\xff\x59\2\x33\7'), ('a meter that is none', b'\0\xff\x58\4\1\xff\1\1'), ('a tempo without a value', b'\0\xff\x51\0'),
                                         ('a text in no alphabet', b'\0\xff\1\4\xff\xfe\x80\x81'), ('an escape', b'\0\xf7\x82\x2c'+bytes(range(200,256))*6),
                                         ('a program', b'\0\xc0\5\0\7'), ('a pressure', b'\0\xd0\5'), ('a run of them', b'\0\xd0\5\0\6\0\xff\1\1a\0\7\0\xd1\x40\0\x41'), ('a run of bends', b'\0\xe0\0\x40\0\1\x41'), ('what follows the end', b''), ('a megabyte', b'\0\xf0\xc0\x80\0'+bytes(2**20))])
@pytest.mark.parametrize('n', [1,2])
def test_odd_events_do_no_harm(name, event, n):
    if name=='an escape': event = event[:4]+event[4:304]
    after = b'\0\x90\x40\x40\xf4\xff' if name=='what follows the end' else b''
    track = event+b'\x30\x90\x3c\x40\x30\x80\x3c\x40'+EOT+after
    p = read_midi(header(1, n, 480)+chunk(b'MTrk', track)+chunk(b'MTrk', b'\0\x91\x40\x40\x30\x81\x40\x40'+EOT)*(n-1))
    assert p.notes['start'].tolist()==[0]*(n-1)+[.05] and p.notes['pitch'].tolist()==[64]*(n-1)+[60]

@pytest.mark.parametrize('n', [1,2])
def test_an_unknown_event_takes_its_time(n):
    track = b'\x30\xff\x08\3abc\0\x90\x3c\x40\x30\x80\x3c\x40'+EOT     # mido drops the time before it
    p = read_midi(header(1, n, 480)+chunk(b'MTrk', track)+chunk(b'MTrk', b'\0\x91\x40\x40\x30\x81\x40\x40'+EOT)*(n-1))
    assert p.notes['start'][-1]==.05

note = b'\0\x90\x3c\x40\x10\x80\x3c\x40'+EOT
def varlen_hole(): return header(0)+chunk(b'MTrk', b'\xff'*40)

@pytest.mark.parametrize('raw', [b'', b'M', b'MThd', b'RIFF', header(), header()[:13], header(0, 0), header(div=0)+chunk(b'MTrk', b'\0\x90\x3c\x40\x10\x80\x3c\x40'+EOT),
                                 header(0)+chunk(b'MTrk', b''), varlen_hole(),
                                 header(0)+b'MTrk\xff\xff\xff\xff\0\x90\x3c\x40', header(2)+chunk(b'MTrk', note), header(1, 2)+chunk(b'MTrk', note), header(1, 5)+chunk(b'MTrk', note),
                                 header(0)+chunk(b'MTrk', note[1:]), header(0)+chunk(b'MTrk', note[:-5]), header(0)+chunk(b'MTrk', b'\0\xf4'+note), header(0)+chunk(b'MTrk', b'\0\x3c\x40'+note),
                                 header(0)+chunk(b'MTrk', b'\0\x90\x80\x40'+note), header(0)+chunk(b'MTrk', b'\0\xff\1\5abc'), header(0)+chunk(b'MTrk', b'\xff\xff\xff\xff\x7f'+note[1:]),
                                 header(0)+chunk(b'MTrk', note+bytes(2**23)),
                                 header(0)+chunk(b'MTrk', b'\0\xff\x51\3\0\0\0\0\x90\x3c\x40\x10\x80\x3c\x40'+EOT)])
def test_no_performance(raw):
    with pytest.raises(MidiError) as e: read_midi(raw)
    assert '\n' not in str(e.value) and str(e.value).endswith('.')

# ---- MIDI as programs write it ----

whole = header(0)+chunk(b'MTrk', note)

@pytest.mark.parametrize('raw, n', [(riff(whole), 1), (riff((b'LIST', b'odd'), (b'data', whole)), 1),
    (whole+b'junk!!', 1), (whole+b'end of the file.', 1), (whole+b'\0', 1), (whole+chunk(b'XFIH', b'abc'), 1), (whole+whole, 1),
    (header(1, 1)+chunk(b'MTrk', note)*3, 3), (header(1, 0)+chunk(b'MTrk', note), 1),
    (header(1, 2)+chunk(b'MTrk', note)+chunk(b'XFKM', b'12345')+chunk(b'MTrk', note), 2),
    (header(0)+chunk(b'MTrk', b'\0\xf8\0\x90\x3c\x40\0\xfe\x10\x3c\0'+EOT), 1)],
    ids=['riff','other chunks before','six bytes behind','a text behind','one byte behind','a chunk behind','another file behind','fewer counted','none counted','a chunk between','real time'])
def test_what_programs_add_is_passed_over(raw, n):
    p = read_midi(raw)
    assert len(p)==n and np.allclose(p.notes['end'], 1/60) and set(p.notes['pitch'])=={60}

@pytest.mark.parametrize('raw, said', [(header(1, 5)+chunk(b'MTrk', note), 'says 5 tracks, and 4 of them are missing'), (whole[:-3], 'cut short'),
    (riff((b'LIST', b'text')), 'without MIDI data'), (header(1, 1), 'no tracks'), (header(1, 2)+chunk(b'MTrk', note)+whole, '1 of them are missing')])
def test_half_a_file_is_refused(raw, said):
    with pytest.raises(MidiError, match=said): read_midi(raw)

def test_a_pedal_belongs_to_its_port():
    def track(port, body): return chunk(b'MTrk', bytes([0,0xff,0x21,1,port])+body+EOT)
    a = b'\0\x90\x3c\x40\x83\x60\x80\x3c\x40\x83\x60\x90\x3e\x40\x83\x60\x80\x3e\x40'
    b = b'\0\xb0\x40\x7f\0\x90\x48\x40\x83\x60\x80\x48\x40\x83\x60\xb0\x40\0'
    ends = {int(k): e for _,e,k,_ in read_midi(header(1, 2)+track(0, a)+track(1, b)).notes}
    assert ends=={60: .5, 62: 1.5, 72: 1.}
    assert read_midi(header(1, 2)+track(0, a)+track(0, b)).notes['end'][0]==1.

def test_a_key_belongs_to_its_port():
    "One track that changes its port: the second strike ends nothing on the first port, nor does its release."
    port = [bytes([0,0xff,0x21,1,n]) for n in range(2)]
    strike,release = b'\x60\x90\x3c\x40',b'\x60\x80\x3c\x40'
    p = read_midi(header(0, 1, 96)+chunk(b'MTrk', strike+port[1]+strike+release+port[0]+release+EOT))
    assert p.notes['start'].tolist()==[.5,1] and p.notes['end'].tolist()==[2,1.5] and p.info['instruments']==2

@pytest.mark.parametrize('event', [b'\0\xff\x21\1\1', b'\0\xff\x51\3\7\xa1\x20', b'\0\xf8'])
def test_what_a_file_repeats_a_million_times_takes_seconds(event):
    began = time.process_time()
    assert len(read_midi(header(0)+chunk(b'MTrk', note[:-4]+event*1_100_000+EOT)))==1
    assert time.process_time()-began<10

# ---- corpora as they lie about ----

def test_what_is_not_read_is_said(tmp_path):
    for name in ('a.mid','b.kar','c.smf','d.RMI','notes.txt','.hidden.mid'): (tmp_path/name).write_bytes(whole)
    pieces = corpus(tmp_path)
    assert pieces['file']==['a.mid','b.kar','c.smf','d.RMI'] and pieces.left==['.hidden.mid','notes.txt']
    assert repr(pieces)=='<Corpus 4 pieces, 0.00 h; 2 beside them not read>'
    with zipfile.ZipFile(tmp_path/'all.zip', 'w') as z:
        for name in ('in/a.mid','in/b.kar','in/README','__MACOSX/in/._a.mid'): z.writestr(name, whole)
    pieces = corpus(tmp_path/'all.zip')
    assert pieces['file']==['in/a.mid','in/b.kar'] and pieces.left==['__MACOSX/in/._a.mid','in/README']

head = 'canonical_composer,canonical_title,split,year,midi_filename,audio_filename,duration\n'
row = 'Bach,Prelude,train,2004,2004/{}.midi,x.wav,2.5\n'

@pytest.mark.parametrize('table, said', [(head+row.format('b'), 'none of them is there; the first is 2004/b.midi'), (head, 'lists no files'),
    ((head+row.format('a'))[:-12], 'line 2 has no duration'), ((head+row.format('a'))[:25], 'its first line has no midi_filename'), ('', 'its first line has no'),
    (head+row.format('a')+'Bach,Pre', 'line 3 has no midi_filename'), (head.replace('split','part')+row.format('a'), 'its first line has no split'),
    (head+row.format('a').replace('train','dev'), "line 2 has the split 'dev'"), (head+row.format('a').replace('2004,','MMIV,'), "the year 'MMIV'"),
    (head+row.format('a')+'x'*200_000, 'field larger'), ('Bach \xe9'.encode('latin-1'), 'not UTF-8')])
def test_a_maestro_table_that_is_none(tmp_path, table, said):
    (tmp_path/'2004').mkdir()
    (tmp_path/'2004/a.midi').write_bytes(whole)
    (tmp_path/'maestro-v3.0.0.csv').write_bytes(table if isinstance(table, bytes) else table.encode())
    with pytest.raises(ValueError, match="MAESTRO's table maestro-v3.0.0.csv") as e: corpus(tmp_path)
    assert said in str(e.value) and one_sentence(e.value)

def one_sentence(e): return '\n' not in str(e) and str(e).endswith('.')

def test_a_maestro_table_that_cannot_be_read(tmp_path):
    with zipfile.ZipFile(tmp_path/'a.zip', 'w') as z:
        z.writestr('2004/a.midi', whole)
        z.writestr('maestro-v3.0.0.csv', head+row.format('a'))
    raw = (tmp_path/'a.zip').read_bytes()
    (tmp_path/'a.zip').write_bytes(raw.replace(b'Prelude', b'Preludf', 1))
    (tmp_path/'b.midi').write_bytes(whole)
    (tmp_path/'maestro-v3.0.0.csv').symlink_to('nowhere.csv')
    for source,said in ((tmp_path/'a.zip','CRC'), (tmp_path,'No such file')):
        with pytest.raises(ValueError, match="MAESTRO's table maestro-v3.0.0.csv in .* is damaged: "+f'.*{said}') as e: corpus(source)
        assert one_sentence(e.value)

def test_a_maestro_table_with_more_than_is_there(tmp_path):
    (tmp_path/'2004').mkdir()
    for name in 'ac': (tmp_path/f'2004/{name}.midi').write_bytes(whole)
    (tmp_path/'maestro-v3.0.0.csv').write_text(head+row.format('a')+row.format('b'))
    pieces = corpus(tmp_path)
    assert (pieces['file'],pieces.missing,pieces.left)==(['2004/a.midi'],['2004/b.midi'],['2004/c.midi'])

@pytest.mark.skipif(not Path('/proc/self/statm').exists(), reason='needs /proc to know its own size')
@pytest.mark.parametrize('body, n', [(b'\0\x90\x3c\x40'+b'\0\x3c\0\0\x3c\x40'*1_390_000, 1_390_001), (b'\0\xff\1\0'*500_000+b'\0\x90\x3c\x40', 1)])
def test_the_densest_files_take_no_gigabytes(body, n):
    raw = header(0)+chunk(b'MTrk', body)
    def work():
        size = int(Path('/proc/self/statm').read_text().split()[0])*resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size+512*2**20,)*2)
        assert len(read_midi(raw))==n
    assert in_child(work)==0

@pytest.mark.parametrize('notes', [[(0,.1,60,64),(0,2,60,90)], [(0,1,60,64),(.0004,2,60,90)], [(0,2,60,90),(0,.8,60,64)]], ids=str)
def test_strikes_in_one_millisecond_are_one_note_in_a_file(notes, tmp_path):
    q = read_midi(write_midi(Performance(notes), tmp_path/'a.mid'))
    assert len(q)==1 and abs(q.seconds-2)<1e-3 and q.notes['velocity'][0]==90

def test_what_is_known_of_a_whole_is_not_said_of_a_part():
    p = Performance([(0,1,60,64),(10,11,62,64)], info=dict(new_from=5.))
    assert not any(o.info for o in (p[5:], p.stretch(2), p+p)) and p.transpose(1).info==p.info

@pytest.mark.parametrize('f,word', [(lambda p: p.transpose(1.5), 'semitones'), (lambda p: p.transpose(10**30), 'semitones'), (lambda p: p.stretch(np.inf), 'factor')])
def test_refused_with_a_name(f, word):
    with pytest.raises(ValueError, match=word): f(Performance([(0,1,60,64)]))

@pytest.mark.parametrize('src', [None, 5, ['a']])
def test_what_is_no_file_is_said(src):
    with pytest.raises(TypeError, match='src must be'): read_midi(src)
