"Hands the facts of `settings.ini` to setuptools; `pyproject.toml` declares them dynamic."
import re, tomllib
from configparser import ConfigParser
from pathlib import Path
from setuptools import setup

cfg = ConfigParser(delimiters='=', interpolation=None)
cfg.read_string(Path('settings.ini').read_text(encoding='utf-8'))
cfg = cfg['DEFAULT']
lines = lambda key: [o.strip() for o in cfg[key].splitlines() if o.strip()]
extras = {k.removesuffix('_requirements'): lines(k) for k in cfg if k.endswith('_requirements')}

home = tomllib.loads(Path('pyproject.toml').read_text(encoding='utf-8'))['project']['urls']['Repository']
readme = Path('README.md').read_text(encoding='utf-8')
readme = re.sub(r'(!?)\[([^\]]*)\]\((?!https?:|#)', lambda m: f'{m[0]}{home}/{"raw" if m[1] else "blob"}/main/', readme) # read elsewhere, it still leads here

setup(name=cfg['lib_name'], version=cfg['version'], description=cfg['description'], author=cfg['author'],
      license_expression=cfg['license'], keywords=cfg['keywords'],
      classifiers=lines('classifiers'), python_requires=f">={cfg['min_python']}",
      long_description=readme, long_description_content_type='text/markdown',
      install_requires=lines('requirements'), extras_require=extras,
      packages=[cfg['lib_name']],
      package_data={cfg['lib_name']: ['pretrained/*', 'originality.npz', '*.html', '*.js', '*.css', 'py.typed']},
      entry_points={'console_scripts': lines('console_scripts'), 'nbdev': [f"{cfg['lib_name']}={cfg['lib_name']}._modidx:d"]})
