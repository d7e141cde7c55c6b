"""The pedal and the reader against slow readings of the rule; files that survive a full disk; MIDI that is broken in 2,000 ways.

    MT_FUZZ=20000 pytest tests/test_data.py -k fuzz     more of them"""
import errno, io, os, resource, signal, struct, subprocess, sys, time
from collections import defaultdict
from pathlib import Path
import mido, numpy as np, pretty_midi, pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from music_transformer.data import MidiError, Performance, new_folder, read_midi, restore_folder, sustain, write_file, write_midi
from music_transformer.processor import encode

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

def _up(foot, t): return ([0]+[v for u,v in foot if u<=t])[-1]<64

# ---- whole files ----

M = mido.Message
END = 100                                                  # a pitch for the note that ends every piece

@st.composite
def scores(draw, channels=3, tracks=2):
    "Tracks of (delta, message): keys, pedals, tempo. Each track has pitches of its own; the last note outlasts everything."
    out = []
    used = draw(st.lists(st.sampled_from([0,1,2,5,9][:channels]), min_size=1, max_size=channels, unique=True))
    for k in range(draw(st.integers(1, tracks))):
        track = []
        for _ in range(draw(st.integers(0, 25))):
            dt,ch = draw(st.sampled_from([0,1,2,5,40,200])),draw(st.sampled_from(used))
            kind = draw(st.sampled_from(['on','on','on','off','off','off','off','pedal','pedal','tempo']))
            pitch = 60+4*k+draw(st.integers(0, 1))
            if kind=='on': m = M('note_on', channel=ch, note=pitch, velocity=draw(st.integers(1, 127)))
            elif kind=='off': m = M('note_off', channel=ch, note=pitch) if draw(st.booleans()) else M('note_on', channel=ch, note=pitch, velocity=0)
            elif kind=='pedal': m = M('control_change', channel=ch, control=draw(st.sampled_from([64,64,64,66])), value=draw(st.sampled_from([0,20,63,64,100,127])))
            elif k==0: m = mido.MetaMessage('set_tempo', tempo=draw(st.sampled_from([250_000,500_000,777_777])))
            else: continue
            track.append((dt,m))
        out.append(track)
    length = max(sum(dt for dt,_ in o) for o in out)
    out[0] += [(length+10-sum(dt for dt,_ in out[0]), M('note_on', channel=used[0], note=END, velocity=64)), (10, M('note_off', channel=used[0], note=END))]
    return out

def midi_bytes(score, tpq=96):
    m = mido.MidiFile(ticks_per_beat=tpq)
    for o in score: m.tracks.append(mido.MidiTrack(x.copy(time=dt) for dt,x in o))
    b = io.BytesIO(); m.save(file=b); return b.getvalue()

def listen(score, tpq=96):
    """What one hears, settled, in seconds, and the number of strikes. A key that comes up ends
    the strikes of it that began before, or else those of this very tick; a strike without an end lasts as long as the piece."""
    events = []
    for track in score:
        t = 0
        for dt,m in track: t += dt; events.append((t,m))
    events.sort(key=lambda o: o[0])
    last = events[-1][0]
    notes,feet,tempi = [],defaultdict(list),[(0,500_000)]
    for t,m in events:
        if m.type=='set_tempo': tempi.append((t,m.tempo))
        elif m.type=='control_change':
            if m.control==64: feet[m.channel].append((t,m.value))
        elif m.type=='note_on' and m.velocity: notes.append([t,None,m.note,m.velocity,m.channel])
        else:
            sounding = [n for n in notes if n[1] is None and n[2]==m.note and n[4]==m.channel]
            for n in [n for n in sounding if n[0]<t] or sounding: n[1] = t
    for n in notes:
        if n[1] is None: n[1] = last
    notes = [n for n in notes if n[4]!=9]
    for ch in {n[4] for n in notes}:
        mine = [n for n in notes if n[4]==ch]
        for n,end in zip(mine, slow_sustain([n[:3] for n in mine], feet[ch], last)): n[1] = end
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

