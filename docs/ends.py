"""How pieces end: `make ends ARGS='STORE [MODEL]'`. The numbers go to examples/run/told-ends.json, the pieces to out/ends.

Twenty pieces of forty seconds for each way, on seeds that nothing else uses: not told how far the end is, and told so many times.
What the model makes of an end is what it says untold. A linear judge compares them with the last forty seconds of validation pieces.
And what telling saves: how much less the last twenty seconds of validation pieces surprise a model that is told."""
import json, sys
from pathlib import Path
import numpy as np, torch
from music_transformer import drawing
from music_transformer.analysis import end_chances
from music_transformer.corpus import TokenStore
from music_transformer.directions import piece_ahead
from music_transformer.echo import echoes
from music_transformer.evaluation import PAST, surprises
from music_transformer.generation import generate
from music_transformer.judge import auc, features, minutes
from music_transformer.key import ends_at_home
from music_transformer.midi import read_midi, write_midi
from music_transformer.model import MusicTransformer
from music_transformer.processor import encode

SEEDS,SECONDS = range(2001, 2021),40
ways = dict(untold=0, once=1, four_times=4, eight_times=8)

class Untold(drawing.Rule):
    "Keep from the model how far the end is."
    def tell(self, past, heard): heard.left = 0

def composed(model, folder, times)->list: # of `Performance`
    "Pieces that are told of their end so many times; an interrupted way is taken up."
    drawing.TO_END = times
    guidance = 1. if times==1 else None
    folder.mkdir(parents=True, exist_ok=True)
    missing = [s for s in SEEDS if not (folder/f'{s}.mid').exists()]
    made = generate(model, SECONDS, seed=missing, guidance=guidance, rules=[] if times else [Untold()]) if missing else []
    for p in made: write_midi(p, folder/f'{p.info["seed"]}.mid')
    return [read_midi(folder/f'{s}.mid') for s in SEEDS]

def chance(model, p)->float:
    "That of an end where the piece ends."
    ends,_ = end_chances(model, [encode(p)], model.cfg.max_distance)
    return float(np.exp(ends[-1]))

def facts(model, made, real)->dict:
    chances = np.array([chance(model, p) for p in made])
    last = [float((p.notes['end'][-4:]-p.notes['start'][-4:]).mean()) for p in made]
    found = [features(p) for p in made]
    denser,louder = (float(np.nanmean([o[k] for o in found])) for k in ('denser','louder'))
    return dict(judge=auc(made, real), denser=denser, louder=louder, home=float(np.mean([ends_at_home(p) for p in made])), median=float(np.median(chances)), last_notes=float(np.median(last)),
        chances=chances.round(4).tolist())

@torch.no_grad()
def surprised(model, ids, told)->np.ndarray: # (n,) nats
    "At the ids of the last window of a piece, told how far the end is or not."
    since = max(len(ids)-1-model.cfg.max_distance, 0)
    part,n = torch.from_numpy(ids[since:].astype(int))[None],len(ids)-1-since
    echo = {k: torch.from_numpy(o)[None] for k,o in echoes(ids).window(since, n).items()}
    said = piece_ahead(ids).window(since, n)
    said[:,:-1] = 0
    past = torch.from_numpy(ids[max(since-PAST, 0):since].astype(int))[None]
    logits = model(part[:,:-1], past=past, echo=echo, directions=torch.from_numpy(said)[None]*told)
    return surprises(logits.log_softmax(-1), part[:,1:])[0][0].numpy()

def saved(model, store)->dict:
    "By telling, in the mean over validation pieces: nats in the last twenty seconds, and of these at the end itself."
    rows = []
    for i in store.rows('validation'):
        ids = store[i]
        less = surprised(model, ids, False)-surprised(model, ids, True)
        left = piece_ahead(ids).left[-len(less)-1:-1]
        rows.append((less[left>0].sum(), less[-1], (left>0).sum()))
    all,end,ids = np.mean(rows, 0).round(3).tolist()
    return dict(nats=all, at_eos=end, ids=ids)

def main(store, path=None):
    model,out,rows = MusicTransformer.from_pretrained(path),Path('out/ends'),{}
    store = TokenStore(store)
    telling = saved(model, store)
    print('told, in nats', telling, flush=True)
    real = [p[-SECONDS:] for p in minutes(store)]
    ends,_ = end_chances(model, [store[i] for i in store.rows('validation')], model.cfg.max_distance)
    usual = np.exp(np.quantile(ends, [.05,.5])).round(4).tolist()
    for name,times in ways.items():
        made = composed(model, out/name, times)
        rows[name] = dict(times=times) | facts(model, made, real)
        print(name, {k: round(v, 4) for k,v in rows[name].items() if k!='chances'}, flush=True)
    out = dict(pieces=len(SEEDS), seconds=SECONDS, saved=telling, real=usual, ways=rows)
    Path('examples/run/told-ends.json').write_text(json.dumps(out, indent=1)+'\n')

if __name__=='__main__': main(*sys.argv[1:])
