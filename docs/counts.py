"""Count what a listener notices in thirty pieces: `make counts ARGS='STORE [MODEL]'`. The numbers go to examples/run/judged.json, the pieces to out/counts.

A minute each, seeds 101 to 130, none left out: with the defaults, with returns that are told but not insisted on, and with none. And thirty continuations of validation pieces:
does a figure of the primer come back, and does it in what really followed?"""
import json, sys
from pathlib import Path
import numpy as np
from music_transformer.corpus import TokenStore
from music_transformer.data import Performance
from music_transformer.generation import generate
from music_transformer.judge import auc, minutes, show_table, shuffled, table, takes_up_primer
from music_transformer.midi import write_midi
from music_transformer.model import MusicTransformer
from music_transformer.processor import decode

SEEDS,TOGETHER = range(101, 131),10
PRIMER,NEW = 30,30 # seconds
ways = dict(composed={}, told=dict(guidance=1.), untold=dict(returns=None))

def pieces(model, folder, seeds, **how)->list: # of `Performance`
    "A minute for each seed."
    made,folder = [],Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(0, len(seeds), TOGETHER):
        some = generate(model, 60, seed=list(seeds[n:n+TOGETHER]), **how)
        for p in some: write_midi(p, folder/f'{p.info["seed"]}.mid')
        made += some
    return made

def returned(made)->dict:
    "What became of the returns that were told."
    told = [o for p in made for o in p.info['returns']]
    followed = [o['right']/max(o['played'], 1) for o in told]
    return dict(told=len(told), followed=sum(o>=.8 for o in followed), right=round(float(np.mean(followed or [0])), 3))

def primers(store)->list: # of `Performance`
    "The first minute of validation pieces, evenly spread."
    known = [i for i in store.rows('validation') if store.pieces[i].seconds>PRIMER+NEW+10]
    chosen = np.linspace(0, len(known)-1, len(SEEDS)).astype(int)
    return [decode(store[known[i]])[:PRIMER+NEW] for i in chosen]

def continued(model, store, folder)->dict:
    "In which share of the continuations a figure of the primer comes back."
    ours,real = [],[]
    folder.mkdir(parents=True, exist_ok=True)
    for seed,p in zip(SEEDS, primers(store)):
        before = Performance(p.notes[p.notes['start']<PRIMER])
        q = generate(model, NEW, primer=before, seed=seed)
        write_midi(q, folder/f'{seed}.mid')
        ours.append(takes_up_primer(q))
        p.info['new_from'] = PRIMER
        real.append(takes_up_primer(p))
    return dict(composed=float(np.mean(ours)), real=float(np.mean(real)))

def main(store, path=None):
    store,model,out = TokenStore(store),MusicTransformer.from_pretrained(path),Path('out/counts')
    real,known = minutes(store),model.cfg.echo
    made = {k: pieces(model, out/k, SEEDS, **how) for k,how in ways.items() if known or k=='composed'}
    others = dict(real=real, beginnings=minutes(store, first=True), shuffled=[shuffled(p) for p in real])
    found = table(made | others)
    judge = {k: auc(o, real) for k,o in made.items()} | dict(floor=auc(real[::2], real[1::2]))
    judge['beginnings'] = auc(made['composed'], others['beginnings'])
    primer = continued(model, store, out/'continued')
    told = {k: returned(o) for k,o in made.items()}
    print(show_table(found), f'a linear judge: {judge}', f'told: {told}', f'the primer comes back: {primer}', sep='\n')
    text = json.dumps(dict(pieces=len(SEEDS), real=len(real), table=found, judge=judge, told=told, primer=primer), indent=1)
    Path('examples/run/judged.json').write_text(text.replace('NaN', 'null')+'\n')

if __name__=='__main__': main(*sys.argv[1:])
