"""The studio in a browser without JupyterLab: its page in Chromium, its Python here, and a wire between the two.

`python tests/studio_live.py` measures: it plays a phrase on the keys, presses Answer, and listens to two minutes."""
import base64, json, sys, tempfile
from pathlib import Path
from conftest import chromium, flags as every
from music_transformer.studio import Studio

flags = every[:-1] # no sound before a gesture, as a person has it

PAGE = '''<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<style>:root{color-scheme:light dark}body{margin:8px;background:Canvas;color:CanvasText}%s</style><title>studio</title><main id="el"></main>
<script type="module">
const state = %s, listeners = {}
const tell = (name, ...args) => { for (const f of listeners[name] ?? []) f(...args) }
const bytes = s => Uint8Array.from(atob(s), c => c.charCodeAt(0))
const letters = b => btoa(Array.from(new Uint8Array(b), c => String.fromCharCode(c)).join(''))
const model = {
  get: k => state[k],
  on: (name, f) => { (listeners[name] ??= []).push(f) },
  off: () => {},
  send: (message, _, buffers = []) => window.toPython?.(JSON.stringify(message), buffers.map(letters)),
}
const pull = async () => {
  for (const {traits, message, buffers} of await window.fromPython()) {
    if (traits) { Object.assign(state, traits); tell('change') }
    else tell('msg:custom', message, buffers.map(o => new DataView(bytes(o).buffer)))
  }
  setTimeout(pull, 10)
}

;(await import(URL.createObjectURL(new Blob([document.querySelector('#esm').textContent], {type: 'text/javascript'})))).default.render({model, el: document.querySelector('#el')})
window.panel = document.querySelector('.mt-studio').mtPanel
if (window.fromPython) pull()
</script><script type="text/plain" id="esm">%s</script>'''

def traits(s): return {k: getattr(s, k) for k in s.trait_names(sync=True) if k[0]!='_' and k not in ('layout','tabbable','tooltip','comm')}

def write_page(s, path):
    "The page of a studio."
    path.write_text(PAGE%(s._css, json.dumps(traits(s)), s._esm), encoding='utf-8')

def wire(s:Studio, page):
    "Let the page and the studio hear each other."
    queue = []
    def send(message, buffers=()): queue.append(dict(message=message, buffers=[base64.b64encode(o).decode() for o in buffers]))
    def to_python(message, buffers): s.hear(None, json.loads(message), [base64.b64decode(o) for o in buffers])
    def from_python():
        out = queue[:]
        del queue[:len(out)]
        return out
    s.send = send
    s.observe(lambda c: queue.append(dict(traits={c['name']: c['new']})), [k for k in traits(s)])
    page.expose_function('toPython', to_python)
    page.expose_function('fromPython', from_python)

def open_studio(s:Studio, page, folder):
    "Show a studio in a page."
    write_page(s, Path(folder)/'studio.html')
    wire(s, page)
    page.goto((Path(folder)/'studio.html').as_uri())
    page.wait_for_function('window.panel')

def measure(seconds:float, folder):
    from playwright.sync_api import sync_playwright
    s = Studio(themes=[])
    s.set(seconds=seconds)
    with sync_playwright() as pw:
        page = pw.chromium.launch(executable_path=chromium, args=flags).new_page(viewport=dict(width=1400, height=900))
        open_studio(s, page, folder)
        page.wait_for_function('panel.instrument.samples')
        page.locator('.mt-help').click()
        for key in ('KeyA','KeyD','KeyG','KeyK'):
            page.keyboard.down(key)
            page.wait_for_timeout(200)
            page.keyboard.up(key)
        page.evaluate('''() => {
            const {instrument} = panel, sound = instrument.sound, strike = sound.strike.bind(sound)
            document.querySelector('.mt-answer').addEventListener('click', () => { window.pressed = sound.now }, true)
            sound.strike = (pitch, velocity, when) => { window.first ??= when; return strike(pitch, velocity, when) }
        }''')
        page.locator('.mt-answer').click()
        page.wait_for_function('window.first')
        print(f'from Answer to the first note: {page.evaluate("first-pressed")*1000:.0f} ms')
        page.wait_for_function('!panel.instrument.playing', timeout=1000*seconds*2+60_000)
        i = page.evaluate('[panel.instrument.clock.take.horizon, panel.instrument.underruns, panel.instrument.clock.late]')
        print(f'{i[0]:.0f} s of music heard at 1x: {i[1]} underruns, {i[2]} events late')

if __name__=='__main__':
    with tempfile.TemporaryDirectory() as d: measure(float(sys.argv[1]) if len(sys.argv)>1 else 120., d)
