"""Broken MIDI for the reader: whatever the damage, it reads a performance or raises MidiError, in bounded time and memory.

    python tests/fuzz.py [20000 [seed]]      # prints a table by kind of damage; exit status 1 if anything else came out"""
import io, os, re, resource, signal, struct, subprocess, sys, tempfile, time
from collections import Counter
from pathlib import Path
import mido, numpy as np
from music_transformer.data import MidiError, Performance, read_midi
from music_transformer.processor import encode

LIMIT_MB,LIMIT_S = 512,10

# ---- small sound files of every build ----

M = mido.Message
on = lambda pitch,dt=0,ch=0,v=64: (dt,M('note_on', note=pitch, velocity=v, channel=ch))
off = lambda pitch,dt=0,ch=0: (dt,M('note_off', note=pitch, channel=ch))
cc = lambda value,dt=0,ch=0: (dt,M('control_change', control=64, value=value, channel=ch))

def midi_bytes(score, tpq=96):
    "A file of tracks, each of (delta, message)."
    m = mido.MidiFile(ticks_per_beat=tpq)
    for o in score: m.tracks.append(mido.MidiTrack(x.copy(time=dt) for dt,x in o))
    b = io.BytesIO(); m.save(file=b); return b.getvalue()

def chunk(kind, body): return kind+struct.pack('>I', len(body))+body
def header(fmt=1, n=1, div=480): return chunk(b'MThd', struct.pack('>HHH', fmt, n, div))
def varlen(n):
    out = [n&127]; n >>= 7
    while n: out.append(n&127|128); n >>= 7
    return bytes(reversed(out))
EOT = b'\0\xff\x2f\0'
def riff(*chunks):
    "A file in RIFF, as Windows has it: a chunk of MIDI, or chunks of (name, bytes)."
    if isinstance(chunks[0], bytes): chunks = [(b'data', chunks[0])]
    body = b'RMID'+b''.join(k+struct.pack('<I', len(b))+b+b'\0'*(len(b)%2) for k,b in chunks)
    return b'RIFF'+struct.pack('<I', len(body))+body

def seeds():
    rng = np.random.default_rng(0)
    soup = b''.join(bytes([rng.integers(90)])+(bytes([0x90,p,v]) if i%7==0 else bytes([p,v])) for i,(p,v) in enumerate(zip(rng.integers(40, 90, 200), rng.integers(0, 128, 200)*rng.integers(0, 2, 200))))
    notes = [x for i in range(60) for x in (on(40+i%50, 10, i%2), cc(127*(i%3==0), 5, i%2), off(40+i%50, 30, i%2))]
    meta = [(0,mido.MetaMessage('set_tempo', tempo=400_000)), (0,mido.MetaMessage('text', text='hello')), (0,mido.MetaMessage('time_signature')),
            (5,M('sysex', data=(1,2,3))), (0,M('program_change', program=3)), (0,M('pitchwheel', pitch=100)), (9,M('aftertouch', value=3))]
    one = [(dt,m.copy(channel=0)) for dt,m in notes]
    pm = Performance([(i*.1,i*.1+.3,50+i%30,64) for i in range(60)]).to_pretty_midi(); b = io.BytesIO(); pm.write(b)
    middle = [(5,M('control_change', control=66, value=127*(i%2))) for i in range(60)]
    ports = [[(0,mido.MetaMessage('midi_port', port=k)), *(x for pair in zip(one, middle) for x in pair)] for k in range(2)]
    return [b.getvalue(), midi_bytes(ports), riff(midi_bytes([one])), midi_bytes([one]), midi_bytes([meta,one]), midi_bytes([meta+notes]), midi_bytes([meta,notes,one]), header(0)+chunk(b'MTrk', soup+EOT)]

