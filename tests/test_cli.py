"The commands as a shell sees them: good paths write what they say, mistakes get one sentence, status 2 and nothing half-written."
import errno, io, json, os, re, runpy, shlex, shutil, subprocess, sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import fields
from pathlib import Path
import mido, numpy as np, pytest, soundfile
from conftest import forked, forks, in_child
from music_transformer.generation import generate
from music_transformer.midi import read_midi, write_midi
from music_transformer.model import MusicTransformer
from music_transformer.settings import ModelConfig, Sampling, TrainConfig

root = Path(__file__).parent.parent
prelude = root/'examples/prelude.mid'
bin = Path(sys.executable).parent

def run(*args, cwd=None, ok=True, **kw):
    r = subprocess.run([bin/args[0], *map(str, args[1:])], cwd=cwd, capture_output=True, text=True, **kw)
    if ok: assert r.returncode==0, r.stderr
    return r

def command(line, cwd):
    "Run a command in this process, and answer as `subprocess.run` does."
    os.chdir(cwd)
    sys.argv = shlex.split(line)
    sys.argv[0] = str(bin/sys.argv[0])
    with redirect_stderr(io.StringIO()) as said, redirect_stdout(io.StringIO()) as out:
        status = 0
        try: runpy.run_path(sys.argv[0], run_name='__main__')
        except SystemExit as e: status = e.code or 0
    return subprocess.CompletedProcess(line, status, out.getvalue(), said.getvalue())

def quick(*args, cwd, ok=True):
    "As `run`, in a child that has loaded already what all commands load."
    if not forks: return run(*args, cwd=cwd, ok=ok)
    r = forked(command, shlex.join(map(str, args)), cwd)
    if ok: assert r.returncode==0, r.stderr
    return r

@pytest.fixture(scope='module')
def corpus(tmp_path_factory):
    d = tmp_path_factory.mktemp('corpus')
    (d/'midi').mkdir()
    p = read_midi(prelude)
    for i in range(24): write_midi(p.transpose(i-12).stretch(1+i/100), d/f'midi/{i:02}.mid')
    run('mt-prepare', 'midi', '--out', 'store', cwd=d)
    run('mt-train', 'store', '--out', 'run', '--d-model', 32, '--n-layers', 1, '--n-heads', 2, '--context', 64, '--batch-size', 2,
        '--max-steps', 6, '--val-every', 3, '--samples', 30, cwd=d)
    return d

commands = 'mt-prepare mt-train mt-evaluate mt-compose mt-render mt-page mt-originality mt-judge mt-benchmark'.split()

@pytest.fixture(scope='module')
def helps():
    "What each command says of itself, and which modules it has loaded to do so."
    if os.name!='posix': pytest.skip('elsewhere the commands are no scripts')
    asked = {o: subprocess.run([sys.executable, '-X', 'importtime', bin/o, '--help'], capture_output=True, text=True) for o in commands}
    return {o: (r.stdout, {line.split('|')[-1].strip() for line in r.stderr.splitlines()}) for o,r in asked.items()}

@pytest.mark.parametrize('name', commands)
def test_help_comes_at_once(helps, name):
    "It need not wait for what takes a second to load."
    _,loaded = helps[name]
    assert 'music_transformer.cli' in loaded and not loaded & {'torch','matplotlib','pretty_midi','accelerate'}

def test_help_names_every_option(helps):
    said = {name: text for name,(text,_) in helps.items()}
    for name,text in said.items(): assert '--' in text and len(text.splitlines())>5, name
    known = '--recipe --d-model --n-layers --n-heads --d-ff --context --batch-size --epochs --max-steps --max-minutes --save-every --seed --resume --from'
    for o in known.split(): assert o in said['mt-train'], o
    for name,classes in dict([('mt-train',(ModelConfig,TrainConfig)), ('mt-compose',(Sampling,))]).items():
        for f in (f for c in classes for f in fields(c) if f.name!='vocab_size'):
            assert f'--{f.name.replace("_","-")} (' in said[name] and f.metadata['help'].split()[0] in said[name], f.name

def test_an_option_is_true_or_false():
    r = run('mt-train', 'store', '--echo', 'maybe', ok=False)
    assert r.returncode==2 and "--echo: must be true or false, not 'maybe'" in r.stderr

