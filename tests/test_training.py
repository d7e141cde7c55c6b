"A run can be killed, stopped, starved of disk and fed bad numbers, and is what it would have been, or says what is wrong."
import json, math, os, random, resource, shutil, signal, subprocess, sys, threading, time
from dataclasses import replace
from pathlib import Path
import pytest, torch
from conftest import forks
import music_transformer.training as T
from safetensors.torch import load_file, save_file
from tqdm import tqdm
from music_transformer.corpus import TokenStore, prepare
from music_transformer.data import Performance
from music_transformer.midi import write_midi
from music_transformer.model import MusicTransformer
from music_transformer.processor import PAD, decode
from music_transformer.cli import _new
from music_transformer.settings import TUNE_RECIPE, ModelConfig, TrainConfig
from music_transformer.training import Feed, Progress, eval_windows, evaluate, fit, lr_factor, models_in, read_metrics, run_settings, token_loss

cfg = ModelConfig(d_model=32, n_layers=1, n_heads=2, d_ff=32, max_distance=32, dropout=.1)
settings = TrainConfig(context=32, batch_size=4, epochs=99, max_steps=240, save_every=2, val_every=40, warmup=5, transpose=2, velocity=4, ema=.9)

def often(): T.LOOK,T.ROW = 8,10                                # in a child; here the fixture sees to it

@pytest.fixture(autouse=True)
def _often():
    with pytest.MonkeyPatch.context() as m:
        for k,v in dict(LOOK=8, ROW=10).items(): m.setattr(T, k, v)
        yield

@pytest.fixture(scope='module')
def d(tmp_path_factory):
    d = tmp_path_factory.mktemp('run')
    for i in range(24): write_midi(Performance([(j*.2, j*.2+.15, 50+(i+3*j)%17, 60) for j in range(30)]), d/f'midi/{i}.mid')
    prepare(d/'midi', d/'store', n_workers=1, progress=False)
    return d

@pytest.fixture(scope='module')
def store(d): return TokenStore(d/'store')

def train(d, out, c=settings):
    torch.set_num_threads(1); tqdm.set_lock(threading.RLock()); often() # its own lock would outlive a kill
    fit(TokenStore(d/'store'), cfg, c, d/out, resume=(d/out/'config.json').exists(), progress=False)

def start(*args, target=train):
    p = forks.Process(target=target, args=args); p.start()
    return p

def ended(p): p.join(300); return p.exitcode

def last(run):
    try: return json.loads((run/'last/run.json').read_text())
    except OSError: return {}

def same(a, b, name='final'):
    a,b = (load_file(o/name/'model.safetensors') for o in (a,b))
    return a.keys()==b.keys() and all(torch.equal(a[k], b[k]) for k in a)

def rows(run): return [{k:v for k,v in r.items() if k not in ('tokens_per_s','memory_gb')} for r in read_metrics(run)]

@pytest.fixture(scope='module')
def whole(d):
    assert ended(start(d, 'whole', replace(settings, save_every=1000)))==0       # one that never saves on its way
    return d/'whole'

def test_killed_twenty_times_it_is_the_same_run(d, whole):
    rng,run,kills,inside = random.Random(1),d/'killed',0,0
    while kills<21:
        before,p,t = last(run).get('step'),start(d, 'killed'),time.monotonic()
        ready = lambda: last(run).get('step')!=before            # it has got further than the one before
        saving = lambda: ready() and (run/'.last.new').exists()
        while kills%3 and p.is_alive() and not (saving if kills%3==1 else ready)() and time.monotonic()<t+30: time.sleep(.0005)
        time.sleep(rng.uniform(0, (.5, .003, .05)[kills%3]))      # anywhere, the very beginning too; inside a save; a little after one
        assert p.exitcode is None, f'it ended after {kills} kills, with status {p.exitcode}'
        p.kill(); p.join(); kills += 1
        inside += any(run.glob('.*.new')) or any(run.glob('.*.old'))
    assert ended(start(d, 'killed'))==0
    print(f'{kills} kills, {inside} of them inside a save')
    assert inside>=3
    assert same(whole, run) and same(whole, run, 'best') and rows(whole)==rows(run)
    a,b = last(whole),last(run)
    assert a|dict(minutes=0)==b|dict(minutes=0) and a['step']==240