on = lambda pitch,dt=0,ch=0,v=64: (dt,M('note_on', note=pitch, velocity=v, channel=ch))
off = lambda pitch,dt=0,ch=0: (dt,M('note_off', note=pitch, channel=ch))
cc = lambda value,dt=0,ch=0: (dt,M('control_change', control=64, value=value, channel=ch))

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
    ('struck again before released, at one tick', [[on(60), on(60,10), off(60), off(60,10)]], [(0,10,60), (10,20,60)])])
def test_small_files(name, score, expected):
    p = read_midi(midi_bytes(score, tpq=50))                              # 120 beats a minute: a tick is 10 ms
    got = sorted((round(s*100),round(e*100),int(k)) for k,s,e,_ in settle(p.notes))
    assert got==sorted(expected)

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
                                 [(0,1,60,0)], [(0,1,60,128)], [(0,1,60)], [(0,1,60,64,5)], 'abc', [5], [(0,1,'x',64)], [(0,1,float('nan'),64)]])
def test_what_is_no_note_is_refused(bad):
    with pytest.raises(ValueError): Performance(bad)

def test_a_numpy_table_is_taken_or_refused_never_bent():
    p = Performance([(0,1,60,64), (1,2,62,64)])
    assert Performance(np.array([(0,1,60,64), (1,2,62,64)], float))==p
    wide = [('start','f8'),('end','f8'),('pitch','i8'),('velocity','i8')]
    assert Performance(np.array([(0,1,60,64), (1,2,62,64)], wide))==p
    with pytest.raises(ValueError): Performance(np.array([(0,1,60+256,64)], wide))
    assert Performance(np.array([(60,64,0,1), (62,64,1,2)], [('pitch','u1'),('velocity','u1'),('start','f8'),('end','f8')]))==p

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

def in_child(f):
    "Run `f` in a fork; its exit status."
    pid = os.fork()
    if not pid:
        try: f(); code = 0
        except BaseException:
            import traceback; traceback.print_exc(); code = 1
        finally: os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

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

def test_a_read_only_folder_is_said(tmp_path):
    d = tmp_path/'d'; f = write_file(d/'a', b'old')
    for o in [tmp_path,*tmp_path.parents][:3]: o.chmod(0o755)             # pytest's folders, for `nobody`
    d.chmod(0o555)
    def work():
        if os.geteuid()==0: os.setuid(65534)                              # root may write anywhere
        for o in (f, d/'b', d/'deep'/'c'):
            with pytest.raises(PermissionError): write_file(o, b'new')
        with pytest.raises(PermissionError):
            with new_folder(d/'e'): pass
    status = in_child(work); d.chmod(0o755)
    assert status==0 and f.read_bytes()==b'old' and debris(d)==['a']

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
        done = 0
        for _ in range(60):
            try:
                with new_folder(tmp_path/'d') as new:
                    for f in 'abc': (new/f).write_text(who); time.sleep(.001)
                done += 1
            except OSError as e: assert 'another process' in str(e), e; time.sleep(.003)
            restore_folder(tmp_path/'d')                                  # as a reader does, at any moment
        assert done
    pids = []
    for who in 'XYZ':
        pids.append(os.fork())
        if not pids[-1]:
            try: work(who); os._exit(0)
            except BaseException:
                import traceback; traceback.print_exc(); os._exit(1)
    assert [os.waitpid(o, 0)[1] for o in pids]==[0]*3
    assert debris(tmp_path)==['d'] and len({(tmp_path/'d'/f).read_text() for f in 'abc'})==1

# ---- broken MIDI: a worker under limits, one file after another ----

def chunk(kind, body): return kind+struct.pack('>I', len(body))+body
def header(fmt=1, n=1, div=480): return chunk(b'MThd', struct.pack('>HHH', fmt, n, div))
def varlen(n):
    out = [n&127]; n >>= 7
    while n: out.append(n&127|128); n >>= 7
    return bytes(reversed(out))
