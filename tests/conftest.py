import os, tempfile
from pathlib import Path
import pytest

@pytest.fixture
def public():
    "A folder in which anyone may write; pytest's own are closed to others."
    with tempfile.TemporaryDirectory() as d: os.chmod(d, 0o777); yield Path(d)