def test_an_option_from_python_is_one_of_the_options():
    from music_transformer import cli
    with pytest.raises(TypeError, match='d_modle'): cli.mt_train('store', d_modle=3)
    with pytest.raises(TypeError, match='top_q'): cli.mt_compose(top_q=3)

def test_the_run_folder(corpus):
    assert {o.name for o in (corpus/'run').iterdir()}=={'best','config.json','final','last','metrics.csv','samples','tensorboard'}
    assert len(read_midi(corpus/'run/samples/step-000006.mid'))
    from music_transformer.training import read_metrics
    looks = read_metrics(corpus/'run')
    assert len(looks)==2 and all(0<=r.get(k, 0)<=1 for r in looks for k in ('sample_returns','sample_hole'))

def evaluated(capsys, store, **how):
    "What mt-evaluate prints of the validation split, in this process."
    from music_transformer import cli
    cli.mt_evaluate(str(store), split='validation', **how)
    return capsys.readouterr().out

def test_a_packed_store_does_as_well(corpus, capsys):
    "There and back; a run is trained and judged on the one file."
    assert 'store.npz' in quick('mt-prepare', 'store', '--out', 'store.npz', cwd=corpus).stdout
    quick('mt-prepare', 'store.npz', '--out', 'unpacked', cwd=corpus)
    assert all((corpus/'unpacked'/o.name).read_bytes()==o.read_bytes() for o in (corpus/'store').iterdir())
    quick('mt-train', 'store.npz', '--out', 'packed', '--plain', '--d-model', 32, '--n-layers', 1, '--n-heads', 2, '--context', 64, '--batch-size', 2, '--max-steps', 2, '--samples', 0, cwd=corpus)
    c = json.loads((corpus/'packed/final/config.json').read_text())
    assert c['state'] is c['wishes'] is c['clock'] is False and c['position']=='relative'
    said = [evaluated(capsys, corpus/o, model=str(corpus/'packed/final'), verify=True) for o in ('store','store.npz')]
    assert said[0]==said[1] and 'nats per token' in said[0]

def test_train_goes_on(corpus):
    quick('mt-train', 'store', '--out', 'run', '--resume', '--max-steps', 9, '--samples', 30, cwd=corpus)
    assert json.loads((corpus/'run/last/run.json').read_text())['step']==9

def test_a_look_is_heard_and_seen_in_tensorboard(corpus):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    board,looks,mean = (EventAccumulator(str(corpus/'run/tensorboard'/o)) for o in ('train','validation','running_mean'))
    for o in (board, looks, mean): o.Reload()
    tags = board.Tags()
    assert set(tags['scalars'])=={'learning/loss','learning/smooth_loss','learning/accuracy','run/lr','run/grad_norm','run/tokens_per_s','run/memory_gb'}
    tags_of_looks = {o.partition('/')[2] for o in looks.Tags()['scalars']}
    assert {'loss','smooth_loss','accuracy'}<=tags_of_looks<={'loss','smooth_loss','accuracy','sample_returns','sample_hole','sample_louder'}
    assert set(mean.Tags()['scalars'])=={'learning/loss'} # on the same charts
    assert {'sample/piano roll','sample/attention, last layer','sample/events'}<=set(tags['images'])
    sound = board.Audio('sample/sound')[-1]
    x,rate = soundfile.read(io.BytesIO(sound.encoded_audio_string))
    assert rate==22050 and np.abs(x).max()>.01
    assert len(json.loads((corpus/'run/last/run.json').read_text())['pending'])<20

