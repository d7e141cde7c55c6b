"Store the studio in examples/studio.ipynb as it looks after its button was pressed once, everything else left as it comes: `python docs/studio.py`."
import os
from pathlib import Path
os.environ['IN_TEST'] = '1' # a picture, not live widgets
import nbformat
from music_transformer.studio import studio

here = Path(__file__).parent.parent/'examples'
path = here/'studio.ipynb'
os.chdir(here)
s = studio()
shown = s.picture().split('</table>')[0]
s.compose()
s.thread.join()
nb = nbformat.read(path, 4)
cell = next(c for c in nb.cells if 'studio()' in c.source and c.cell_type=='code')
bundle = s._repr_mimebundle_()
bundle['text/html'] = shown + '</table>' + bundle['text/html'].split('</table>', 1)[1] # the settings that it was made with
cell.outputs = [nbformat.v4.new_output('execute_result', data=bundle, execution_count=cell.execution_count)]
nbformat.write(nb, path)
