"How Sphinx makes the site out of what `pages.py` laid ready."
import ast, importlib, inspect, shutil, sys
from pathlib import Path
from configparser import ConfigParser
from latex2mathml.converter import convert
from docutils.nodes import SkipNode

root = Path(__file__).parent.parent
sys.path.insert(0, str(root))
facts = ConfigParser(delimiters='=', interpolation=None); facts.read(root/'settings.ini', encoding='utf-8'); facts = facts['DEFAULT']

project,release,author = facts['lib_name'],facts['version'],facts['author']
html_title,copyright = project,f'{author}, {facts["license"]}'
extensions = ['myst_nb', 'sphinx.ext.viewcode']
exclude_patterns = ['examples']
suppress_warnings = ['myst.header', 'misc.highlighting_failure']
pygments_style,pygments_dark_style = 'friendly','monokai'

html_theme,html_static_path,html_css_files = 'furo',[str(root/'docs/style.css')],['style.css']
templates_path = [str(root/'docs/templates')]
_sidebar = 'scroll-start','brand','search','play','navigation','ethical-ads','scroll-end'
html_sidebars = {'**': [f'sidebar/{o}.html' for o in _sidebar]}
html_favicon = str(root/'docs/icon.svg')
html_copy_source = html_show_sphinx = False
toc_object_entries_show_parents = 'hide'
add_module_names = False

nb_execution_mode = 'off'
nb_ipywidgets_js = {}                                        # it would come from a network; widgets show their picture instead
nb_code_prompt_show,nb_code_prompt_hide = 'The code','The code'
nb_render_markdown_format = 'myst'                            # with tables
nb_mime_priority_overrides = [('html', 'application/vnd.jupyter.widget-view+json', None)]
myst_enable_extensions = ['dollarmath', 'amsmath']
myst_heading_anchors = 3

def _math(display):
    def visit(self, node):
        self.body.append(f'<span class="math">{convert(node.astext(), display=display)}</span>')
        raise SkipNode
    return visit, None

def _source(app, name):
    "The text of a module and the lines of what it defines, `@patch`ed methods too (which `viewcode` by itself passes over)."
    if not name.startswith(project): return False
    text,tags = inspect.getsource(importlib.import_module(name)),{}
    def note(o, of=''):
        kind = 'class' if isinstance(o, ast.ClassDef) else 'def'
        if kind=='def' and any(ast.unparse(d).startswith('patch') for d in o.decorator_list): of = ast.unparse(o.args.args[0].annotation)+'.'
        tags[of+o.name] = kind, min([o.lineno, *(d.lineno for d in o.decorator_list)]), o.end_lineno
        for c in o.body if kind=='class' else (): isinstance(c, (ast.FunctionDef, ast.ClassDef)) and note(c, f'{o.name}.')
    for o in ast.parse(text).body: isinstance(o, (ast.FunctionDef, ast.ClassDef)) and note(o)
    return text, tags

def _sounds(app, failed):
    "What the players of the pages play."
    others = lambda folder,names: [o for o in names if Path(o).suffix not in ('','.mp3')]
    shutil.copytree(Path(app.srcdir, 'examples'), Path(app.outdir, 'examples'), ignore=others, dirs_exist_ok=True)

def _play(app, failed):
    "The page in which one plays with the model."
    from music_transformer.engine import play_page
    play_page(app.outdir, home='index.html')

def setup(app):
    app.connect('build-finished', _sounds)
    app.connect('build-finished', _play)
    app.add_html_math_renderer('mathml', _math('inline'), _math('block'))
    app.connect('viewcode-find-source', _source)
    app.connect('viewcode-follow-imported', lambda app, module, name: module) # each entry leads to its own room

html_math_renderer = 'mathml'
