"Is it copied? What is taken from the training set is found, whatever was done to it; what was never met is not."
import os
from pathlib import Path
import numpy as np, pytest
from music_transformer.corpus import corpus
from music_transformer.data import Performance
from music_transformer.originality import FEWEST, Index, marks, originality, packaged_index
from music_transformer.processor import encode

ZIP = os.environ.get('MAESTRO_ZIP')
maestro = pytest.mark.skipif(not ZIP, reason='MAESTRO_ZIP does not name the MAESTRO v3.0.0 MIDI archive')

def spoiled(p, rng):
    "Transposed and slower, a tenth of the notes left out and as many put in."
    x = p.transpose(int(rng.integers(1, 4))).stretch(1.08).notes
    x = x[rng.random(len(x))>.1]
    more = x[rng.integers(0, len(x), len(x)//9)].copy()
    more['pitch'] = (more['pitch'].astype(int)+rng.integers(-12, 13, len(more))).clip(21, 108)
    more['start'] += rng.uniform(0, .3, len(more))
    more['end'] = more['start']+.3
    return Performance(np.concatenate([x, more]))

@maestro
def test_a_spoiled_copy_is_found_and_an_unknown_piece_is_not():
    index,pieces,rng = packaged_index(),corpus(ZIP),np.random.default_rng(0)
    train = pieces.where(split='train')
    for piece in train[100:700:150]:
        o = originality(spoiled(piece.read()[:90], rng))
        same = [n for n in index.names if n==f'{piece.composer}: {piece.title}']
        assert o.kin in same, (o.kin, piece.title)
    strangers = [originality(p.read()[:90]) for p in pieces.where(split='validation')[5::30]]
    assert max(o.longest for o in strangers)<50 and max(o.kinship for o in strangers)<.05
    taken = originality(train[3].read()[10:60])
    assert taken.longest>.5*taken.notes and taken.same_time==taken.longest and taken.chance<.01
    assert taken.kinship>.7 # what is copied stands there, but for common figures

@maestro
def test_the_packaged_index_is_that_of_maestro():
    index = packaged_index()
    first = np.append(0, np.cumsum(index.count))
    train = sorted(corpus(ZIP).where(split='train'), key=lambda o: o.file)
    assert index.names==[f'{o.composer}: {o.title}' for o in train]
    for n in (0, 500, 961): assert np.array_equal(index.marks[first[n]:first[n+1]], marks(encode(train[n].read())))

def test_small_and_empty_pieces():
    assert len(marks(encode(Performance([]))))==0
    with pytest.raises(ValueError, match='too short'): originality(Performance([(i, i+1, 60, 64) for i in range(8)]))
    alone = originality(Performance([(i*.3, i*.3+.2, 60, 64) for i in range(200)]))
    assert not alone.longest, 'a repeated note is common'

def test_an_index_of_another_version(tmp_path):
    import json
    path = packaged_index().save(tmp_path/'a.npz')
    with np.load(path) as z: found = dict(z)
    found['about'] = np.frombuffer(json.dumps(dict(version='x', names=[])).encode(), np.uint8)
    np.savez(path, **found)
    with pytest.raises(ValueError, match='version x'): Index.load(path)

def test_little_music_measures_no_chance():
    "Where but few minutes were never met, none of them sharing a run says nothing of one in a hundred."
    tune = Performance([(i*.2, i*.2+.2, 60+7*i*i%17, 64) for i in range(60)])
    kept = marks(encode(tune))
    def chance(minutes): return originality(tune, Index(kept, np.array([len(kept)]), ['it'], np.zeros(minutes, int))).chance
    assert np.isnan(chance(2)) and np.isnan(chance(FEWEST-1)) and chance(FEWEST)==0
    for path in ('a.mid', Path('a.mid')):
        with pytest.raises(TypeError, match='read_midi'): originality(path)