def test_fine_tune_on_a_folder(corpus):
    "One call; the model is looked at before the first step, so that the best is never worse than what one began with."
    from music_transformer.training import read_metrics
    said = quick('mt-train', 'midi', '--from', 'run/final', '--out', 'tuned', '--max-steps', 20, '--lr', .003, '--samples', 0, cwd=corpus).stdout
    rows,state = read_metrics(corpus/'tuned'),json.loads((corpus/'tuned/last/run.json').read_text())
    assert '1 validation' in said or 'validation' in said and (corpus/'tuned/store/store.json').exists()
    assert re.search(rf"kept for validation: {rows[0]['val_loss']:.3f} before, {state['best']:.3f} at step \d+\.\n", said)
    assert rows[0]['step']==0 and rows[0]['val_loss']>rows[-1]['val_loss']>=state['best']-1e-4 and state['step']==20
    a,b = (json.loads((corpus/o/'config.json').read_text()) for o in ('tuned/final','run/final'))
    assert a|dict(dropout=0)==b|dict(dropout=0)
    quick('mt-train', 'midi', '--out', 'tuned', '--resume', '--max-steps', 22, '--samples', 0, cwd=corpus)
    assert json.loads((corpus/'tuned/last/run.json').read_text())['step']==22
    r = quick('mt-train', 'midi', '--from', 'run/final', '--out', 'tuned', cwd=corpus, ok=False)
    assert r.returncode==2 and 'holds a run already' in r.stderr
    for words,why in ((['midi','--from','nope'], 'leave --from and --recipe out'), (['run','--max-steps',23], 'learns from midi')):
        r = quick('mt-train', *words, '--out', 'tuned', '--resume', cwd=corpus, ok=False)
        assert r.returncode==2 and why in r.stderr
    (corpus/'idle').mkdir()
    for o in (corpus/'midi').iterdir(): (corpus/'idle'/o.name).write_bytes(o.read_bytes())
    (corpus/'idle/bad.mid').write_bytes(b'no music')
    said = quick('mt-train', 'idle', '--from', 'run/final', '--out', 'idler', '--max-steps', 1, '--lr', 1e-9, '--samples', 0, cwd=corpus).stdout
    assert 'bad.mid' in said

def test_evaluate_writes_json(corpus):
    out = quick('mt-evaluate', 'store', '--model', 'run/final', '--split', 'validation', '--json', 'v.json', cwd=corpus).stdout
    r = json.loads((corpus/'v.json').read_text())
    assert {'nats_per_token','nats_per_note','nats_per_second','accuracy','unigram_entropy','kinds'}<=set(r)
    assert f"{r['nats_per_token']:.4f}" in out
    for k in ('nats_per_token','nats_per_note','nats_per_second','accuracy'): assert r[k+'_95'][0]<=r[k]<=r[k+'_95'][1]
    assert {'on','off','shift','velocity'}<=set(r['kinds']) and all({'tokens','nats_per_token','nats_per_token_95','accuracy'}<=set(o) for o in r['kinds'].values())
    assert sum(o['tokens'] for o in r['kinds'].values())==r['tokens']
    assert sum(o['tokens']*o['nats_per_token'] for o in r['kinds'].values())==pytest.approx(r['tokens']*r['nats_per_token'])
    store = json.loads((corpus/'store/store.json').read_text())
    assert store['vocabulary'] and store['n_tokens']>0

def test_compose_makes_music_with_the_packaged_model(tmp_path):
    said = run('mt-compose', '--seconds', 3, '--tails', 2, '--out', 'music', cwd=tmp_path).stdout
    files = {o.suffix: o for o in (tmp_path/'music').iterdir()}
    assert set(files)=={'.mid','.mp3','.png'} and all(o.name in said for o in files.values())
    p = read_midi(files['.mid'])
    x,rate = soundfile.read(files['.mp3'])
    assert rate==44100 and x.shape[1]==2
    assert np.abs(x).max()<=1 and np.sqrt((x**2).mean())>.005
    assert p.seconds<=len(x)/rate<=p.seconds+6
    assert files['.png'].read_bytes()[:8]==b'\x89PNG\r\n\x1a\n'
    again = generate(MusicTransformer.from_pretrained(), 3, seed=1, tails=2)                 # in another process it is the same
    assert np.array_equal(p.notes, read_midi(write_midi(again, tmp_path/'again.mid')).notes)

def test_continue_a_primer(tmp_path):
    quick('mt-compose', '--primer', prelude, '--primer-seconds', 8, '--seconds', 3, '--tails', 1, '--out', '.', cwd=tmp_path)
    p,q = read_midi(prelude),read_midi(next(tmp_path.glob('*.mid')))
    n = len(p[:8])
    assert list(q.notes['pitch'][:n])==list(p.notes['pitch'][:n]) and len(q)>n
    quick('mt-compose', '--primer', prelude, '--seconds', 3, '--tails', 1, '--no-primer', '--out', 'new', cwd=tmp_path)
    assert next((tmp_path/'new').glob('*.mid')).stat().st_size