def test_sigterm_saves_and_leaves_cleanly(d, whole):
    p = start(d, 'term')
    while p.is_alive() and last(d/'term').get('step', 0)<5: time.sleep(.005)
    os.kill(p.pid, signal.SIGTERM)
    assert ended(p)==0 and last(d/'term')['step']<240
    assert ended(start(d, 'term'))==0
    assert same(whole, d/'term') and rows(whole)==rows(d/'term')

def starved(d, out, said):
    torch.set_num_threads(1); often()
    def full(run): resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)) # from now on files end there, as on a full disk
    try: fit(TokenStore(d/'store'), cfg, replace(settings, max_steps=20, val_every=5, save_every=6), d/out, after_validation=full, progress=False)
    except OSError as e: said.write_text(str(e))

def test_a_full_disk_leaves_the_checkpoint_before(d, store):
    run,said = d/'starved',d/'said.txt'
    assert ended(start(d, 'starved', said, target=starved))==0
    assert 'last could not be written' in said.read_text() and 'whole' in said.read_text() and '\n' not in said.read_text()
    assert last(run)['step']==0 and not list(run.glob('.*'))
    c = replace(settings, max_steps=20, val_every=5, save_every=6)
    fit(store, cfg, c, run, resume=True, progress=False)
    fit(store, cfg, c, d/'fed', progress=False)
    assert same(run, d/'fed') and rows(run)==rows(d/'fed')

def locked(d, said):
    if os.geteuid()==0: os.setuid(65534)
    try: fit(TokenStore(d/'store'), cfg, settings, d/'locked/run', progress=False)
    except OSError as e: said.write_text(str(e))

@pytest.mark.skipif(os.name!='posix', reason='needs users')
def test_a_folder_one_may_not_write_to(d, tmp_path_factory):
    for o in (d, *d.parents):
        if o.stat().st_uid==os.getuid() and o!=Path('/tmp'): o.chmod(0o755)
    (d/'locked').mkdir(mode=0o555); said = d/'open'; said.mkdir(); said.chmod(0o777)
    assert ended(start(d, said/'said.txt', target=locked))==0
    assert 'Permission denied' in (said/'said.txt').read_text() and not list((d/'locked').iterdir())

def test_a_loss_that_is_not_finite_ends_the_run(store, tmp_path, monkeypatch):
    real,calls = T.surprises,[]
    def broken(*a):
        calls.append(1)
        true,every = real(*a)
        return true*(math.nan if len(calls)==8 else 1), every
    monkeypatch.setattr(T, 'surprises', broken)
    with pytest.raises(FloatingPointError, match=r'not finite at step 8, with learning rate [\d.e-]+; .*last good checkpoint'):
        fit(store, cfg, replace(settings, save_every=6), tmp_path/'run', progress=False)
    assert last(tmp_path/'run')['step']==6
    monkeypatch.undo()
    assert all(o.isfinite().all() for o in fit(store, cfg, replace(settings, save_every=6, max_steps=12), tmp_path/'run', resume=True, progress=False).parameters())

@pytest.mark.parametrize('change,word', [
    (dict(batch_size=1000, context=8), 'batch_size 1000 is larger than the data'), (dict(context=100_000), 'fewer than one window'),
    (dict(accumulate=3), 'cannot be shared')])
def test_settings_the_data_cannot_meet(store, tmp_path, change, word):
    with pytest.raises(ValueError, match=word): fit(store, cfg, replace(settings, **change), tmp_path/'run', progress=False)
    assert not (tmp_path/'run').exists()

@pytest.mark.parametrize('change', [dict(lr=0), dict(lr=math.nan), dict(ema=1), dict(decay=0), dict(patience=-1), dict(schedule='step'), dict(optimizer='sgd'),
    dict(batch_size=0), dict(clip=-1), dict(smoothing=1), dict(precision='fp8'), dict(max_minutes=-1)])
def test_settings_out_of_range(change):
    with pytest.raises(ValueError, match=next(iter(change))): TrainConfig(**change)

