"The report as it is saved: light, complete, and for those who only read."
import json, os, re, shutil
from pathlib import Path
import pytest

path = Path(__file__).parent.parent/'examples/report.ipynb'
cells = [c for c in json.loads(path.read_text())['cells'] if c['cell_type']=='code']
source = lambda c: ''.join(c['source'])
outputs = lambda c: json.dumps(c['outputs'])

def test_light(): assert path.stat().st_size<3_400_000 # fifteen seconds of each sample, to be heard where there is no server

def test_every_picture_and_player_is_there():
    for c in cells:
        if source(c).startswith('plot_') or 'plt.subplots' in source(c): assert 'image/png' in outputs(c), source(c)[:60]
    named = 6 # the opening, two bars, the prelude continued; cold, as set, hot
    assert sum(outputs(c).count('<audio') for c in cells)==named+len(list((path.parent/'run/samples').glob('step-*.mid')))

def test_tensorboard_is_only_for_those_who_run_it():
    [c] = [c for c in cells if '%tensorboard' in source(c)]
    assert source(c).startswith('#| notest') and not c['outputs']

def test_no_number_of_the_run_stands_in_the_text():
    "They are printed, so that another run makes another report: no decimal in the prose, beside the published ones."
    text = '\n'.join(''.join(c['source']) for c in json.loads(path.read_text())['cells'] if c['cell_type']=='markdown')
    assert set(re.findall(r'\d\.\d+', text))<={'1.8','1.9'}

def cell(word):
    [c] = [c for c in cells if word in source(c)]
    return c

def shown(word): return ''.join(''.join(o.get('text', o.get('data', {}).get('text/markdown', ''))) for o in cell(word)['outputs'])

def test_every_section_leads_to_its_lesson():
    text = '\n'.join(source(c) for c in json.loads(path.read_text())['cells'] if c['cell_type']=='markdown')
    sections = re.split(r'^## ', text, flags=re.M)[1:]
    for s in sections:
        links = re.findall(r'\]\((\.\./nbs/\w+\.ipynb)\)', s)
        assert links or s.startswith('What comes next'), s[:30]
        for o in links: assert (path.parent/o).exists(), o

def test_what_training_cost_is_what_the_metrics_say():
    from music_transformer.analysis import cost
    c,text = cost(path.parent/'run'),shown("cost('run')")
    for said in (f"{c['steps']:,}", f"{c['tokens_per_s']:,.0f}", f"{c['minutes']:.0f} minutes", f"{c['memory_gb']:.1f} GB", f"{c['passes']:.1f}"):
        assert f'| {said} |' in text, said

def test_the_steps_of_training_come_from_its_settings():
    from music_transformer.settings import TrainConfig
    space = dict(LOOK=256)
    exec(source(cell('def steps_of_training')).split('first,*then =')[0], space)
    lines = space['steps_of_training'](TrainConfig(batch_size=7, context=99, warmup=25, max_steps=1234, val_every=17, transpose=2))
    for line,said in zip(lines, ('7 windows of 99', '', '', '', 'rises for 25 steps', 'Every 17 steps', '', '1,234 steps')): assert said in line
    assert 'up to 2 semitones' in lines[0]
    assert [o[:2] for o in shown('def steps_of_training').splitlines()]==[f'{i}.' for i in range(1, len(lines)+1)]

def test_samples_are_long_enough_and_marked_by_pass():
    html = json.dumps(cell('read_samples(')['outputs'])
    for o in (path.parent/'run/samples').glob('*.mid'):
        step = int(o.stem.partition('-')[2])
        assert re.search(rf'step {step}, pass \d+\.\d\d', html), step
    assert '[:15]' in source(cell('read_samples('))

def test_over_fitting_is_shown(tmp_path, monkeypatch):
    "The cell itself, run again: the training loss goes on to fall, the validation loss turns and rises."
    import matplotlib
    matplotlib.use('agg')
    monkeypatch.chdir(path.parent)
    space,kept = {},tmp_path/'run'
    exec(source(cell('import numpy as np')).replace('from matplotlib_inline', '# ').replace('set_matplotlib_formats', '# '), space)
    whole = space['plot_curves']
    monkeypatch.setattr('music_transformer.training.LOOK', 32)
    space['plot_curves'] = lambda run: (shutil.copytree(run, kept), whole(run))[1]
    exec(source(cell('often = TrainConfig')), space)
    for what in ('loss', 'smooth_loss'):
        train,val = space['curves'](kept, what)
        best = min(val, key=lambda o: o[1])
        assert best[0]<val[-1][0]/2 and val[-1][1]>best[1]+.3
        assert train[-1][1]<train[len(train)//4][1]-.3

def test_no_recording_of_maestro_is_stored(): assert '<audio' not in outputs(cell('def real_minute'))

def test_a_real_minute_plays_where_there_is_one(monkeypatch, tmp_path):
    space = {}
    exec(source(cell('import numpy as np')).replace('from matplotlib_inline', '# ').replace('set_matplotlib_formats', '# '), space)
    where = os.environ.get('MAESTRO_ZIP')
    monkeypatch.setattr(space['pooch'], 'os_cache', lambda name: tmp_path)
    monkeypatch.delenv('MAESTRO_ZIP', raising=False)
    exec(source(cell('def real_minute')), space)
    assert 'No copy of MAESTRO' in space['real_minute']().data
    if not where: pytest.skip('MAESTRO_ZIP does not name the MAESTRO v3.0.0 MIDI archive')
    monkeypatch.setenv('MAESTRO_ZIP', where)
    p = space['real_minute']()
    assert 55<p.seconds<=60.01 and len(p)>50 and ':' in p.title