def test_what_came_back_is_said():
    from music_transformer.cli import _went_back
    from music_transformer.data import Performance
    chance,taken = dict(when=30.2, since=2., played=1, right=1),dict(when=17.04, since=.3, played=9, right=8)
    assert _went_back(Performance([], info=dict(returns=[taken, chance])))==['it goes back at 17 s to 0 s']
    assert _went_back(Performance([], info=dict(returns=[chance])))==_went_back(Performance([], info={}))==[]

@pytest.mark.skipif(os.name!="posix", reason="elsewhere a pipe breaks otherwise")
def test_whoever_stops_reading_is_told_nothing(tmp_path):
    r,w = os.pipe()
    os.close(r)
    done = subprocess.run([bin/'mt-prepare', prelude, '--out', 's'], stdout=w, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    os.close(w)
    assert done.returncode==141 and 'ipe' not in done.stderr

def test_render(tmp_path):
    shutil.copy(prelude, tmp_path/'p.mid')
    run('mt-render', 'p.mid', '--out', 'p.wav', cwd=tmp_path)
    x,rate = soundfile.read(tmp_path/'p.wav')
    assert read_midi(prelude).seconds<=len(x)/rate and .1<np.abs(x).max()<1

@pytest.mark.skipif(os.name!='posix', reason='nothing forks elsewhere')
def test_mistakes(corpus, tmp_path):
    d = tmp_path
    (d/'notes.txt').write_text('hello'); (d/'my.npz').write_text('hello')
    (d/'empty').mkdir(); (d/'halted/last').mkdir(parents=True); (d/'taken/piece-7.mp3').mkdir(parents=True)
    shutil.copy(prelude, d/'prelude.mid')
    m = mido.MidiFile(); m.tracks.append(mido.MidiTrack()); m.save(d/'silent.mid')
    (d/'mute').mkdir(); shutil.copy(d/'silent.mid', d/'mute')
    shutil.copytree(corpus/'store', d/'foreign')
    f = d/'foreign/store.json'; f.write_text(f.read_text().replace('piano-391', 'piano-392'))
    MusicTransformer(ModelConfig(d_model=32, n_layers=1, n_heads=2)).save_pretrained(d/'cut')
    whole = d/'cut/model.safetensors'; whole.write_bytes(whole.read_bytes()[:1000])
    before = sorted(d.rglob('*'))
    store = corpus/'store'
    lines = [
        ('mt-prepare nowhere --out s', 'not there'), ('mt-prepare empty --out s', 'no MIDI files'), ('mt-prepare silent.mid --out s', 'no notes'),
        ('mt-prepare prelude.mid --out empty/../notes.txt', 'not a token store'),
        ('mt-train nowhere --out r', 'nowhere is not there'), ('mt-train foreign --out r', 'vocabulary'), (f'mt-train {store} --out r --n-heads 7', '--n-heads (7) must divide --d-model'),
        (f'mt-train {store} --out r --resume', 'no run to resume'), (f'mt-train {store} --out r --recipe fast', 'recipe'),
        (f'mt-train {store} --out r --batch-size 99999', 'larger than the data'), (f'mt-train {store} --out r --schedule up', '--schedule must be one of'),
        (f'mt-train {store} --out r --semitones 3', '--semitones is called --transpose now'), (f'mt-train {store} --out r --conv 1', 'conv must be 0'),
        (f'mt-train {store} --out r --from pretrained --echo true', 'brings its own echo'), (f'mt-train {store} --out r --told 1', 'told must be at least 0 and below 1'),
        (f'mt-train {store} --out r --from pretrained --matrix-lr .01', 'the rate of Muon, not of adamw'),
        (f'mt-train {store} --out r --from nowhere', 'not a checkpoint'), (f'mt-train {store} --out r --from pretrained --d-model 32', 'brings its own --d-model'),
        (f'mt-train {store} --out r --from pretrained --plain --seed 3', 'brings its own plain; leave'), ('mt-prepare prelude.mid --out notes.txt/s', 'nothing can be written in'),
        ('mt-train my.npz --out r', 'damaged'), ('mt-prepare prelude.mid --out my.npz', 'choose another place'),
        ('mt-train empty --out r', 'no MIDI files'), ('mt-train notes.txt --out r', 'no MIDI files'), (f'mt-train {store} --out foreign', 'is not a run'),
        ('mt-evaluate foreign', 'vocabulary'), (f'mt-evaluate {store} --model nowhere', 'not a checkpoint'), (f'mt-evaluate {store} --split tset', 'no tset'),
        ('mt-compose --seconds 0 --out o', 'seconds'), ('mt-compose --seconds -3 --out o', '--seconds must be above 0'), ('mt-compose --top-p 0 --out o', '--top-p must be'), ('mt-compose --temperature -1 --out o', 'temperature'),
        ('mt-compose --fill prelude.mid --between 1 2 --seconds 9 --out o', '--seconds has no say where notes are given'), ('mt-compose --keep .3 --out o', '--keep has no say without --vary'),
        ('mt-compose --accompany prelude.mid --keep .5 --out o', '--keep has no say without --vary'), ('mt-compose --particles 16 --out o', '--particles has no say'),
        ('mt-compose --returns 3,5,8 --out o', 'from < to <= when'), ('mt-compose --notes-per-second 99 --out o', '--notes-per-second must be at least 0 and at most 40'),
        ('mt-compose --pieces 0 --out o', '--pieces must be at least 1'), ('mt-compose --pieces 1000000000 --out o', 'at most 10000'), ('mt-compose --seconds 1e9 --out o', 'at most 86400'),
        ('mt-compose --off-scale 1e39 --out o', 'at most 100'), ('mt-compose --key-temperature 1e-50 --out o', 'at least 0.001'), ('mt-originality --build "" --against s', 'a file is to be written there'), (f'mt-originality --build prelude.mid --against {store}', 'ends in .npz'), (f'mt-originality --build my.npz --against {store}', 'is there and is no index'), ('mt-compose --fill prelude.mid --between nan 4 --out o', 'two moments in seconds'), ('mt-compose --min-p 2 --out o', '--min-p must be'), ('mt-compose --model halted --out o', 'has no model yet'),
        ('mt-compose --primer notes.txt --out o', 'not a MIDI file'), ('mt-compose --primer silent.mid --out o', 'no notes'),
        ('mt-compose --primer nowhere.mid --out o', 'nowhere.mid'), ('mt-compose --model cut --out o', 'damaged'),
        ('mt-compose --out notes.txt', 'a part of it is a file'), ('mt-render nowhere.mid', 'nowhere.mid is not there'), (f'mt-judge nowhere --real {store}', 'nowhere is not there'), (f'mt-judge mute --real {store}', 'that can be read'), (f'mt-judge prelude.mid --real {store}', 'name the folder that holds it'), ('mt-evaluate empty', 'not a token store'),
        ('mt-compose --fill prelude.mid --out o', 'between'), ('mt-compose --fill prelude.mid --between 900 90 --out o', 'a gap must end'),
        ('mt-compose --soundfont notes.txt --out o', 'notes.txt'), ('mt-compose --soundfont empty --out o', 'is a folder'),
        ('mt-compose --primer "" --out o', 'an empty name'), ('mt-compose --seed 7 --out taken', 'piece-7.mp3 is a folder'), ('mt-render notes.txt', 'not a MIDI file'), ('mt-render empty', 'empty is a folder; name a file'), ('mt-render prelude.mid --out p.xyz', 'xyz'),
    ]
    with ProcessPoolExecutor(2, forks, max_tasks_per_child=1) as two: results = list(two.map(command, [o for o,_ in lines], [d]*len(lines)))
    for (line,word),r in zip(lines, results):
        last = r.stderr.strip().splitlines()[-1] if r.stderr.strip() else ''
        assert r.returncode==2 and 'Traceback' not in r.stderr and word in last, r
    assert sorted(d.rglob('*'))==before, 'something was left behind'

def test_a_run_stands_for_its_best_model(corpus, tmp_path, capsys):
    said = [evaluated(capsys, corpus/'store', model=str(corpus/o)) for o in ('run','run/best')]
    assert said[0]==said[1] and 'nats per token' in said[0]
    shutil.copytree(corpus/'run', tmp_path/'run', ignore=shutil.ignore_patterns('best'))
    last = [MusicTransformer.from_pretrained(o).state_dict() for o in (tmp_path/'run', corpus/'run/final')]
    assert all(last[0][k].equal(last[1][k]) for k in last[1])

def test_a_best_model_is_spoken_of_where_there_is_one(corpus, tmp_path):
    "A run that stops before its first look at the validation split."
    small = '--d-model 32 --n-layers 1 --n-heads 2 --context 64 --batch-size 2 --samples 0'.split()
    short = ('--max-minutes',1e-9,'--val-every',50)
    said = quick('mt-train', corpus/'store', '--out', 'halted', *small, *short, cwd=tmp_path).stdout
    assert not (tmp_path/'halted/best').exists()
    assert 'halted/final' in said and 'halted/best' not in said
    MusicTransformer.from_pretrained(tmp_path/'halted')                       # the last one, then

def test_several_pieces_at_once(tmp_path):
    from music_transformer.generation import generate
    quick('mt-compose', '--pieces', 3, '--seed', 4, '--seconds', 2, '--tails', 1, '--min-p', .02, '--out', 'new', cwd=tmp_path)
    assert {o.name for o in (tmp_path/'new').iterdir()}=={f'piece-{n}{o}' for n in (4,5,6) for o in ('.mid','.mp3','.png')}
    net = MusicTransformer.from_pretrained()
    wanted = generate(net, 2, seed=[4,5,6], tails=1, min_p=.02)
    for n,p in zip((4,5,6), wanted):
        written = read_midi(tmp_path/f'new/piece-{n}.mid')
        assert written.notes['pitch'].tolist()==p.notes['pitch'].tolist()
    assert wanted!=generate(net, 2, seed=[4,5,6], tails=1)                    # which tells that --min-p was heard

def limited(line, cwd, size):
    "A command where no file grows beyond `size` bytes, as if the disk were full there. In a child: the limit stays."
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size,size))
    os.environ['IN_TEST'] = '1'
    return command(line, cwd)

