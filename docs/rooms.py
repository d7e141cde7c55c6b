"Draw the map of the rooms from the notebooks' own first lines: `python docs/rooms.py` writes docs/rooms.svg."
import json, re, textwrap
from html import escape
from pathlib import Path

root = Path(__file__).parent.parent
WIDE,TALL,GAP,MARGIN = 206,96,10,60

def rooms()->dict: # chapter number: [(name, sentence)]
    "Every notebook's name and the sentence under its title, by chapter."
    out = {}
    for path in sorted((root/'nbs').glob('[0-9]*.ipynb')):
        cell = json.loads(path.read_text(encoding='utf-8'))['cells'][0]
        quote = next(o for o in ''.join(cell['source']).splitlines() if o.startswith('> '))
        sentence = re.split(r'\. |, over the|: ratios|, exact,', quote[2:].replace('`', ''))[0].rstrip('.')
        chapter = '' if path.name.startswith('000') else path.name[:2]
        out.setdefault(chapter, []).append((path.stem, sentence))
    return out

def box(x, y, name, sentence)->str:
    "A room: its name, and below it what happens there."
    lines = textwrap.wrap(sentence, 32)[:5]
    text = ''.join(f'<tspan x="{x+10}" dy="13">{escape(o)}</tspan>' for o in lines)
    return (f'<rect x="{x}" y="{y}" width="{WIDE}" height="{TALL}" rx="7" fill="#f4f6f4" stroke="#8aa394"/>'
            f'<text x="{x+10}" y="{y+20}" font-weight="600" fill="#1d2b23">{escape(name)}</text>'
            f'<text x="{x+10}" y="{y+24}" font-size="10.5" fill="#3a4740">{text}</text>')

def drawing()->str:
    "The whole house: a storey for each chapter, the lowest first."
    storeys = rooms()
    width = MARGIN+max(map(len, storeys.values()))*(WIDE+GAP)
    height = len(storeys)*(TALL+GAP)+GAP
    parts = []
    for row,(chapter,found) in enumerate(storeys.items()):
        y = GAP+row*(TALL+GAP)
        label = {'': 'below'}.get(chapter, chapter)
        parts.append(f'<text x="{MARGIN-14}" y="{y+TALL/2+5}" text-anchor="end" fill="#6b7f73">{label}</text>')
        parts += [box(MARGIN+n*(WIDE+GAP), y, *o) for n,o in enumerate(found)]
    title = '<title>The rooms of the house, chapter by chapter</title>'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" font-family="system-ui, sans-serif" '
            f'font-size="13" role="img">{title}{"".join(parts)}</svg>\n')

if __name__=='__main__': (root/'docs/rooms.svg').write_text(drawing(), encoding='utf-8')