def test_folders_that_are_not_this_run(store, whole, d, tmp_path):
    def says(word, c=cfg, t=settings, out=whole, **kw):
        with pytest.raises(ValueError, match=word): fit(store, c, t, out, progress=False, **kw)
    says('holds a run already')
    says('train.lr was 0.002, now 0.1; train.seed was 0, now 1', t=replace(settings, lr=.1, seed=1), resume=True)
    says('model.d_model was 32, now 64', c=replace(cfg, d_model=64), resume=True)
    says('no run to resume', out=tmp_path/'nowhere', resume=True)
    (tmp_path/'mine').mkdir(); (tmp_path/'mine/letter.txt').write_text('dear')
    says('is not a run', out=tmp_path/'mine'); says('is not a run', out=tmp_path/'mine/letter.txt')
    write_midi(Performance([(j*.2, j*.2+.15, 60, 60) for j in range(300)]), tmp_path/'one/a.mid')
    with pytest.raises(ValueError, match='no validation pieces'): fit(prepare(tmp_path/'one', tmp_path/'s', 1, False), cfg, settings, tmp_path/'run', progress=False)
    for i in range(0, 24, 2): shutil.copy(d/f'midi/{i}.mid', tmp_path/'one')
    with pytest.raises(ValueError, match='other settings: data was'): fit(prepare(tmp_path/'one', tmp_path/'s', 1, False), cfg, settings, whole, resume=True, progress=False)
    assert not (tmp_path/'run').exists()

def test_early_stopping(store, tmp_path):
    c = replace(settings, lr=1e-12, matrix_lr=1e-12, val_every=5, patience=3, ema=0)
    fit(store, MusicTransformer(cfg), c, tmp_path/'run', progress=False)
    looks = [r for r in read_metrics(tmp_path/'run') if 'val_loss' in r]
    state = last(tmp_path/'run')
    assert looks[0]['step']==0 and len(looks)<20                 # a model that was given is looked at before the first step
    assert state['stale']==3 and state['step']==looks[-1]['step']
    assert all(r['val_loss']>=state['best']-1e-5 for r in looks[-3:])

def test_best_is_the_best_by_validation(store, tmp_path, monkeypatch):
    monkeypatch.setattr(T, 'LOOK', 10**6)
    fit(store, cfg, replace(settings, lr=.05, val_every=6, max_steps=60), tmp_path/'run', progress=False)
    looks = [r for r in read_metrics(tmp_path/'run') if 'val_loss' in r]
    assert all(r['val_part']=='whole' for r in looks)
    e = evaluate(MusicTransformer.from_pretrained(tmp_path/'run/best'), store, 'validation', context=32)
    assert e['nats_per_token']==pytest.approx(min(r['val_loss'] for r in looks), rel=.02)             # training looks in bf16 where there is bf16
    final = evaluate(MusicTransformer.from_pretrained(tmp_path/'run/final'), store, 'validation', context=32)
    assert final['nats_per_token']==pytest.approx(looks[-1]['val_loss'], rel=.02)

def test_a_list_of_pieces_is_evaluated_as_a_store(store):
    model = MusicTransformer(cfg).eval()
    a = evaluate(model, store, 'validation', context=32)
    ids = [store[i] for i in store.rows('validation')]
    b = evaluate(model, ids, context=32)
    assert b.pop('split') is None and a.pop('split')=='validation'
    assert a.pop('nats_per_second')==pytest.approx(b.pop('nats_per_second'), rel=.01)  # to the rounding of the last release
    a.pop('nats_per_second_95'), b.pop('nats_per_second_95')
    assert a==b
    assert evaluate(model, [decode(o) for o in ids], context=32)['nats_per_token']==a['nats_per_token']

@pytest.mark.parametrize('given,error,said', [
    ([1,2,3], TypeError, 'item 0 of the list is neither'), ('store', TypeError, 'a list of pieces .*, not str'), ([], ValueError, 'the list is empty'),
    ([[388]], ValueError, 'fewer than two ids'), ([[0,391]], ValueError, 'outside 0-390'), ([[.5,1.]], TypeError, 'item 0')])
def test_what_cannot_be_evaluated_is_named(given, error, said):
    with pytest.raises(error, match=said): evaluate(MusicTransformer(cfg), given)

