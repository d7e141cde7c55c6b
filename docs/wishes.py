"""Measure what wishes do: `make wishes ARGS=[MODEL]`. The numbers go to examples/run/wishes.json; nbs/04_generation.ipynb shows them.

A hundred takes of twenty seconds for each direction, ten levels of ten seeds; and seven for each composer. Each with the wish as it was learned, and counted twice."""
import json, sys
from pathlib import Path
import numpy as np
from music_transformer.directions import COMPOSERS, DIRECTIONS
from music_transformer.generation import generate
from music_transformer.model import MusicTransformer

SECONDS,SEEDS = 20,range(1, 11)
RANGES = dict(notes_per_second=(3,15), loudness=(35,90), height=(50,74), sounding=(1.5,9)) # where MAESTRO mostly lies
TIMES = 1.,2. # guidance

def result(p)->dict:
    "What a take has of each direction."
    n = p.notes
    if not len(n): return dict.fromkeys(DIRECTIONS)
    held = (n['end']-n['start']).sum()
    found = len(n)/p.seconds, n['velocity'].mean(), n['pitch'].mean(), held/p.seconds
    return {k: round(float(o), 2) for k,o in zip(DIRECTIONS, found)}

def takes(model, seeds, guidance, **wish)->list: # of what each has
    made = generate(model, SECONDS, seed=list(seeds), tails=1, returns=None, guidance=guidance, **wish)
    return [result(p) for p in made]

def asked(model, name, guidance)->list: # of (wish, result)
    "A hundred takes, the wish from one end of its range to the other."
    rows = []
    for n,wish in enumerate(np.linspace(*RANGES[name], 10).round(2).tolist()):
        seeds = [100*n+s for s in SEEDS]
        rows += [(wish, o[name]) for o in takes(model, seeds, guidance, **{name: wish})]
    return rows

def correlation(rows)->float:
    known = [o for o in rows if o[1] is not None]
    return round(float(np.corrcoef(np.array(known).T)[0,1]), 3)

def main(path=None):
    model = MusicTransformer.from_pretrained(path)
    out = {}
    for name in DIRECTIONS:
        rows = {str(g): asked(model, name, g) for g in TIMES}
        out[name] = dict(takes=rows, correlation={g: correlation(o) for g,o in rows.items()})
        print(name, out[name]['correlation'], flush=True)
    out['composer'] = {str(g): {c: takes(model, SEEDS[:7], g, composer=c) for c in COMPOSERS} for g in TIMES}
    out['unsaid'] = takes(model, range(1, 31), 1.)
    Path('examples/run/wishes.json').write_text(json.dumps(out)+'\n')

if __name__=='__main__': main(*sys.argv[1:])
