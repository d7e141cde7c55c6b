"Hands the facts of `settings.ini` to setuptools; `pyproject.toml` declares them dynamic."
from configparser import ConfigParser
from setuptools import setup

cfg = ConfigParser(delimiters='=', interpolation=None)
with open('settings.ini', encoding='utf-8') as f: cfg.read_file(f)
cfg = cfg['DEFAULT']
lines = lambda key: [o.strip() for o in cfg[key].splitlines() if o.strip()]

setup(name=cfg['lib_name'], version=cfg['version'], description=cfg['description'], author=cfg['author'],
      license=cfg['license'], keywords=cfg['keywords'], python_requires=f">={cfg['min_python']}",
      long_description=open('README.md', encoding='utf-8').read(), long_description_content_type='text/markdown',
      install_requires=lines('requirements'), extras_require={'dev': lines('dev_requirements'), 'docs': lines('docs_requirements')},
      packages=[cfg['lib_name']],
      package_data={cfg['lib_name']: ['pretrained/*', 'originality.npz', '*.html', '*.js', '*.css', 'py.typed']},
      entry_points={'console_scripts': lines('console_scripts'), 'nbdev': [f"{cfg['lib_name']}={cfg['lib_name']}._modidx:d"]})
