"""Check the processor against another reading of the files: pretty_midi, and the rules in one plain loop over what it found.

    python tests/reread.py [maestro-v3.0.0-midi.zip [first [last]]]      # exit status 1 where a rule is broken"""
import bisect, io, os, sys, warnings, zipfile
from collections import Counter, defaultdict
import pretty_midi
from tqdm import tqdm
from music_transformer.corpus import download_maestro
from music_transformer.midi import read_midi
from music_transformer.processor import NOTE_OFF, PAD, VELOCITY, encode, decode

DAMPER,OFF,ON,MIDDLE = range(4)   # at one instant in this order: a pedal, keys come up, keys go down, the other pedal

def moves(pm):
    "All notes, their ends still to be found; and what keys and pedals do, in order: (time, kind, number, instrument, note or value)."
    notes,events = [],[]
    for k,ins in enumerate(o for o in pm.instruments if not o.is_drum):
        for o in ins.notes:
            n = [o.start, None, o.pitch, o.velocity]
            notes.append(n)
            events += [(o.start,ON,len(events),k,n), (o.end,OFF,len(events)+1,k,n)]
        for o in ins.control_changes:
            if o.number==64: events.append((o.time,DAMPER,len(events),k,o.value))
            if o.number==66: events.append((o.time,MIDDLE,len(events),k,o.value))
    return notes,sorted(events, key=lambda o: o[:3])

def heard(raw):
    "[start, end, pitch, velocity] of every note as it sounds, by rule 2, the middle pedal, and the re-strike of rule 3."
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        notes,events = moves(pretty_midi.PrettyMIDI(io.BytesIO(raw)))
    down,caught = defaultdict(bool),{}                                           # whether the damper pedal is; the keys of the middle one
    keyed,held,kept = (defaultdict(list) for _ in range(3))                      # notes whose key is down; that the damper pedal holds; the middle one
    def let_go(n, t, k):
        if down[k]: held[k,n[2]].append(n)
        else: n[1] = t
    def empty(pedal, k): return [n for i,p in list(pedal) if i==k for n in pedal.pop((i,p))]
    for t,kind,_,k,o in events:
        if kind==DAMPER:
            down[k] = o>=64
            if not down[k]:
                for n in empty(held, k): n[1] = t
        elif kind==MIDDLE and o<64:
            caught.pop(k, None)
            for n in empty(kept, k): let_go(n, t, k)
        elif kind==MIDDLE: caught.setdefault(k, {p for (i,p),sounding in keyed.items() if i==k and sounding})
        elif kind==ON:
            at = k,o[2]
            for n in held.pop(at, [])+kept.pop(at, [])+keyed[at]: n[1] = t
            keyed[at] = [o]
        elif o[1] is None:
            keyed[k,o[2]].remove(o)
            if o[2] in caught.get(k, ()): kept[k,o[2]].append(o)
            else: let_go(o, t, k)
    for n in notes:
        if n[1] is None: n[1] = events[-1][0]
    return notes

def step(t, there):
    "The step nearest to `t`; exactly between two, which float noise decides, the one that is `there`."
    a,b = round(t/.01-1e-6),round(t/.01+1e-6)
    return b if there(b) and not there(a) else a

def reread(raw):
    "Counts for one file, and the worst errors as `ms` and `velocity`."
    notes = heard(raw)
    p = read_midi(raw); ids = encode(p); q = decode(ids)
    c = Counter({'files': 1, 'ids': len(ids), 'notes in': len(notes), 'notes read': len(p), 'notes out': len(q)})
    out = {(int(o['pitch']),round(o['start']/.01)): o for o in q.notes}
    groups,strikes = defaultdict(list),defaultdict(list)
    for n in notes: groups[n[2],step(n[0], lambda k: (n[2],k) in out)].append(n)
    for pitch,on in sorted(groups): strikes[pitch].append(on)
    c['merged strikes'] = len(notes)-len(groups)
    onset = end = velocity = 0.
    for (pitch,on),g in groups.items():
        o = out.pop((pitch,on), None)
        if o is None: c['notes lost'] += 1; continue
        later = strikes[pitch]; i = bisect.bisect(later, on)
        stop = max(max(n[1] for n in g), (on+1)*.01)                             # rule 3: a step at least
        if i<len(later): stop = min(stop, min(n[0] for n in groups[pitch,later[i]]))
        onset,end = max(onset, *(abs(o['start']-n[0]) for n in g)),max(end, abs(o['end']-stop))
        velocity = max(velocity, abs(int(o['velocity'])-max(n[3] for n in g)))
    c['notes invented'] = len(out)
    touch = None
    for a,b in zip(ids.tolist(), ids[1:].tolist()):
        if VELOCITY<=a<PAD: c['redundant velocity tokens'] += a==touch or b>=NOTE_OFF; touch = a
        elif a<NOTE_OFF and touch is None: c['notes without a velocity'] += 1
    again = encode(q)
    c['ids that do not come back'] = int((again!=ids).sum()) if len(again)==len(ids) else max(len(again), len(ids))
    return c,{'largest onset error, ms': onset*1e3, 'largest end error, ms': end*1e3, 'largest velocity error': velocity}

none = 'notes lost','notes invented','redundant velocity tokens','notes without a velocity','ids that do not come back'
limits = {'largest onset error, ms': 5.001, 'largest end error, ms': 5.001, 'largest velocity error': 2}

def broken(c, worst):
    "The rules that do not hold, in words."
    return ([f'{k}: {c[k]}' for k in none if c[k]] + [f'{k}: {worst[k]:.3f}' for k in limits if worst[k]>limits[k]]
            + ['notes read are not the notes in']*(c['notes in']!=c['notes read']) + ['notes out are not the notes in less the merged']*(c['notes out']!=c['notes in']-c['merged strikes']))

def main(path, first=0, last=None):
    z = zipfile.ZipFile(path)
    names = sorted(o for o in z.namelist() if o.endswith(('.mid','.midi')))[int(first):last and int(last)]
    total,worst,bad = Counter(),dict.fromkeys(limits, 0.),False
    for name in tqdm(names, unit='file', disable=not sys.stderr.isatty()):
        c,w = reread(z.read(name))
        total.update(c); worst = {k: max(v, w[k]) for k,v in worst.items()}
        if why := broken(c, w): bad = True; print(f'{name}: {"; ".join(why)}', flush=True)
    for k in ('files','ids','notes in','notes read','notes out','merged strikes',*none): print(f'{k:28}{total[k]:>12,}')
    for k,v in worst.items(): print(f'{k:28}{v:>12.3f}')
    return bad

if __name__=='__main__': sys.exit(main(*sys.argv[1:] or [os.environ.get('MAESTRO_ZIP') or download_maestro()]))