def no_more(size, *args, cwd):
    "One sentence that names a file one has asked for, status 2, and the folder as it was."
    before = {o: o.read_bytes() for o in cwd.rglob('*') if o.is_file()}
    r = forked(limited, shlex.join(map(str, args)), cwd, size)
    assert r.returncode==2 and len(r.stderr.strip().splitlines())==1, r.stderr
    assert {o: o.read_bytes() for o in cwd.rglob('*') if o.is_file()}==before
    assert not [o for o in cwd.rglob('.*')]
    return r.stderr

@pytest.mark.skipif(os.name!='posix', reason='limits of a process')
@pytest.mark.parametrize('kind', ['mp3','ogg'])
def test_a_full_disk_while_rendering(tmp_path, kind):
    "From the first byte to the last: what is there already stays whole."
    quick('mt-render', prelude, '--out', f'p.{kind}', cwd=tmp_path)
    size = (tmp_path/f'p.{kind}').stat().st_size
    for room in (0, size-1): assert f' p.{kind}: ' in no_more(room, 'mt-render', prelude, '--out', f'p.{kind}', cwd=tmp_path)

@pytest.mark.skipif(os.name!='posix', reason='limits of a process')
def test_a_full_disk_while_composing(tmp_path):
    "Room for the first file is not room for all: a take that is there stays, and where there was nothing there is nothing."
    line = ('mt-compose','--seconds',1,'--tails',1,'--out')
    quick(*line, 'old', cwd=tmp_path)
    size = (tmp_path/'old/piece-1.mid').stat().st_size
    for o in ('old','new'): assert f' {o}/piece-1.mid: ' in no_more(size+1, *line, o, cwd=tmp_path)
    assert not (tmp_path/'new').exists()