def test_a_run_speaks_of_best_only_if_there_is_one(store, tmp_path, monkeypatch):
    real = T.surprises
    def interrupt(*a): signal.raise_signal(signal.SIGINT); return real(*a)
    monkeypatch.setattr(T, 'surprises', interrupt)
    out = tmp_path/'run'
    fit(store, cfg, settings, out, progress=False)               # stopped in its first step
    assert last(out)['step']==1 and models_in(out)==f'the last model is in {out}/final, no best one yet, for validation was not looked at'
    monkeypatch.undo()
    fit(store, cfg, replace(settings, max_steps=8), tmp_path/'more', progress=False)
    assert models_in(tmp_path/'more').endswith(f'the best by validation in {tmp_path}/more/best')

def test_the_best_is_found_after_a_kill_between_two_renames(whole, tmp_path):
    run = shutil.copytree(whole, tmp_path/'run')
    for o in ('best','last'): (run/o).rename(run/f'.{o}.old')
    found,best = (MusicTransformer.from_pretrained(o) for o in (run, whole/'best'))
    assert all(torch.equal(a, b) for a,b in zip(found.parameters(), best.parameters()))

def test_a_part_of_the_validation_split_says_which(whole):
    looks = [r for r in read_metrics(whole) if 'val_loss' in r]
    assert [r['step'] for r in looks]==[40,80,120,160,200,240] and len({r['val_part'] for r in looks})==1 and looks[0]['val_part'].startswith('8 of ')

@pytest.mark.parametrize('smoothing', [0, .3])
def test_both_losses_are_recorded_whatever_is_trained_with(store, tmp_path, monkeypatch, smoothing):
    "The plain cross-entropy, and the smooth one with a tenth kept back, of the very logits that were trained on."
    for k,v in dict(LOOK=10**6, ROW=1).items(): monkeypatch.setattr(T, k, v)
    c = replace(settings, smoothing=smoothing, max_steps=3, val_every=3, accumulate=2, ema=0., precision='no')
    model = MusicTransformer(replace(cfg, dropout=0.))
    x,y,past = (Feed(store, c).next(Progress())[k] for k in ('ids','targets','past'))
    with torch.no_grad(): logits = model(x, past=past)
    n = (y!=PAD).sum()
    final = fit(store, model, c, tmp_path/'run', progress=False)
    row,last = [r for r in read_metrics(tmp_path/'run') if 'loss' in r][::2]
    for k,s in dict(loss=0, smooth_loss=.1).items(): assert row[k]==pytest.approx(float(token_loss(logits, y, s)/n), abs=1e-4)
    assert row['smooth_loss']!=pytest.approx(row['loss'], abs=1e-3)
    plain,smooth,n = 0.,0.,0                                     # the validation: pieces of one window each
    for i in store.rows('validation'):
        ids = torch.from_numpy(store[i].astype('int64'))
        for b,first,e in eval_windows(len(ids)-1, c.context):
            with torch.no_grad(): logits = final(ids[None,b:e], past=ids[None,:b])[0,first-b:]
            y = ids[first+1:e+1]
            plain,smooth,n = plain+token_loss(logits, y),smooth+token_loss(logits, y, .1),n+len(y)
    assert last['val_loss']==pytest.approx(float(plain/n), abs=1e-4) and last['val_smooth_loss']==pytest.approx(float(smooth/n), abs=1e-4)

def test_curves_and_their_charts(whole):
    "Training and validation share a chart; the smooth loss has its own, and the running mean stands with the loss it is of."
    accumulator = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    tags = {}
    for k in ('train','validation','running_mean'):
        board = accumulator.EventAccumulator(str(whole/'tensorboard'/k)); board.Reload()
        tags[k] = set(board.Tags()['scalars'])
    assert tags['validation']=={'learning/loss','learning/smooth_loss','learning/accuracy'} and tags['running_mean']=={'learning/loss'}
    assert tags['train']==tags['validation']|{'run/lr','run/grad_norm','run/tokens_per_s','run/memory_gb'}
    assert {r['step'] for r in read_metrics(whole) if 'val_smooth_loss' in r}=={40,80,120,160,200,240}

