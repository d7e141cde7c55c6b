"How fast JavaScript composes in a Chromium on this machine: `make engine-speed [ARGS='CHECKPOINT ...']`."
import sys
from pathlib import Path
from music_transformer.engine import _load, checkpoint_files, in_browser, packaged

SECONDS,SEEDS = 20,(1,2,3)
code = _load + '''
const once = seed => {
  const take = new Take(model.cfg, {...data.asked, seed}), began = performance.now()
  for (const i of compose(model, take));
  return [take.past.ids.length - 1, take.past.steps/100, (performance.now() - began)/1000]
}
once(0) // warm
return data.seeds.map(once)
'''

def speed(folder, **asked):
    "Print ids a second, and how many times faster than it sounds."
    data = checkpoint_files(folder) | dict(seeds=SEEDS, asked=dict(seconds=SECONDS) | asked)
    runs = in_browser(code, data, timeout=600)
    ids,music,took = map(sum, zip(*runs))
    slowest = min(m/t for _,m,t in runs)
    print(f'{folder} {asked or ""}: {ids/took:.0f} ids a second, {music/took:.1f} times real time (the densest piece {slowest:.1f})')

for folder in sys.argv[1:] or [packaged(), Path('examples/long-run/weights')]:
    speed(folder)
    if checkpoint_files(folder)['config'].get('echo'): speed(folder, guidance=2, directions=[0,6,0,0,0]) # a twin from the first id on