def never(*_, **kw): raise AssertionError('it began to compose')

def test_a_name_too_long_is_found_before_composing(tmp_path, monkeypatch):
    "A folder of the piece, the piece's own name, and the file for the numbers."
    from music_transformer import cli
    monkeypatch.chdir(tmp_path); monkeypatch.setattr(MusicTransformer, 'from_pretrained', never)
    theme,long = Path('x'*245+'.mid'),'y'*256
    theme.write_bytes(prelude.read_bytes())
    asked = {f'new/{long}/piece-1.mid': lambda o: cli.mt_compose(out=f'new/{long}'),
             f'new/{theme.stem}-continued-1.mid': lambda o: cli.mt_compose(primer=str(theme), out='new'),
             f'{long}.json': lambda o: cli.mt_evaluate('nowhere', json=o),
             f'{long}.wav': lambda o: cli.mt_render(str(theme), out=o)}
    for path,act in asked.items():
        with pytest.raises(OSError) as e: act(path)
        assert e.value.errno==errno.ENAMETOOLONG and e.value.filename==path
    assert [*tmp_path.iterdir()]==[tmp_path/theme]

@pytest.mark.skipif(os.name!='posix', reason='links')
def test_a_link_in_the_way_is_found_before_composing(tmp_path, monkeypatch):
    "It leads nowhere, so that no folder can be made in its place."
    from music_transformer import cli
    monkeypatch.setattr(MusicTransformer, 'from_pretrained', never)
    link = tmp_path/'link'
    link.symlink_to('nowhere')
    for out in (link, link/'new'):
        with pytest.raises(OSError) as e: cli.mt_compose(out=str(out))
        assert e.value.filename==str(out/'piece-1.mid')
    assert [*tmp_path.iterdir()]==[link]