def test_a_run_of_an_earlier_version_goes_on(store, tmp_path, whole, monkeypatch):
    "It had no smooth loss, called the running mean 'smoothed', kept the steps that wait for their row as plain lists, and had more settings."
    run,real,calls = tmp_path/'old',T.surprises,[]
    def stop(*a):
        calls.append(1)
        if len(calls)==6: raise KeyboardInterrupt
        return real(*a)
    with pytest.raises(KeyboardInterrupt):
        fit(store, cfg, settings, run, after_validation=lambda r: monkeypatch.setattr(T, 'surprises', stop), progress=False)
    monkeypatch.undo()
    state = last(run); assert state['step']==44
    state['smoothed'] = state.pop('running_mean')
    state['pending'] = [[o[k] for k in ('loss','accuracy','grad_norm','lr')] for o in state['pending']]
    assert len(state['pending'])==4
    (run/'last/run.json').write_text(json.dumps(state))
    config = json.loads((run/'config.json').read_text())
    config['train'].pop('told')                                  # the oldest lack it
    config['train'] |= dict(betas=[.9,.98], eps=1e-9, weight_decay=.1, val_windows=256, log_every=20, semitones=0)
    (run/'config.json').write_text(json.dumps(config))
    new = [o.split(',') for o in (run/'metrics.csv').read_text().splitlines()]
    keep = [i for i,k in enumerate(new[0]) if 'smooth' not in k]
    old = [','.join(o[i] for i in keep) for o in new]
    (run/'metrics.csv').write_text('\n'.join([old[0].replace('running_mean', 'smoothed'), *old[1:]])+'\n')
    before = read_metrics(run)
    fit(store, cfg, replace(settings, save_every=1000), run, resume=True, progress=False)
    after,unbroken = read_metrics(run),rows(whole)
    assert same(whole, run)
    assert after[:len(before)]==before and 'running_mean' in before[0] and 'smooth_loss' in after[-1]
    assert [r['running_mean'] for r in after]==[r['running_mean'] for r in unbroken]
    assert [r['loss'] for r in after]==[r['loss'] for r in unbroken]

@pytest.mark.parametrize('k,v,said', [('semitones', 3, 'semitones 3, which is always 0 now'), ('val_windows', 0, 'val_windows 0, which is always 256'),
    ('betas', [.9,.999], r'betas \[0.9, 0.999\]'), ('speed', 3, 'no setting speed')])
def test_a_run_of_an_earlier_version_with_other_constants_says_so(whole, store, tmp_path, k, v, said):
    shutil.copytree(whole, tmp_path/'run')
    config = json.loads((whole/'config.json').read_text())
    config['train'][k] = v
    (tmp_path/'run/config.json').write_text(json.dumps(config))
    with pytest.raises(ValueError, match=f'does not describe a run of this version .*{said}'): run_settings(tmp_path/'run')
    with pytest.raises(ValueError, match=said): fit(store, cfg, settings, tmp_path/'run', resume=True, progress=False)

@pytest.mark.parametrize('name,text', [('last/run.json',''), ('last/run.json','[]'), ('last/model.safetensors','torn'), ('last/optimizer.bin','torn'),
    ('config.json','{"model": {}, "train": []}'), ('config.json','{"model": {}, "train": null, "data": "", "vocabulary": ""}')])
def test_a_damaged_run_is_not_gone_on_with(whole, store, tmp_path, name, text):
    shutil.copytree(whole, tmp_path/'run')
    (tmp_path/'run'/name).write_text(text)
    said = 'does not describe a run' if name=='config.json' else 'last is damaged'
    with pytest.raises(ValueError, match=said): fit(store, cfg, settings, tmp_path/'run', resume=True, progress=False)