def mutate(rng, files):
    "A file, broken; and how."
    raw = bytearray(files[rng.integers(len(files))]); how = []
    def spot(): return int(rng.integers(len(raw)+1))
    def body(x): raw[:] = header(0, 1, int(rng.choice([96,480,32767])))+chunk(b'MTrk', x+(EOT if rng.random()<.7 else b''))
    for _ in range(int(rng.choice([1,1,2,3,5]))):
        kind = str(rng.choice(['cut','flip','flip','bytes','insert','delete','repeat','splice','division','format','tracks','length','varlen','meta','sysex',
                               'megabyte','tempo','gap','gaps','endless','running','status','shuffle','chunk','high','tail','riff','realtime','ports']))
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
        elif kind=='megabyte': body(b'\0\xf0'+varlen(2**20)+bytes(2**20)+b'\0\x90\x3c\x40\x10\x80\x3c\x40')
        elif kind=='tempo': raw[a:a] = b'\0\xff\x51\3'+int(rng.choice([0,1,2**24-1,rng.integers(2**24)])).to_bytes(3, 'big')
        elif kind=='gap': raw[a:a] = varlen(int(rng.choice([2**14,2**21,2**28-1])))
        elif kind=='gaps': body((b'\0\x90\x3c\x40' if rng.random()<.5 else b'')+b''.join(varlen(2**28-1)+b'\xb0\x07\x05' for _ in range(int(rng.integers(1, 40))))+b'\0\x90\x3c\x40\x10\x80\x3c\x40')
        elif kind=='endless': body(b''.join(bytes([int(rng.integers(99)),0x90,int(rng.integers(128)),64]) for _ in range(int(rng.integers(1, 300)))))
        elif kind=='running': body(b'\0\x90'*int(rng.random()<.7)+bytes(rng.integers(0, 128, int(rng.choice([5,100,3000,60_000], p=[.3,.4,.28,.02])), dtype=np.uint8)))
        elif kind=='status': raw[a:b] = bytes(rng.integers(128, 256, b-a, dtype=np.uint8))
        elif kind=='shuffle': raw[a:b] = bytes(rng.permutation(np.array(raw[a:b], np.uint8)))
        elif kind=='chunk': raw[a:a] = chunk(bytes(rng.choice([b'MTrk',b'MThd',b'XFIH'])), rng.bytes(int(rng.integers(0, 30))))
        elif kind=='tail': raw += rng.bytes(int(rng.choice([1,7,8,16,300])))
        elif kind=='riff': raw[:] = riff((b'LIST', rng.bytes(int(rng.integers(9)))), (b'data', bytes(raw)))
        elif kind=='realtime': raw[a:a] = bytes([0,int(rng.integers(0xf8, 0xff))])*int(rng.choice([1,20,1_000_000], p=[.5,.45,.05]))
        elif kind=='ports': body(b''.join(bytes([0,0xff,0x21,1,int(rng.integers(256)),0,0x90,60,64,0,0xb0,int(rng.choice([64,66])),127]) for _ in range(int(rng.choice([3,300,30_000], p=[.6,.35,.05])))))
        elif kind=='high' and len(raw)>30: raw[int(rng.integers(22, len(raw)))] |= 128
    at = raw.rfind(b'MTrk')
    if at>=0 and rng.random()<.6: raw[at+4:at+8] = struct.pack('>I', max(0, len(raw)-at-8))   # else most damage is seen by the length alone
    return bytes(raw),'+'.join(how)

# ---- a worker under limits, one file after another ----

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
            except MidiError as e: verdict = 'refused: '+str(e) if '\n' not in str(e) and str(e).endswith('.') else f'not a sentence: {e!r}'
            except BaseException as e: verdict = f'{type(e).__name__}: {e}'
            signal.setitimer(signal.ITIMER_PROF, 0)
            f.write(f'{time.process_time()-t:.3f} {verdict}'.replace('\n', ' ')+'\n')

def fuzz(count, seed=0):
    "Rows of (number, how it was broken, seconds, verdict) for `count` mutations; a crash or a hang is a verdict too."
    first = 0
    with tempfile.TemporaryDirectory() as d:
        out = Path(d)/'log'; out.write_text('')
        while first<count:
            r = subprocess.run([sys.executable,__file__,'--worker',str(seed),str(first),str(count),str(out)], stderr=subprocess.PIPE, env={**os.environ,'OMP_NUM_THREADS':'1'})
            if not r.returncode: break
            first = int(out.read_text().splitlines()[-1].split()[0])+1
            with open(out, 'a') as f: f.write(f'0 {signal.Signals(-r.returncode).name if r.returncode<0 else r.stderr.decode()[-300:]}'.replace('\n', ' ')+'\n')
        rows = [o.split(' ', 3) for o in out.read_text().splitlines()]
    return [(int(i),how.split('+'),float(t),verdict) for i,how,t,verdict in rows]

def fine(verdict): return verdict=='read' or verdict.startswith('refused')

def table(rows):
    "What came of each kind of damage; a file broken in three ways counts for three. Then why files were refused."
    out = [f'{"damage":12}{"files":>8}{"read":>8}{"refused":>9}{"other":>7}{"slowest, s":>12}']
    for kind in [*sorted({k for o in rows for k in o[1]}), 'all']:
        mine = [o for o in rows if kind in o[1] or kind=='all']
        n = [sum(f(o[3]) for o in mine) for f in (lambda v: v=='read', lambda v: v.startswith('refused'), lambda v: not fine(v))]
        out.append(f'{kind:12}{len(mine):8}{n[0]:8}{n[1]:9}{n[2]:7}{max(o[2] for o in mine):12.3f}')
    why = [re.sub(r'\d+', 'n', o[3].removeprefix('refused: this ').removeprefix('is a damaged MIDI file: ')) for o in rows if o[3].startswith('refused')]
    return '\n'.join([*out, '', *(f'{n:8}  {k}' for k,n in Counter(why).most_common()), *(f'BAD {o}' for o in rows if not fine(o[3]))])

if __name__=='__main__':
    if '--worker' in sys.argv: worker(*map(int, sys.argv[2:5]), sys.argv[5])
    else:
        rows = fuzz(*map(int, sys.argv[1:] or [20_000]))
        print(table(rows), f'\npeak memory {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss/1024:.0f} MB', sep='\n')
        sys.exit(not all(fine(o[3]) for o in rows))
