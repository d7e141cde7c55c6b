"""How fast a corpus becomes a token store; and one reader beside others, on a sample of the same files.

    python tests/corpus_speed.py [maestro-v3.0.0-midi.zip [processes]]"""
import io, os, resource, sys, tempfile, time, warnings
from pathlib import Path
import numpy as np, pretty_midi, symusic
from music_transformer.data import corpus, download_maestro, read_midi
from music_transformer.processor import prepare

def line(what, seconds, files, notes, tokens=None):
    rate = lambda n,unit: f'{n/seconds:12,.0f} {unit}/s'
    print(f'{what:34}{seconds:8.2f} s{rate(files, "files")}{rate(notes, "notes")}' + (rate(tokens, 'tokens') if tokens else ''), flush=True)

def with_symusic(raw):
    "Its notes with the pedal's messages, as arrays in order of time: what the rules begin with."
    score = symusic.Score.from_midi(raw).to('second')
    for o in score.tracks: o.controls.numpy()
    notes = [o.notes.numpy() for o in score.tracks]
    start = np.concatenate([o['time'] for o in notes])
    return start[np.argsort(start, kind='stable')]

def with_pretty_midi(raw): return pretty_midi.PrettyMIDI(io.BytesIO(raw)).instruments[0].notes

def main(path, n_workers=2):
    n_workers = int(n_workers)
    with tempfile.TemporaryDirectory() as d:
        t = time.perf_counter()
        store = prepare(path, Path(d)/'store', n_workers=n_workers, progress=sys.stderr.isatty())
        line(f'whole archive to store, {n_workers} processes', time.perf_counter()-t, len(store), sum(store.pieces['notes']), len(store.tokens))
        mb = [resource.getrusage(o).ru_maxrss/1024 for o in (resource.RUSAGE_SELF,resource.RUSAGE_CHILDREN)]
        t = time.perf_counter(); packed = store.pack(Path(d)/'store.npz'); took = time.perf_counter()-t
        t = time.perf_counter(); type(store)(packed)
        print(f'{"packed for a journey":34}{took:8.2f} s{packed.stat().st_size/1e6:12.1f} MB, opened again in {time.perf_counter()-t:.2f} s', flush=True)
    raws = [o.read_bytes() for o in corpus(path)[::50]]
    warnings.simplefilter('ignore')
    for what,f in (('reading a sample, one process', read_midi), ('symusic, the same sample', with_symusic), ('pretty_midi, the same sample', with_pretty_midi)):
        t = time.perf_counter(); notes = sum(len(f(o)) for o in raws)
        line(what, time.perf_counter()-t, len(raws), notes)
    print(f'peak memory: {mb[0]:.0f} MB, and {mb[1]:.0f} MB in each worker (pages shared with the first counted again)')

if __name__=='__main__': main(*sys.argv[1:] or [os.environ.get('MAESTRO_ZIP') or download_maestro()])