def test_the_clock_ends_the_run_and_its_schedule(store, tmp_path, monkeypatch):
    monkeypatch.setattr(T, 'ROW', 1)
    c = replace(settings, max_steps=0, max_minutes=.04, schedule='linear', val_every=1000, epochs=10_000)
    fit(store, cfg, c, tmp_path/'run', progress=False)
    lr,state = [r['lr'] for r in read_metrics(tmp_path/'run')],last(tmp_path/'run')
    assert .04<=state['minutes']<.1 and state['step']<50_000
    assert max(lr)>5*lr[-1] and all(a>=b for a,b in zip(lr[6:], lr[7:]))
    fit(store, cfg, c, tmp_path/'run', resume=True, progress=False)             # its time is spent
    assert last(tmp_path/'run')['step']==state['step']
    fit(store, cfg, replace(c, max_minutes=.05), tmp_path/'run', resume=True, progress=False)
    assert last(tmp_path/'run')['step']>state['step'] and last(tmp_path/'run')['minutes']<.1

def test_tokens_per_second_are_those_of_training(store, tmp_path, monkeypatch):
    monkeypatch.setattr(T, 'ROW', 2)
    def compose(run): run.mark = run.mark[0]-1e6,run.mark[1]                     # a look that takes a million seconds
    fit(store, cfg, replace(settings, max_steps=8, val_every=2), tmp_path/'run', after_validation=compose, progress=False)
    assert min(r['tokens_per_s'] for r in read_metrics(tmp_path/'run'))>1

def test_schedules_begin_small_and_end_small():
    for o in ('cosine','linear','wsd'):
        f = [lr_factor(i, i/1000, o, warmup=100) for i in range(1000)]
        assert f[0]<=.01 and f[-1]<.01 and .8<max(f)<=1 and all(a<=b+.02 for a,b in zip(f, f[1:100])) and all(a>=b for a,b in zip(f[200:], f[201:]))
    f = [lr_factor(i, i/1000, 'wsd', warmup=100, decay=.25) for i in range(1000)]
    assert set(f[100:750])=={1.} and f[875]==pytest.approx(.5, abs=.01)

two = '''
import sys, torch
from pathlib import Path
from dataclasses import replace
sys.path.insert(0, {tests!r})
from test_training import *
T.LOOK,T.ROW = 8,1
fit(TokenStore(Path({d!r})/'store'), replace(cfg, dropout=0.), replace(settings, max_steps=20, val_every=10, batch_size=6, accumulate={parts}, save_every=100, precision="no"), Path({d!r})/{out!r}, progress=False)
print(T.this_process().num_processes)
'''

def test_two_processes_are_one(d):
    (d/'one.py').write_text(two.format(tests=str(Path(__file__).parent), d=str(d), out='one', parts=1))
    (d/'two.py').write_text(two.format(tests=str(Path(__file__).parent), d=str(d), out='two', parts=3))
    env = os.environ|dict(OMP_NUM_THREADS='1', ACCELERATE_USE_CPU='true')
    for path,several in (('one.py',[]), ('two.py',['-m','torch.distributed.run','--standalone','--nproc-per-node','2'])):
        r = subprocess.run([sys.executable, *several, d/path], env=env, capture_output=True, text=True, timeout=120)
        assert r.returncode==0, r.stderr
        assert ''.join(r.stdout.split())==('22' if several else '1') # how many each of them counts
    a,b = rows(d/'one'),rows(d/'two')
    assert len(a)==len(b)==20
    most = max(abs(x[k]-y[k]) for x,y in zip(a, b) for k in x if k in ('loss','val_loss'))
    print(f'two processes differ from one by {most:.1e} nats at most')
    assert most<1e-4

def test_loop_times():
    from music_transformer.benchmark import loop_times
    t = loop_times(cfg, settings, steps=3)
    assert t['ratio']==pytest.approx(t['whole_s']/t['bare_s']) and t['tokens_per_s']==pytest.approx(4*32/t['whole_s'])

def test_a_small_corpus_is_gone_through_as_often_as_asked(store, tmp_path, monkeypatch):
    runs,fit_on = [],replace(settings, epochs=7, max_steps=0, context=256, batch_size=2, val_every=0)
    begin = T.Run.begin
    monkeypatch.setattr(T.Run, 'begin', lambda run: (runs.append(run), begin(run)))
    fit(store, MusicTransformer(cfg), fit_on, tmp_path/'run', progress=False)
    assert runs[0].at.epoch==7 and abs(runs[0].step-runs[0].total)<=2