EOT = b'\0\xff\x2f\0'

def seeds():
    "Small sound files of every build."
    rng = np.random.default_rng(0)
    soup = b''.join(bytes([rng.integers(90)])+(bytes([0x90,p,v]) if i%7==0 else bytes([p,v])) for i,(p,v) in enumerate(zip(rng.integers(40, 90, 200), rng.integers(0, 128, 200)*rng.integers(0, 2, 200))))
    notes = [x for i in range(60) for x in (on(40+i%50, 10, i%2), cc(127*(i%3==0), 5, i%2), off(40+i%50, 30, i%2))]
    meta = [(0,mido.MetaMessage('set_tempo', tempo=400_000)), (0,mido.MetaMessage('text', text='hello')), (0,mido.MetaMessage('time_signature')),
            (5,M('sysex', data=(1,2,3))), (0,M('program_change', program=3)), (0,M('pitchwheel', pitch=100)), (9,M('aftertouch', value=3))]
    one = [(dt,m.copy(channel=0)) for dt,m in notes]
    pm = Performance([(i*.1,i*.1+.3,50+i%30,64) for i in range(60)]).to_pretty_midi(); b = io.BytesIO(); pm.write(b)
    return [b.getvalue(), midi_bytes([one]), midi_bytes([meta,one]), midi_bytes([meta+notes]), midi_bytes([meta,notes,one]), header(0)+chunk(b'MTrk', soup+EOT)]

def mutate(rng, files):
    "A file, broken; and how."
    raw = bytearray(files[rng.integers(len(files))]); how = []
    def spot(): return int(rng.integers(len(raw)+1))
    def body(x): raw[:] = header(0, 1, int(rng.choice([96,480,32767])))+chunk(b'MTrk', x+(EOT if rng.random()<.7 else b''))
    for _ in range(int(rng.choice([1,1,2,3,5]))):
        kind = str(rng.choice(['cut','flip','flip','bytes','insert','delete','repeat','splice','division','format','tracks','length','varlen','meta','sysex',
                               'megabyte','tempo','gap','gaps','endless','running','status','shuffle','chunk','high']))
        how.append(kind); a = spot(); b = min(len(raw), a+int(rng.integers(1, 40)))
        if kind=='cut': del raw[a:]
        elif kind=='flip':
            for _ in range(rng.integers(1, 20)):
                if raw: raw[rng.integers(len(raw))] ^= 1<<int(rng.integers(8))
        elif kind=='bytes': raw[a:b] = rng.bytes(b-a)
        elif kind=='insert': raw[a:a] = rng.bytes(int(rng.integers(1, 60)))
        elif kind=='delete': del raw[a:b]
        elif kind=='repeat': raw[a:a] = raw[a:b]*int(rng.integers(1, 50))
        elif kind=='splice': raw[a:] = files[rng.integers(len(files))][spot():]
        elif kind=='division': raw[12:14] = struct.pack('>H', int(rng.choice([0,1,0x7fff,0x8000,0xe728,0xe250,0xffff,rng.integers(65536)])))
        elif kind=='format': raw[8:10] = struct.pack('>H', int(rng.choice([0,1,2,3,65535])))
        elif kind=='tracks': raw[10:12] = struct.pack('>H', int(rng.choice([0,1,2,500,65535])))
        elif kind=='length':                                              # of a chunk
            at = raw.find(b'MT', int(rng.choice([0,1,14,20])))
            if at>=0: raw[at+4:at+8] = struct.pack('>I', int(rng.choice([0,1,5,7,2**31-1,2**31,2**32-1,len(raw)])))
        elif kind=='varlen': raw[a:a] = bytes([0xff]*int(rng.integers(1, 9)))
        elif kind=='meta': raw[a:a] = bytes([0,0xff,int(rng.choice([0,1,3,0x20,0x21,0x2f,0x51,0x54,0x58,0x59,0x7f]))])+varlen(int(rng.choice([0,1,2,3,5,127,2**20,2**28-1])))
        elif kind=='sysex': raw[a:a] = bytes([0,int(rng.choice([0xf0,0xf7]))])+varlen(int(rng.choice([0,5,2**20,2**28-1])))
        elif kind=='megabyte' and rng.random()<.1: body(b'\0\xf0'+varlen(2**20)+bytes(2**20)+b'\0\x90\x3c\x40\x10\x80\x3c\x40')
        elif kind=='tempo': raw[a:a] = b'\0\xff\x51\3'+int(rng.choice([0,1,2**24-1,rng.integers(2**24)])).to_bytes(3, 'big')
        elif kind=='gap': raw[a:a] = varlen(int(rng.choice([2**14,2**21,2**28-1])))
        elif kind=='gaps': body((b'\0\x90\x3c\x40' if rng.random()<.5 else b'')+b''.join(varlen(2**28-1)+b'\xb0\x07\x05' for _ in range(int(rng.integers(1, 40))))+b'\0\x90\x3c\x40\x10\x80\x3c\x40')
        elif kind=='endless': body(b''.join(bytes([int(rng.integers(99)),0x90,int(rng.integers(128)),64]) for _ in range(int(rng.integers(1, 300)))))
        elif kind=='running': body(b'\0\x90'*int(rng.random()<.7)+bytes(rng.integers(0, 128, int(rng.choice([5,100,3000,60_000], p=[.3,.4,.28,.02])), dtype=np.uint8)))
        elif kind=='status': raw[a:b] = bytes(rng.integers(128, 256, b-a, dtype=np.uint8))
        elif kind=='shuffle': raw[a:b] = bytes(rng.permutation(np.array(raw[a:b], np.uint8)))
        elif kind=='chunk': raw[a:a] = chunk(bytes(rng.choice([b'MTrk',b'MThd',b'XFIH'])), rng.bytes(int(rng.integers(0, 30))))
        elif kind=='high' and len(raw)>30: raw[int(rng.integers(22, len(raw)))] |= 128
    return bytes(raw),'+'.join(how)

