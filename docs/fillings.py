"""Measure how well gaps are filled: `make fillings ARGS='STORE [MODEL]'`. The numbers go to examples/run/fillings.json, a blind page with ten of them to out/fillings.html.

Eight seconds in the middle of pieces of the validation split are made anew, and compared with what really stands there, with a filling that is not told what kind of
music follows, with what the model plays when it does not know what comes after at all, and with eight seconds of another piece."""
import json, sys, time
from dataclasses import replace
from pathlib import Path
import numpy as np
from music_transformer.corpus import TokenStore
from music_transformer.data import Performance
from music_transformer.evaluation import foresee, surprises
from music_transformer.generation import generate
from music_transformer.given import fill, _between_strikes
from music_transformer.listening import listening_test
from music_transformer.model import MusicTransformer
from music_transformer.processor import STEP, decode, elapsed, encode
import torch

N,HEARD,SECONDS = 30,10,8 # pieces, those on the page, length of a gap
SPANS = 16,64             # ids after the gap whose surprise is measured: the next five notes, the next twenty

def put_in(p:Performance, notes, a, b)->Performance:
    "Other notes instead of those that are struck between two moments; given notes have the right of way."
    rest = p.notes[(p.notes['start']<a) | (p.notes['start']>=b)]
    def free(o): return not ((rest['pitch']==o['pitch']) & (rest['start']<=o['start']+STEP) & (rest['end']>o['start'])).any()
    new = notes[[bool(a<=o['start']<b-STEP and free(o)) for o in notes]].copy()
    _between_strikes(new, rest)
    return replace(p, notes=np.concatenate([rest, new[new['end']>new['start']]]), info={})

def nats_after(model, p, b)->list:
    "Mean surprise at the ids that follow a moment, for each of the spans."
    ids = encode(p)
    first = int(np.searchsorted(elapsed(ids.astype(int)), round(b/STEP)))
    end = min(first+SPANS[-1], len(ids))
    [logp] = foresee(model, [(ids, first, end)], model.cfg.max_distance)
    nats = surprises(logp, torch.from_numpy(ids[first:end].astype(int)))[0]
    return [round(float(nats[:n].mean()), 4) for n in SPANS]

def rest_at(p, t)->float:
    "The longest silence within half a second of a moment, in seconds."
    start,ends = p.notes['start'],np.maximum.accumulate(p.notes['end'])
    near = (start[1:]>=t-.5) & (ends[:-1]<=t+.5)
    return float((start[1:]-ends[:-1])[near].max(initial=0))

def fillings(model, p, a, b, other, seed)->dict:
    "What may stand in the gap."
    began = time.process_time()
    ours = fill(model, p, a, b, seed=seed)
    ours.info['cpu'] = time.process_time()-began
    untold = fill(model, p, a, b, seed=seed, foretell=False)
    before = Performance(p.notes[p.notes['start']<a])
    alone = generate(model, SECONDS+4, primer=before, seed=seed, tails=1)
    later = other.notes.copy()
    for k in ('start','end'): later[k] += a
    return dict(true=p, ours=ours, untold=untold, alone=put_in(p, alone.notes, a, b), other=put_in(p, later, a, b))

def main(store, path=None):
    store,model = TokenStore(store),MusicTransformer.from_pretrained(path)
    known = [i for i in store.rows('validation') if store.pieces[i].seconds>60]
    chosen = [known[i] for i in np.linspace(0, len(known)-1, N).astype(int)]
    pieces = [decode(store[i]) for i in chosen]
    rows,heard = [],{}
    for n,p in enumerate(pieces):
        a = round(p.seconds/2)
        o = pieces[(n+1)%N]
        found = fillings(model, p, a, a+SECONDS, o[o.seconds/2:o.seconds/2+SECONDS], seed=n+1)
        info,was = found['ours'].info,(p.notes['start']>=a) & (p.notes['start']<a+SECONDS)
        row = store.pieces[chosen[n]]
        rows.append(dict(piece=f'{row.composer}: {row.title}', at=a, notes=int(info['new'].sum()), real_notes=int(was.sum()), untold_notes=int(found['untold'].info['new'].sum()),
            nats={k: nats_after(model, q, a+SECONDS) for k,q in found.items()},
            rests={k: [round(rest_at(q, t), 2) for t in (a, a+SECONDS)] for k,q in found.items()},
            effective=round(info['effective'], 1), nats_given=round(info['nats'], 3), likely=info['likely'], cpu=round(info['cpu'], 1)))
        print(rows[-1], flush=True)
        for k in ('true','ours','alone'):
            if n<HEARD: heard.setdefault(k, []).append(replace(found[k][a-8:a+SECONDS+8], title=rows[-1]['piece']))
    Path('examples/run/fillings.json').write_text(json.dumps(rows, indent=1)+'\n')
    Path('out').mkdir(exist_ok=True)
    print(listening_test(heard, 'out/fillings.html'), 'and out/fillings-key.csv')

if __name__=='__main__': main(*sys.argv[1:])
