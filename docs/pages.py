"Lay the notebooks ready for Sphinx: nbdev's processing, with its API entries as Sphinx knows them, and the sources folded away."
import ast, base64, inspect, io, re, shutil, sys
from importlib import import_module
from pathlib import Path
from fastcore.basics import first
from fastcore.docments import docments, empty
from fastcore.nbio import read_nb, write_nb, mk_cell
from PIL import Image
from nbdev.config import get_config
from nbdev.process import Processor
from nbdev.processors import FilterDefaults, _def_names, _want_doc
from nbdev import processors as P

root = Path(__file__).parent.parent
lib = get_config(root).lib_path.name

def words(o):
    "A type or a default, as one would write it."
    if o in (empty, inspect.Parameter.empty): return ''
    o = getattr(o, '__origin__', o) if hasattr(o, '__metadata__') else o      # Annotated
    if isinstance(o, type) and not str(o).startswith(f'{o.__name__}['): return o.__name__
    o = re.sub(r'\b(?:[a-zA-Z_]\w*\.)+(?=\w)', '', o if isinstance(o, str) else repr(o))
    return '...' if '<' in o else o

def signature(f):
    "Parameters of `f` as text, its own `self` left out, and what it returns."
    try: sig = inspect.signature(f)
    except (TypeError, ValueError): return ''
    ps = [o for i,o in enumerate(sig.parameters.values()) if i or o.name not in ('self','cls')]
    text,star = [],False
    for o in ps:
        if o.kind is o.KEYWORD_ONLY and not star and not any(q.kind is o.VAR_POSITIONAL for q in ps): text.append('*')
        star = star or o.kind is o.KEYWORD_ONLY
        name = {o.VAR_POSITIONAL:'*', o.VAR_KEYWORD:'**'}.get(o.kind, '')+o.name
        text.append(name + (f': {words(o.annotation)}' if words(o.annotation) else '')
                    + (f'={o.default!r}' if isinstance(o.default, (str,int,float,bool,type(None))) else '' if o.default is empty else '=...'))
    back = words(sig.return_annotation) if not inspect.isclass(f) else ''
    return f'({", ".join(text)})' + (f' -> {back}' if back and back!='None' else '')

def table(f):
    "What the comments beside the arguments say, as a table."
    rows = []
    for name,o in docments(f, full=True).items():
        if name in ('self','cls') or (name=='return' and not o.docment): continue
        cells = ['*returns*' if name=='return' else f'`{name}`', *(f'`{c}`' if c else '' for c in (words(o.anno), words(o.default if o.default is empty else repr(o.default)))), o.docment or '']
        rows.append([c.replace('|', r'\|').replace('\n', ' ') for c in cells])
    if not any(r[3] for r in rows): return ''
    head = ['argument','type','default','']
    used = [i for i in range(4) if any(r[i] for r in rows)]
    return '\n'.join(f'| {" | ".join(r[i] for i in used)} |' for r in [head, ['---']*4, *rows])

def entry(module, name):
    "One API entry: signature, sentence, arguments; of a class also its methods."
    *owner,last = name.split('.')
    if not owner and not hasattr(module, last): module = import_module('music_transformer.cli') # where each room's command goes
    o = getattr(module, owner[0], None) if owner else module
    static = inspect.getattr_static(o, last, None)
    f = getattr(o, last)
    kind = 'class' if inspect.isclass(f) else 'property' if isinstance(static, property) else 'classmethod' if isinstance(static, classmethod) else \
        'method' if owner else 'function'
    if kind=='property': f = static.fget
    doc = [f'````{{py:{kind}}} {name}{"" if kind=="property" else signature(f)}', f':module: {module.__name__}', '', (inspect.getdoc(f) or '').split('\n\n')[0], '', table(f), '````']
    if kind=='class' and issubclass(f, Exception): doc[0] = f'````{{py:exception}} {name}'
    if kind=='class':
        lines,at = inspect.getsourcelines(f)
        for k,v in vars(f).items():
            v = getattr(v, '__func__', getattr(v, 'fget', v))
            if k[0]!='_' and inspect.isfunction(v) and v.__doc__ and at<v.__code__.co_firstlineno<at+len(lines): doc += ['', entry(module, f'{name}.{k}')]
    return '\n'.join(doc)