def test_the_moving_average_is_one(store, tmp_path):
    seen = []
    def keep(run): seen.append([o.detach().clone() for o in run.plain.parameters()])
    first = MusicTransformer(cfg); mean = [o.detach().clone() for o in first.parameters()]
    model = fit(store, first, replace(settings, ema=.5, max_steps=12, val_every=1), tmp_path/'run', after_validation=keep, progress=False)
    for i,new in enumerate(seen): mean = [a+(b-a)*(1-min(.5, (1+i)/(10+i))) for a,b in zip(mean, new)]
    for a,b,c in zip(mean, model.parameters(), seen[-1]):
        torch.testing.assert_close(a, b.detach())
        assert not torch.equal(b, c)
    assert all(torch.equal(a, b) for a,b in zip(model.parameters(), MusicTransformer.from_pretrained(tmp_path/'run/final').parameters()))

def test_the_tune_recipe_stops_early_on_ten_files(tmp_path, monkeypatch):
    monkeypatch.setattr(T, 'LOOK', 256)
    rng = random.Random(0)
    for i in range(10): write_midi(Performance([(j*.2, j*.2+.15, rng.randint(40, 80), 60) for j in range(30)]), tmp_path/f'midi/{i}.mid') # nothing to learn but by heart
    store = prepare(tmp_path/'midi', tmp_path/'store', n_workers=1, progress=False)
    assert {o.split for o in store.pieces}>={'train','validation'}
    c = TrainConfig(**TUNE_RECIPE|dict(context=32, lr=.02))
    fit(store, MusicTransformer(cfg), c, tmp_path/'run', progress=False)
    looks,state = [r for r in read_metrics(tmp_path/'run') if 'val_loss' in r],last(tmp_path/'run')
    assert looks[0]['step']==0 and state['epoch']==len(looks)-1<c.epochs and state['stale']==c.patience
    assert min(range(len(looks)), key=lambda i: looks[i]['val_loss'])==len(looks)-1-c.patience
    best = evaluate(MusicTransformer.from_pretrained(tmp_path/'run/best', verify=True), store, 'validation', context=32)
    assert abs(best['nats_per_token']-state['best'])<1e-3

absent = '''
import importlib.machinery as m
real,absent = m.PathFinder.find_spec,'pooch pretty_midi symusic soundfile matplotlib ipywidgets IPython tensorboard mido pandas scipy'.split()
m.PathFinder.find_spec = staticmethod(lambda name, path=None, target=None: None if name.partition('.')[0] in absent else real(name, path, target))
'''

def command(*words, absent_in=None):
    import music_transformer
    path = [str(absent_in)]*bool(absent_in) + [str(Path(music_transformer.__file__).parent.parent)]
    env = os.environ|dict(PYTHONPATH=os.pathsep.join(path), OMP_NUM_THREADS=str(torch.get_num_threads()))
    return subprocess.run([Path(sys.executable).parent/'mt-train', *map(str, words)], env=env, capture_output=True, text=True, timeout=300)

def test_on_a_machine_with_little_but_torch(d, store, tmp_path, monkeypatch):
    monkeypatch.setattr(T, 'LOOK', 256); monkeypatch.setattr(T, 'ROW', 20)
    (tmp_path/'sitecustomize.py').write_text(absent)
    packed = store.pack(tmp_path/'store.npz')                    # as on a machine rented for training
    sizes = '--d-model 32 --n-layers 1 --n-heads 2 --d-ff 32 --context 32 --batch-size 4 --transpose 2 --val-every 3 --warmup 2 --schedule constant --samples 0'.split()
    a = command(packed, '--out', tmp_path/'run', *sizes, '--max-steps', 3, absent_in=tmp_path)
    assert a.returncode==0, a.stderr
    assert 'tensorboard is not installed' in a.stdout and not (tmp_path/'run/tensorboard').exists()
    for word in ('step 3, loss','tokens/s','validation loss','min left'): assert word in a.stdout
    b = command(packed, '--out', tmp_path/'run', '--resume', '--max-steps', 6, '--samples', 0, absent_in=tmp_path)
    assert b.returncode==0 and 'step 6,' in b.stdout and 'step 3,' not in b.stdout, b.stderr
    said = dict(d_model=32, n_layers=1, n_heads=2, d_ff=32, context=32, batch_size=4, transpose=2, val_every=3, warmup=2, schedule='constant', max_steps=6)
    fit(store, *_new('base', said), tmp_path/'whole', progress=False)
    assert same(tmp_path/'run', tmp_path/'whole')

