"""What a setting is worth at equal computing time.

    make trial ARGS='STORE NAME minutes=30 conv=4 echo=true'

trains a model for so many minutes of processor time (waiting for a busy machine does not count), scores it on an evenly spread part of the
validation split, prints a row and adds it to examples/tried.jsonl. What does not change is in `usual`; nbs/09_tried.ipynb shows the rows.
"""
import json, sys, tempfile, time
from dataclasses import replace
from pathlib import Path
import torch
from music_transformer.model import ModelConfig, MusicTransformer
from music_transformer.processor import TokenStore
from music_transformer.training import KINDS, Run, TrainConfig, keep_memory, read_options, score

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
        run.load_epoch()
        run.limit,run.begun = minutes,time.process_time()
        while run.done<1: run.train_step()
        run.settle()
    pieces = [store[i] for i in run.val]
    with run.acc.autocast(): sums = score(run.plain, pieces, c.context, c.batch_size, keep=128*512//c.context).sum(0)
    by_kind = {k: round(nats/n, 4) for k,(n,nats,*_) in zip(KINDS, sums) if n}
    return dict(name=name, minutes=minutes, seed=seed, ids=run.tokens, ids_per_s=round(run.tokens/minutes/60), precision=run.acc.mixed_precision,
                params=run.plain.n_params, loss=round(sums[:,1].sum()/sums[:,0].sum(), 4), **by_kind)

if __name__=='__main__':
    store,name,*words = sys.argv[1:]
    own = dict(o.split('=') for o in words if o.startswith(('minutes=','seed=')))
    o = read_options([w for w in words if not w.startswith(('minutes=','seed='))])
    cfg,c = (replace(x, **{k: v for k,v in o.items() if hasattr(x, k)}) for x in (model, usual))
    row = trial(TokenStore(store), name, float(own.get('minutes', 30)), int(own.get('seed', 0)), cfg, c) | dict(settings=' '.join(words))
    print(json.dumps(row))
    with open(table, 'a') as f: f.write(json.dumps(row)+'\n')
