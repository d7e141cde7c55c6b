"The examples that make what they show: their quick cells run from the top, and what is kept of the slow ones is whole."
import json, os, subprocess, sys
from pathlib import Path
import pytest

root = Path(__file__).parent.parent
made = ['fine_tune','plan_a_run']

@pytest.mark.parametrize('name', made)
def test_it_runs_from_the_top(name):
    env = os.environ|dict(MPLBACKEND='agg', PYTHONPATH=str(root))
    r = subprocess.run([Path(sys.executable).parent/'nbdev-test', root/f'examples/{name}.ipynb', '--n-workers', '1'], cwd=root, env=env, capture_output=True, text=True)
    assert r.returncode==0, r.stdout+r.stderr

@pytest.mark.parametrize('name', made)
def test_what_the_slow_cells_gave_is_kept(name):
    cells = json.loads((root/f'examples/{name}.ipynb').read_text())['cells']
    slow = [c for c in cells if c['cell_type']=='code' and ''.join(c['source']).startswith('#| slow')]
    assert slow
    for c in slow: assert c['outputs'] or 'def ' in ''.join(c['source']), ''.join(c['source'])[:80]
