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
