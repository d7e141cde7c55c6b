"nbdev's own way to a site goes through every notebook: what `nbdev-docs` does before Quarto."
import pytest
from pathlib import Path

root = Path(__file__).parent.parent

@pytest.mark.parametrize('path', sorted((root/'nbs').glob('*.ipynb')), ids=lambda p: p.stem)
def test_processed(path, tmp_path, monkeypatch):
    from nbdev.processors import FilterDefaults
    from nbdev.serve_drv import exec_nb
    monkeypatch.chdir(root)
    monkeypatch.setenv('IN_TEST', '1')
    exec_nb(path, tmp_path/path.name, FilterDefaults)
    assert path.stem=='index' or 'show_doc' in (tmp_path/path.name).read_text()

def test_the_workflow_runs_what_there_is():
    "Every command of the workflow is a target of the Makefile; what it publishes is what `make docs` writes."
    yaml = pytest.importorskip('yaml')
    jobs = yaml.safe_load((root/'.github/workflows/ci.yml').read_text())['jobs']
    make = (root/'Makefile').read_text()
    steps = [s for j in jobs.values() for s in j['steps']]
    runs = [s['run'] for s in steps if 'run' in s]
    assert runs==['make test','make docs']
    for r in runs: assert f'\n{r.split()[1]}:' in make, r
    path, = (s['with']['path'] for s in steps if 'upload-pages-artifact' in s.get('uses',''))
    assert path in make.split('\ndocs:')[1].split('\n\n')[0].split()
    assert jobs['publish']['permissions']=={'pages':'write','id-token':'write'} and jobs['publish']['needs']=='check'
    assert all((root/f).exists() for s in steps for f in s.get('with',{}).get('cache-dependency-path','').split())
