"A run that is killed goes on as if nothing had happened."
import json, os, signal, subprocess, sys, time
from pathlib import Path
import pytest, torch
from safetensors.torch import load_file
from music_transformer.data import Performance, write_midi
from music_transformer.processor import prepare

script = '''
import sys
from music_transformer.model import ModelConfig
from music_transformer.processor import TokenStore
from music_transformer.training import TrainConfig, fit
d,out = sys.argv[1:]
fit(TokenStore(d+'/store'), ModelConfig(d_model=32, n_layers=1, n_heads=2, d_ff=32, max_distance=32, dropout=.1),
    TrainConfig(context=32, batch_size=4, epochs=9, max_steps=120, save_every=3, val_every=40, val_windows=8, log_every=10, warmup=5, semitones=2),
    out, resume=__import__('os').path.exists(out+'/last/run.json') or __import__('os').path.exists(out+'/.last.old/run.json'), progress=False)
'''

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    d = tmp_path_factory.mktemp('run')
    for i in range(24): write_midi(Performance([(j*.2, j*.2+.15, 50+(i+3*j)%17, 60) for j in range(30)]), d/f'midi/{i}.mid')
    prepare(d/'midi', d/'store', n_workers=1, progress=False)
    return d

def start(d, out): return subprocess.Popen([sys.executable, '-c', script, d, d/out], stderr=subprocess.PIPE, text=True)

def last(run):
    try: return (run/'last/run.json').read_text()
    except OSError: return ''

def same(d, a, b):
    a,b = (load_file(d/o/'final/model.safetensors') for o in (a,b))
    return a.keys()==b.keys() and all(torch.equal(a[k], b[k]) for k in a)

def test_killed_and_resumed_is_the_same_run(folder):
    d = folder
    p = start(d, 'whole'); assert p.wait()==0, p.stderr.read()
    kills = 0
    while True:
        before,p = last(d/'killed'),start(d, 'killed')
        while p.poll() is None and last(d/'killed') in ('',before): time.sleep(.001)
        time.sleep(.02*kills)                                   # at another moment each time, inside a save too
        if kills==4 or p.poll() is not None: break
        p.kill(); p.wait(); kills += 1
    assert p.wait()==0, p.stderr.read()
    assert kills>=3 and same(d, 'whole', 'killed')
    rows = [[r.split(',')[i] for i in (0,1,2,3,4,5,6,8,9)] for o in ('whole','killed') for r in (d/o/'metrics.csv').read_text().splitlines()]
    assert rows[:len(rows)//2]==rows[len(rows)//2:]            # all columns but the speed

def test_sigterm_saves_and_leaves_cleanly(folder):
    d = folder
    p = start(d, 'term')
    while p.poll() is None and not last(d/'term'): time.sleep(.01)
    p.send_signal(signal.SIGTERM)
    assert p.wait()==0
    p = start(d, 'term'); assert p.wait()==0, p.stderr.read()
    assert json.loads((d/'term/last/run.json').read_text())['step']==120
    assert same(d, 'whole', 'term')