class api_entries(Processor):
    "Before each exported cell, the entries of what it defines; the cell itself folds."
    def begin(self):
        cells = self.nb.cells
        name = first(c.directives_['default_exp'] for c in cells if 'default_exp' in c.directives_)
        exported = [c for c in cells if c.cell_type=='code' and {'export','exports','exporti'}.intersection(c.directives_)]
        for c in reversed(exported):
            c.metadata.tags = ['hide-input']
            c.source = re.sub(r'^#\|.*\n', '', c.source, flags=re.M)
            names = _def_names(c, []) if name and _want_doc(c) and not re.search(r'^_all_ *=', c.source, re.M) else [] # what lives elsewhere has its entry there
            if names: cells.insert(c.idx_, mk_cell('\n\n'.join(entry(import_module(f'{lib}.{name}'), n) for n in names), 'markdown'))

def drop_hidden(cell):
    "Nobody comes for hidden cells, nor for a module's imports."
    if cell.cell_type!='code': return
    d = cell.directives_.keys()
    only = all(isinstance(o, (ast.Import,ast.ImportFrom)) or ast.unparse(o).startswith('_all_') for o in cell.parsed_() or [])
    if d & {'hide','default_exp'} or (only and d & {'export','exporti'}): del(cell['source'])

lessons = {re.sub(r'^\d+[a-z]?_', '', o.stem): o for o in sorted((root/'nbs').glob('[0-9]*.ipynb'))}

def page_of(stem):
    "The page of a notebook in `examples`: the studio's lesson has the name of its example."
    return f'the-{stem}' if stem in lessons else stem

def local_links(cell):
    "Links into the repository and to the documentation become links of this site."
    if cell.cell_type!='markdown': return
    base = re.escape(get_config().doc_host+get_config().doc_baseurl)
    s = re.sub(rf'\[`([^`\]]+)`\]\({base}/(\w+)\.html#[^)]*\)', rf'{{py:obj}}`\1 <{lib}.\2.\1>`', cell.source)
    s = re.sub(rf'(<{lib}\.\w+\.[\w.]+)\(\)>', r'\1>', s)
    s = re.sub(r'\]\((?:\.\./)?nbs/\d+[a-z]?_(\w+\.ipynb)', r'](\1', s)
    s = re.sub(r'\]\(\d+[a-z]?_(\w+\.ipynb)', r'](\1', s)
    s = re.sub(r'\]\((?:\.\./)?examples/(\w+)\.ipynb', lambda o: f']({page_of(o[1])}.ipynb', s)
    s = re.sub(r'\]\((?:\.\./examples/)?README\.md', '](pieces.md', s)
    cell.source = s.replace(f'](../{lib}/pretrained/README.md', '](model-card.md').replace('](../', '](')

def mark_wide(cell):
    "A figure of more than six inches is too wide for a phone to shrink; the style sheet knows it by its cell's tag."
    pictures = [o.data['image/png'] for o in cell.get('outputs', []) if 'image/png' in o.get('data', {})]
    for o in pictures:
        image = Image.open(io.BytesIO(base64.b64decode(''.join(o))))
        if image.width/image.info.get('dpi', (100,))[0]>6.5: cell.metadata.tags = [*cell.metadata.get('tags', []), 'wide']

def no_directives(cell):
    "What nbdev is told is not for readers."
    if cell.cell_type=='code': cell.source = re.sub(r'^#\|.*\n', '', cell.source, flags=re.M)

