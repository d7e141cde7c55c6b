"Every public parameter says its type, for the eye, for editors and for type checkers (`py.typed` lies in the package)."
import ast
from pathlib import Path
import pytest

package = Path(__file__).parent.parent/'music_transformer'
modules = [o for o in sorted(package.glob('*.py')) if o.name!='_modidx.py']

def public(name): return name[0]!='_' or name in ('__init__','__call__')

def functions(tree):
    "The public functions of a module, and the public methods of its public classes, by name."
    for o in tree.body:
        if isinstance(o, ast.FunctionDef) and public(o.name): yield o.name,o
        if isinstance(o, ast.ClassDef) and public(o.name):
            for m in o.body:
                if isinstance(m, ast.FunctionDef) and public(m.name): yield f'{o.name}.{m.name}',m

def untyped(text):
    "Parameters without a type."
    for name,f in functions(ast.parse(text)):
        for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs):
            if a.annotation is None and a.arg not in ('self','cls'): yield f'{name}: {a.arg}'

def test_the_look_finds_what_has_none():
    assert list(untyped('def f(a:int, b, *, c=1): pass\nclass C:\n def m(self, x): pass\n def _n(self, y): pass'))==['f: b','f: c','C.m: x']

@pytest.mark.parametrize('path', modules, ids=lambda p: p.name)
def test_every_public_parameter_has_a_type(path): assert not list(untyped(path.read_text(encoding='utf-8')))

def test_it_is_marked_as_typed(): assert (package/'py.typed').exists()