LIMIT_MB,LIMIT_S = 512,10

def worker(seed, first, last, out):
    "Read mutations first..last; a line for each in `out`, begun before the reading, so that a crash has a name."
    files = seeds(); read_midi(files[0]); encode(read_midi(files[-1]))
    size = int(Path('/proc/self/statm').read_text().split()[0])*resource.getpagesize() if Path('/proc/self/statm').exists() else 2**33
    resource.setrlimit(resource.RLIMIT_AS, (size+LIMIT_MB*2**20,)*2); resource.setrlimit(resource.RLIMIT_CORE, (0,0))
    with open(out, 'a', buffering=1) as f:
        for i in range(first, last):
            raw,how = mutate(np.random.default_rng((seed,i)), files)
            f.write(f'{i} {how} '); f.flush(); signal.setitimer(signal.ITIMER_PROF, LIMIT_S); t = time.process_time()  # without a handler this ends even C
            try:
                p = read_midi(raw); encode(p)
                verdict = 'read' if len(p) and p.notes['end'].max()<=24*3600 else 'no performance'
            except MidiError as e: verdict = 'refused' if '\n' not in str(e) and str(e).endswith('.') else f'not a sentence: {e!r}'
            except BaseException as e: verdict = f'{type(e).__name__}: {e}'
            signal.setitimer(signal.ITIMER_PROF, 0)
            f.write(f'{time.process_time()-t:.2f} {verdict}'.replace('\n', ' ')+'\n')

def fuzz(seed, count, out):
    "How the reader took `count` mutations: the verdicts, a crash or a hang as one of them."
    out.write_text(''); first = 0
    while first<count:
        code = subprocess.run([sys.executable, __file__, str(seed), str(first), str(count), str(out)], stderr=subprocess.PIPE, env={**os.environ,'OMP_NUM_THREADS':'1'})
        done = out.read_text().splitlines()
        if code.returncode:
            with open(out, 'a') as f: f.write(f'0 {signal.Signals(-code.returncode).name if code.returncode<0 else code.stderr.decode()[-300:]}'.replace('\n', ' ')+'\n')
        first = int(done[-1].split()[0])+1 if done else count
        if len(done)<1 or code.returncode==0: break
    rows = [l.split(' ', 3) for l in out.read_text().splitlines()]
    return [(int(i),how,float(t),verdict) for i,how,t,verdict in rows]

