"Our ids through MidiTok and back: a hundred pieces of MAESTRO, each by MidiTok's own hands too."
import os, sys
from pathlib import Path
import numpy as np, pytest
from music_transformer import miditok_bridge as bridge
from music_transformer.corpus import corpus
from music_transformer.midi import read_midi
from music_transformer.processor import PAD, decode, encode

root = Path(__file__).parent.parent
rng = np.random.default_rng(0)

@pytest.mark.parametrize('n', [0, 1, 2, 50, 2000])
def test_any_ids_have_a_name(n):
    "Also those that make no piece; and then one spelling is left."
    ids = rng.integers(0, PAD+3, n)
    names = bridge.to_names(ids)
    assert set(names)<=set(bridge.miditok_names())
    once = bridge.from_names(names)
    assert np.array_equal(bridge.from_names(bridge.to_names(once)), once)

def test_a_velocity_follows_every_strike():
    names = bridge.to_names(encode(read_midi(root/'examples/prelude.mid')))
    for a,b in zip(names, names[1:]): assert a.startswith('NoteOn')==b.startswith('Velocity'), (a, b)

def test_a_strange_word_is_named():
    for bad in ('Bar_None','NoteOn_128','TimeShift_2.1.50','',7):
        with pytest.raises(ValueError, match='is no word of'): bridge.from_names(['BOS_None', bad])
    for o in (['Velocity_83'], ['NoteOn_60'], ['NoteOn_60','NoteOff_60']):
        with pytest.raises(ValueError, match='is followed by a Velocity'): bridge.from_names(o)

def test_without_miditok_one_is_told(monkeypatch):
    bridge.miditok_tokenizer.cache_clear()
    monkeypatch.setitem(sys.modules, 'miditok', None)
    with pytest.raises(ImportError, match='pip install .music_transformer.miditok.'): bridge.to_miditok([389, 390])

def notes_of(score):
    n = score.tracks[0].notes.numpy()
    rows = np.stack([n['time'], n['time']+n['duration'], n['pitch'], n['velocity']//4], 1)
    return rows[np.lexsort((rows[:,2], rows[:,0]))]

def there_and_back(ids):
    "By our own hands, and by MidiTok's: it reads our tokens as notes, and writes the notes in tokens."
    tokenizer = bridge.miditok_tokenizer()
    seq = bridge.to_miditok(ids)
    assert np.array_equal(bridge.from_miditok(seq), ids) and np.array_equal(bridge.from_miditok(seq.ids), ids)
    n = decode(ids).notes
    ours = np.stack([np.rint(n['start']*100), np.rint(n['end']*100), n['pitch'], n['velocity']//4], 1)
    score = tokenizer.decode([seq])
    assert np.array_equal(notes_of(score), ours)
    assert np.array_equal(bridge.from_miditok(tokenizer.encode(score)[0]), ids)

def needs_miditok(): pytest.importorskip('miditok', reason='MidiTok is not installed (pip install .[miditok])')

def test_the_examples():
    needs_miditok()
    assert set(bridge.miditok_tokenizer().vocab)==set(bridge.miditok_names())
    for path in (root/'examples').glob('*-*/p*.mid'): there_and_back(encode(read_midi(path)))

def test_a_hundred_pieces():
    needs_miditok()
    if not (where:=os.environ.get('MAESTRO_ZIP')): pytest.skip('MAESTRO_ZIP does not name the MAESTRO v3.0.0 MIDI archive')
    hundred = list(corpus(where))[::12][:100]
    assert len(hundred)==100
    for piece in hundred: there_and_back(encode(piece.read()))
