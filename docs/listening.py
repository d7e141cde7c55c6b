"""Write a blind listening test: `make listening-test [ARGS='MODEL ...']`. The page is out/listening.html, its key out/listening-key.csv.

MAESTRO_ZIP names the archive that the real pieces come from; without it the test has none, and says so."""
import os, sys
from pathlib import Path
import numpy as np
from music_transformer.corpus import corpus
from music_transformer.generation import generate
from music_transformer.judge import shuffled
from music_transformer.listening import listening_test
from music_transformer.model import MusicTransformer

N,SECONDS = 5,30

def real_pieces()->list:
    "The middle half minutes of pieces of the validation split."
    found = corpus(os.environ['MAESTRO_ZIP']).where(split='validation')
    whole = [found[i].read() for i in np.linspace(3, len(found)-3, N).astype(int)]
    return [p[p.seconds/2:p.seconds/2+SECONDS] for p in whole]

groups = {}
for path in sys.argv[1:] or [None]:
    model = MusicTransformer.from_pretrained(path)
    groups[path or 'packaged'] = [p[:SECONDS] for p in generate(model, 2*SECONDS, seed=range(1, N+1))]
if 'MAESTRO_ZIP' in os.environ: groups |= dict(real=real_pieces())
else: print('MAESTRO_ZIP is not set: there are no real pieces in this test.')
groups['shuffled'] = [shuffled(p) for p in groups.get('real', groups[path or 'packaged'])][:3]
Path('out').mkdir(exist_ok=True)
print(listening_test(groups, 'out/listening.html'), 'and out/listening-key.csv')