def test_fuzz_only_midi_errors(tmp_path):
    count = int(os.environ.get('MT_FUZZ', 2000)); seed = int(os.environ.get('MT_FUZZ_SEED', 0))
    rows = fuzz(seed, count, tmp_path/'log')
    kinds = {v: sum(o[3]==v for o in rows) for v in ('read','refused')}
    print(f'{len(rows)} files: {kinds}; the slowest {max(o[2] for o in rows):.2f} s')
    bad = [o for o in rows if o[3] not in kinds]
    assert len(rows)==count and not bad, f'{len(bad)} of {len(rows)}: {bad[:20]}'
    assert min(kinds.values())>count/20                                   # neither all broken nor all sound

@pytest.mark.parametrize('name, event', [('a key that is none', b'\0\xff\x59\2\x33\7'), ('a meter that is none', b'\0\xff\x58\4\1\xff\1\1'), ('a tempo without a value', b'\0\xff\x51\0'),
                                         ('a text in no alphabet', b'\0\xff\1\4\xff\xfe\x80\x81'), ('an escape', b'\0\xf7\x82\x2c'+bytes(range(200,256))*6),
                                         ('a program', b'\0\xc0\5\0\7'), ('a pressure', b'\0\xd0\5'), ('a megabyte', b'\0\xf0\xc0\x80\0'+bytes(2**20))])
@pytest.mark.parametrize('n', [1,2])
def test_odd_events_do_no_harm(name, event, n):
    if name=='an escape': event = event[:4]+event[4:304]
    track = event+b'\x30\x90\x3c\x40\x30\x80\x3c\x40'+EOT
    p = read_midi(header(1, n, 480)+chunk(b'MTrk', track)+chunk(b'MTrk', b'\0\x91\x40\x40\x30\x81\x40\x40'+EOT)*(n-1))
    assert p.notes['start'].tolist()==[0]*(n-1)+[.05] and p.notes['pitch'].tolist()==[64]*(n-1)+[60]

@pytest.mark.parametrize('n', [1,2])
def test_an_unknown_event_takes_its_time(n):
    track = b'\x30\xff\x08\3abc\0\x90\x3c\x40\x30\x80\x3c\x40'+EOT     # mido drops the time before it
    p = read_midi(header(1, n, 480)+chunk(b'MTrk', track)+chunk(b'MTrk', b'\0\x91\x40\x40\x30\x81\x40\x40'+EOT)*(n-1))
    assert p.notes['start'][-1]==.05

def varlen_hole(): return header(0)+chunk(b'MTrk', b'\xff'*40)

@pytest.mark.parametrize('raw', [b'', b'M', b'MThd', b'RIFF', header(), header()[:13], header(0, 0), header(div=0)+chunk(b'MTrk', b'\0\x90\x3c\x40\x10\x80\x3c\x40'+EOT),
                                 header(div=0xe728)+chunk(b'MTrk', b'\0\x90\x3c\x40\x10\x80\x3c\x40'+EOT), header(0)+chunk(b'MTrk', b''), varlen_hole(),
                                 header(0)+b'MTrk\xff\xff\xff\xff\0\x90\x3c\x40',
                                 header(0)+chunk(b'MTrk', b'\0\xff\x51\3\0\0\0\0\x90\x3c\x40\x10\x80\x3c\x40'+EOT)])
def test_no_performance(raw):
    with pytest.raises(MidiError) as e: read_midi(raw)
    assert '\n' not in str(e.value) and str(e.value).endswith('.')

if __name__=='__main__': worker(*map(int, sys.argv[1:4]), sys.argv[4])