class Site(FilterDefaults):
    def base_procs(self):
        return [P.populate_language, api_entries, P.strip_ansi, P.hide_line, P.filter_stream_, P.rm_header_dash, drop_hidden, P.clean_magics,
                P.hide_, P.add_links, local_links, P.strip_hidden_metadata, mark_wide, no_directives]

def stage(src, dst, title=None, then=None):
    "Process the notebook `src` into `dst`, under another title; `then` may change its cells."
    nb = read_nb(src)
    if title: nb.cells[0].source = re.sub(r'^# .*', f'# {title}', nb.cells[0].source)
    Site()(nb)
    if then: then(nb.cells)
    nb.metadata.pop('widgets', None)
    write_nb(nb, dst)

def toctree(caption, names): return mk_cell('\n'.join(['```{toctree}', ':hidden:', f':caption: {caption}', '', *names, '```']), 'markdown')

def fold(cells):
    "A report is read for its pictures and players: its code folds."
    for c in cells:
        if c.cell_type=='code': c.metadata.tags = [*c.metadata.get('tags', []), 'hide-input']

def listen(cells):
    "On the home page a player takes the place of the picture, and moves up to where a phone shows it at once."
    from music_transformer.data import read_midi
    from music_transformer.playback import player
    head,about,caption = re.fullmatch(r'(# .*?^> .*?\n\n)(.*)^!\[.*?\]\(examples/piece-1\.png\)\n+(.*)', cells[0].source, flags=re.M|re.S).groups()
    piece = root/'examples/piece-1.mid'
    sound = dict(output_type='display_data', metadata={}, data={'text/html': player(read_midi(piece), sound=piece.with_suffix('.mp3'))})
    play = '<p class="play"><a href="play.html">Play with it, in your browser</a></p>'
    cells[:1] = [mk_cell(head+play, 'markdown'), mk_cell('listen', outputs=[sound], metadata=dict(tags=['remove-input'])), mk_cell(f'{caption}\n\n{about}', 'markdown')]

def pieces(page):
    "The page of the pieces, its links to sound become players."
    page = re.sub(r'\]\(\.\./nbs/\d+[a-z]?_(\w+\.ipynb)', r'](\1', page)
    page = re.sub(r'\]\((?!\w+\.ipynb)', '](examples/', page)
    page = re.sub(r'\]\((\w+)\.ipynb', lambda o: o[0] if o[1] in lessons else f']({page_of(o[1])}.ipynb', page)
    return re.sub(r'\[hear it\]\((.*?)\)', r'<audio controls preload="metadata" src="\1"></audio>', page)

def main(out):
    out = Path(out)
    shutil.rmtree(out, ignore_errors=True); out.mkdir()
    shutil.copytree(root/'examples', out/'examples'); shutil.copy(root/'LICENSE', out)
    shutil.copy(root/'examples/open-in-colab.svg', out)
    (out/'docs').mkdir(); shutil.copy(root/'docs/rooms.svg', out/'docs')
    card = (root/f'{lib}/pretrained/README.md').read_text(encoding='utf-8')
    card = card.replace(f'{get_config().doc_host}{get_config().doc_baseurl}/', 'index.ipynb')
    (out/'model-card.md').write_text(re.sub(r'\A---\n.*?\n---\n', '', card, flags=re.S), encoding='utf-8')
    (out/'pieces.md').write_text(pieces((out/'examples/README.md').read_text(encoding='utf-8')), encoding='utf-8')
    shown = sorted((root/'examples').glob('*.ipynb'))
    for name,p in lessons.items(): stage(p, out/f'{name}.ipynb', p.stem.replace('_', ' ', 1))
    for p in shown: stage(p, out/f'{page_of(p.stem)}.ipynb', then=fold if p.stem=='report' else None)
    trees = [toctree('Lessons', lessons), toctree('See and hear', ['pieces', *(page_of(p.stem) for p in shown), 'model-card'])]
    stage(root/'nbs/index.ipynb', out/'index.ipynb', then=lambda cells: (listen(cells), cells.extend(trees)))

if __name__=='__main__': main(sys.argv[1])
