"""What a setting is worth at equal computing time.

    make trial ARGS='STORE NAME --minutes 30 --conv 4 --echo true'

trains a model for so many minutes of processor time (waiting for a busy machine does not count), scores it on an evenly spread part of the
validation split, prints a row and adds it to examples/tried.jsonl. What does not change is in `usual`; nbs/09_tried.ipynb shows the rows.
"""
import json, sys, tempfile, time
from dataclasses import fields, replace
from pathlib import Path
import torch
from music_transformer.cli import command, options
from music_transformer.corpus import TokenStore
from music_transformer.evaluation import ECHOED, KINDS, all_kinds, score
from music_transformer.model import MusicTransformer
from music_transformer.settings import ModelConfig, TrainConfig
from music_transformer.training import Run, keep_memory

usual = TrainConfig(schedule='wsd', decay=.3, warmup=100, transpose=5)
model = ModelConfig(dropout=0.)
table = Path(__file__).parent.parent/'examples/tried.jsonl'

class Trial(Run):
    "A run that ends when its processor time is used up."
    limit,begun = 0.,0.

    @property
    def done(self): return (time.process_time()-self.begun)/60/self.limit

def trial(store, name, minutes, seed, cfg, c):
    keep_memory()
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        run = Trial(store, MusicTransformer(cfg), replace(c, seed=seed), folder)
        run.feed.load(0)
        run.limit,run.begun = minutes,time.process_time()
        while run.done<1: run.train_step()
        run.settle()
    pieces = [store[i] for i in store.rows('validation')]
    with run.acc.autocast(): scores = score(run.judged, pieces, c.context, c.batch_size, keep=128*512//c.context)
    losses = {k: scores[k].nats.sum()/max(scores[k].tokens.sum(), 1) for k in (*KINDS, *ECHOED)}
    whole = all_kinds(scores)
    return dict(name=name, minutes=minutes, seed=seed, ids=run.at.tokens, ids_per_s=round(run.at.tokens/minutes/60), precision=run.acc.mixed_precision,
                params=run.plain.n_params, loss=round(whole.nats.sum()/whole.tokens.sum(), 4)) | {k: round(o, 4) for k,o in losses.items() if o}

def given(c, settings): return replace(c, **{f.name: settings[f.name] for f in fields(c) if f.name in settings})

@command
@options(ModelConfig, TrainConfig)
def main(
    store:str,         # a token store
    name:str,          # of the trial
    minutes:float=30., # of processor time
    **settings,
):
    "What a setting is worth at equal computing time."
    if not 0<minutes<1e5: raise ValueError(f'--minutes must be above 0, not {minutes:g}')
    seed = settings.pop('seed', 0)
    said = ' '.join(f'{k}={str(v).lower()}' for k,v in settings.items())
    row = trial(TokenStore(store), name, minutes, seed, given(model, settings), given(usual, settings)) | dict(settings=said)
    print(json.dumps(row))
    with open(table, 'a') as f: f.write(json.dumps(row)+'\n')

if __name__=='__main__': sys.exit(main())