@pytest.mark.parametrize('spread', ['FSDP','DEEPSPEED'])
def test_a_model_that_is_spread_is_refused(store, tmp_path, monkeypatch, spread):
    from accelerate import Accelerator
    from accelerate.utils import DistributedType
    monkeypatch.setattr(Accelerator, 'distributed_type', DistributedType(spread))
    with pytest.raises(ValueError, match=f'accelerate is set to {spread}'): fit(store, cfg, settings, tmp_path/'run', progress=False)
    assert not (tmp_path/'run').exists()

def test_foresight_is_what_the_model_says(store):
    "Spans of several pieces and lengths, in batches; the echo of the whole piece."
    from music_transformer.echo import echoes
    from music_transformer.evaluation import foresee
    for c in (cfg, replace(cfg, echo=True)):
        model = MusicTransformer(c)                              # in training: it is asked as if it were not, and goes on so
        spans = [(store[i], a, b) for i,a,b in ((0,1,2), (0,20,50), (1,1,33), (2,40,41), (0,len(store[0])-5,len(store[0])))]
        for (ids,a,b),logp in zip(spans, foresee(model, spans, 32, 2)):
            x,since = torch.from_numpy(ids.astype('int64'))[None],max(b-1-32, 0)
            echo = {k: torch.from_numpy(v)[None] for k,v in echoes(ids).window(since, b-1-since).items()} if c.echo else None
            with torch.no_grad(): wanted = model.eval()(x[:,since:b-1], past=x[:,:since], echo=echo)[0,a-b:].log_softmax(-1)
            model.train()
            torch.testing.assert_close(logp, wanted)
        for a,b in ((0,5), (5,5), (5,40), (1,10**6)):
            with pytest.raises(ValueError, match='a span holds 1 to 32 ids'): next(foresee(model, [(store[0],a,b)], 32))

def test_weights_leave_in_shards_under_16_mb(tmp_path):
    model = MusicTransformer(ModelConfig(n_layers=5))
    assert 4e6<model.n_params
    model.save_pretrained(tmp_path/'m')
    sizes = [o.stat().st_size for o in (tmp_path/'m').iterdir()]
    assert sum(sizes)>max(4*model.n_params, 16e6) and max(sizes)<16e6
    again = MusicTransformer.from_pretrained(tmp_path/'m')
    assert all(torch.equal(a, b) for a,b in zip(model.parameters(), again.parameters()))

pages = '''
import resource, torch
from music_transformer.training import keep_memory
def faults():
    a = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5): torch.zeros(2**24).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt-a
before,kept = faults(),keep_memory(); faults(); print(int(kept), before, faults())
'''

@pytest.mark.skipif(sys.platform!='linux', reason='glibc')
def test_memory_is_kept():
    r = subprocess.run([sys.executable, '-c', pages], capture_output=True, text=True, check=True)
    kept,before,after = map(int, r.stdout.split())
    assert not kept or after<before/10

@pytest.mark.parametrize('name,change,said', [
    ('norm.weight', lambda o: None, 'lacks the tensor norm.weight'), ('norm.more', lambda o: torch.ones(1), 'strange tensor, norm.more'),
    ('norm.weight', lambda o: o[1:], r'norm.weight has shape \(31,\), not \(32,\)'), ('norm.weight', lambda o: 2*o, 'is not the model that was saved')])
def test_loading_is_strict_and_verifies(tmp_path, name, change, said):
    MusicTransformer(cfg).save_pretrained(tmp_path)
    MusicTransformer.from_pretrained(tmp_path, verify=True)
    o = load_file(tmp_path/'model.safetensors')
    o[name] = change(o.get(name))
    save_file({k: v.contiguous() for k,v in o.items() if v is not None}, tmp_path/'model.safetensors')
    with pytest.raises(ValueError, match=said): MusicTransformer.from_pretrained(tmp_path, verify=True)
