"""Choose how to draw: `make choosing ARGS='STORE [MODEL]'`. The numbers go to examples/run/choosing.json, the pieces to out/choosing.

Twenty pieces of a minute for each way, on seeds that nothing else uses, against the last minutes of the validation split. Pieces that are there already are not composed again."""
import json, sys
from pathlib import Path
from counts import pieces
from music_transformer.corpus import TokenStore
from music_transformer.judge import auc, minutes, table
from music_transformer.midi import read_midi
from music_transformer.model import MusicTransformer

SEEDS = range(1001, 1021)
plain = dict(off_scale=0., few_keys=0., both_hands=0.)
scale = plain | dict(off_scale=.7)
few = scale | dict(few_keys=.35)
ways = dict(plain=plain, scale_7=scale, scale_7_few_35=few, both_hands=few | dict(both_hands=.5))
SHOWN = 'returns','stuck','two_hands','louder','in_scale','home'

def drawn(model, folder, how)->list: # of `Performance`
    "The pieces of a way; an interrupted one is taken up."
    missing = [s for s in SEEDS if not (folder/f'{s}.mid').exists()]
    pieces(model, folder, missing, **how)
    return [read_midi(folder/f'{s}.mid') for s in SEEDS]

def judged(made, real)->dict:
    "A linear judge on the whole minutes, and on twenty seconds from their middle."
    def middle(pieces): return [p[20:40] for p in pieces]
    return dict(minute=round(auc(made, real), 3), middle=round(auc(middle(made), middle(real)), 3))

def means(pieces)->dict: # name of a feature: mean, low, high
    return {k: o['these'] for k,o in table(dict(these=pieces)).items()}

def main(store, path=None):
    store,model,rows = TokenStore(store),MusicTransformer.from_pretrained(path),[]
    real = minutes(store)
    for name,how in ways.items():
        made = drawn(model, Path('out/choosing')/name, how)
        row = dict(name=name, how=how, judge=judged(made, real), table=means(made))
        rows.append(row)
        print(name, row['judge'], {k: round(row['table'][k][0], 3) for k in SHOWN}, flush=True)
    text = json.dumps(dict(pieces=len(SEEDS), real=means(real), ways=rows), indent=1)
    Path('examples/run/choosing.json').write_text(text.replace('NaN', 'null')+'\n')

if __name__=='__main__': main(*sys.argv[1:])
