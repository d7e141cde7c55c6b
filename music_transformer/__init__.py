"""A Music Transformer to read, run and hear. The everyday names, loaded when they are used:

    import music_transformer as mt
    model = mt.load()
    piece = mt.generate(model, seconds=20)
    mt.write_piece(piece, 'piece')
"""
import sys
from importlib import import_module
from types import ModuleType

_names = dict(
    midi=['read_midi', 'write_midi'],
    data=['Performance'],
    processor=['encode', 'decode'],
    corpus=['prepare', 'corpus', 'TokenStore'],
    settings=['ModelConfig', 'TrainConfig'],
    model=['MusicTransformer'],
    training=['fit', 'evaluate'],
    generation=['generate', 'stream'],
    sound=['render', 'write_audio'],
    playback=['player', 'write_piece', 'write_roll'],
    studio=['studio'],
    originality=['originality'])
_home = {name: room for room,names in _names.items() for name in names}
__all__ = ['load', *_home]

def load(path=None, **kw):
    "The packaged model, or one from a folder, a run, or the hub: `MusicTransformer.from_pretrained`."
    return import_module('.model', __name__).MusicTransformer.from_pretrained(path, **kw)

def __getattr__(name):
    if name=='__version__': return import_module('importlib.metadata').version('music_transformer')
    if name not in _home: raise AttributeError(f'module {__name__} has no attribute {name}')
    return getattr(import_module(f'.{_home[name]}', __name__), name)

class _Room(ModuleType):
    "A room that has the name of something in it is that, when it is called: `mt.studio()`, `mt.corpus(path)`."
    def __call__(self, *args, **kw):
        name = self.__name__.rpartition('.')[2]
        return getattr(self, name)(*args, **kw)

class _House(ModuleType):
    "Where a room that was imported gets its place."
    def __setattr__(self, name, value):
        if isinstance(value, ModuleType) and name in _home: value.__class__ = _Room
        super().__setattr__(name, value)

sys.modules[__name__].__class__ = _House

def __dir__(): return sorted([*globals(), *__all__, '__version__'])