def test_the_longest_name_that_a_disk_allows(tmp_path):
    name = 'x'*251+'.wav'
    quick('mt-render', prelude, '--out', name, cwd=tmp_path)
    assert sorted(o.suffix for o in tmp_path.iterdir())==['.png','.wav']

@pytest.mark.skipif(sys.platform!='linux', reason='elsewhere every name is text')
def test_names_that_are_not_text(tmp_path):
    name = os.fsdecode(b'caf\xe9')
    shutil.copy(prelude, tmp_path/f'{name}.mid')
    said = run('mt-compose', '--primer', f'{name}.mid', '--primer-seconds', 5, '--seconds', 1, '--tails', 1, cwd=tmp_path)
    assert len([*tmp_path.glob(f'{name}-continued-1.*')])==3 and 'continued-1.png' in said.stdout
    run('mt-render', f'{name}.mid', cwd=tmp_path)
    assert (tmp_path/f'{name}.mp3').exists()

def test_a_title_in_kana_is_written_in_silence(tmp_path):
    shutil.copy(prelude, tmp_path/'夜想曲カナ.mid')
    r = run('mt-render', '夜想曲カナ.mid', cwd=tmp_path, env=os.environ|dict(PYTHONIOENCODING='ascii'))
    assert not r.stderr and (tmp_path/'夜想曲カナ.png').exists() and r'\u591c' in r.stdout

@pytest.mark.skipif(os.name!='posix', reason='rights of folders')
def test_a_folder_one_may_not_write_to(public, monkeypatch):
    "The file that was asked for is named, and nothing is composed."
    from music_transformer import cli
    from music_transformer.sound import _small
    monkeypatch.setenv('SOUNDFONT', str(_small))
    monkeypatch.setattr(MusicTransformer, 'from_pretrained', never)
    d = public/'ro'; d.mkdir(mode=0o555)
    p = shutil.copy(prelude, public/'p.mid')
    asked = {d/'a.mp3': lambda o: cli.mt_render(str(p), out=o),
             d/'piece-1.mid': lambda o: cli.mt_compose(out=str(d)),
             d/'deep/piece-1.mid': lambda o: cli.mt_compose(out=str(d/'deep')),
             d/'v.json': lambda o: cli.mt_evaluate('nowhere', json=o)}
    def work():
        if os.geteuid()==0: os.setuid(65534)                              # root may write anywhere
        for path,act in asked.items():
            with pytest.raises(PermissionError) as e: act(str(path))
            assert e.value.filename==str(path)
            assert cli._sentence(e.value)==f'{path}: Permission denied.'
    assert in_child(work)==0 and not [*d.iterdir()]

def test_a_page_to_play_in(corpus, tmp_path):
    quick('mt-page', '--model', corpus/'run', '--out', 'play', cwd=tmp_path)
    assert {'play.html','play-model.js'} <= {o.name for o in (tmp_path/'play').iterdir()}
    r = quick('mt-page', '--model', 'nowhere/at/all', '--out', 'other', cwd=tmp_path, ok=False)
    assert r.returncode==2 and 'is not a checkpoint' in r.stderr and not (tmp_path/'other').exists()
