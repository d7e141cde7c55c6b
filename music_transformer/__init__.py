"""A Music Transformer to read, run and hear. The everyday names, loaded when they are used:

    import music_transformer as mt
    model = mt.load()
    piece = mt.generate(model, seconds=20)
    mt.write_piece(piece, 'piece')
"""
from importlib import import_module

_names = dict(
    midi=['read_midi', 'write_midi'],
    data=['Performance'],
    processor=['encode', 'decode'],
    corpus=['prepare', 'TokenStore'],
    settings=['ModelConfig', 'TrainConfig'],
    model=['MusicTransformer'],
    training=['fit', 'evaluate'],
    generation=['generate', 'stream'],
    given=['fill', 'accompany', 'vary', 'bridge', 'complete'],
    sound=['render', 'write_audio'],
    playback=['player', 'write_piece', 'write_roll'])
_home = {name: room for room,names in _names.items() for name in names}
__all__ = ['load', *_home]

def load(path:str=None, **kw):
    "The packaged model, or one from a folder, a run, or the hub: `MusicTransformer.from_pretrained`."
    return import_module('.model', __name__).MusicTransformer.from_pretrained(path, **kw)

def __getattr__(name):
    if name=='__version__': return _version()
    if name not in _home: raise AttributeError(f'module {__name__} has no attribute {name}')
    return getattr(import_module(f'.{_home[name]}', __name__), name)

def _version():
    "As installed. `AttributeError` where the package is only on the path."
    about = import_module('importlib.metadata')
    try: return about.version('music_transformer')
    except about.PackageNotFoundError: raise AttributeError('not installed: no __version__') from None

def __dir__(): return sorted([*globals(), *__all__, '__version__'])
