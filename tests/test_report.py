"The report as it is saved: light, complete, and for those who only read."
import json, re
from pathlib import Path

path = Path(__file__).parent.parent/'examples/report.ipynb'
cells = [c for c in json.loads(path.read_text())['cells'] if c['cell_type']=='code']
source = lambda c: ''.join(c['source'])
outputs = lambda c: json.dumps(c['outputs'])

def test_light(): assert path.stat().st_size<2_500_000

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
