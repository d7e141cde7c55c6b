// The page: an `Instrument`, a worker that composes, and the buttons between them. `PAGE` says what the model is.
const $ = id => document.getElementById(id)
const MOST_TAKES = 20, AHEAD = .4 // seconds of music that must be there before it begins to sound

// -- what lies beside the page comes as scripts, because a page on a disk may not fetch
globalThis.mtFiles = {}
function fetchFile(name) {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script')
    script.onload = () => resolve(mtFiles[name])
    script.onerror = () => reject(new Error(`${name}.js is missing: it belongs beside this page.`))
    script.src = `${name}.js`
    document.head.append(script)
  })
}

function bytes(base64) { return Uint8Array.from(atob(base64), o => o.charCodeAt(0)).buffer }

// -- a take as a MIDI file: a header, and one track whose ticks are milliseconds
function variable(n) { // seven bits a byte, all but the last with the eighth bit set
  const out = [n & 127]
  while (n >>= 7) out.unshift(n & 127 | 128)
  return out
}

function midiFile(notes) {
  const events = notes.flatMap(({start, end, pitch, velocity}) => {
    const on = Math.round(start*1000), off = Math.max(Math.round(end*1000), on + 1)
    return [[on, 0x90, pitch, velocity], [off, 0x80, pitch, 0]]
  })
  events.sort((a, b) => a[0] - b[0] || a[1] - b[1]) // at one time releases first
  const track = [0, 0xff, 0x51, 3, 0x07, 0xa1, 0x20]  // half a second a beat, 500 ticks
  let now = 0
  for (const [tick, ...what] of events) {
    track.push(...variable(tick - now), ...what)
    now = tick
  }
  track.push(0, 0xff, 0x2f, 0)
  const long = n => [n >>> 24, n >>> 16 & 255, n >>> 8 & 255, n & 255]
  const head = [0, 0, 0, 1, 500 >> 8, 500 & 255] // one track
  return new Uint8Array([...ascii('MThd'), ...long(6), ...head, ...ascii('MTrk'), ...long(track.length), ...track])
}

function ascii(text) { return [...text].map(o => o.charCodeAt(0)) }

// -- takes: the last ones stay in this browser, if it lets us. What is in view is one of them, or is just coming in.
const takes = [], gone = [] // {id, title, notes}; and what was deleted, with its place
let shown = null            // the id of the take in view
const SHELF = 'music_transformer.takes', SEED = 'music_transformer.seed'

function remember(name, text) {
  try { localStorage.setItem(name, text) } catch { }
}

function recalled(name) {
  try { return localStorage.getItem(name) } catch { return null }
}

function isNote(o) {
  const whole = [o?.pitch, o?.velocity].every(n => Number.isInteger(n) && n >= 0 && n < 128)
  return whole && [o.start, o.end].every(Number.isFinite) && o.start >= 0 && o.end >= o.start
}

function isTake(o) { return typeof o?.title === 'string' && Array.isArray(o.notes) && o.notes.every(isNote) }

// What lies on the shelf; anybody may have written there.
function stored() {
  let found = null
  try { found = JSON.parse(recalled(SHELF)) } catch { }
  if (!Array.isArray(found)) return []
  return found.filter(isTake).map((o, n) => ({id: `take ${n}`, ...o}))
}

// Another tab changed the shelf, or the page wakes.
function recallTakes() {
  takes.splice(0, takes.length, ...stored())
  if (making || piano.recording || takes.some(o => o.id === shown)) listTakes()
  else showTake(takes.at(-1)?.id)
}

function keepTakes() {
  remember(SHELF, JSON.stringify(takes))
  listTakes()
}

// Put a take on the list, and into view. Returns a sentence if another one had to go.
function addTake(title, notes) {
  if (!notes.length) return showTake(shown)
  shown = `${Date.now()} ${Math.random()}`
  takes.push({id: shown, title, notes})
  const [oldest] = takes.splice(0, takes.length - MOST_TAKES)
  keepTakes()
  return oldest && `${MOST_TAKES} takes are kept: the oldest, ${oldest.title}, made room.`
}

function listTakes() {
  const options = takes.map(({id, title}) => new Option(title, id, false, id === shown))
  $('takes').replaceChildren(...options.length ? options : [new Option('none yet')])
  enable()
}

function showTake(id) {
  endPhrase()
  shown = id
  const {title, notes} = takes.find(o => o.id === id) ?? {title: '', notes: []}
  piano.load(notes, title)
  listTakes()
}

// The take that is in view goes.
function dropTake() {
  const at = takes.findIndex(o => o.id === shown)
  if (making || at < 0) return
  if (piano.recording) return say('It is still being recorded: press Done first.')
  const [take] = takes.splice(at, 1)
  gone.push({take, at})
  keepTakes()
  showTake((takes[at] ?? takes.at(-1))?.id)
  say(`${take.title} is deleted; press Bring back to have it again.`)
}

function restoreTake() {
  const {take, at} = gone.pop()
  takes.splice(at, 0, take)
  keepTakes()
  showTake(take.id)
  say(`${take.title} is back.`)
}

// A recorded phrase becomes a take.
function addPhrase({notes, recorded}) {
  if (!recorded) return
  const before = takes.filter(o => o.title.startsWith('Your phrase')).length
  const left = addTake(before ? `Your phrase ${before + 1}` : 'Your phrase', notes)
  showTake(shown)
  if (left) say(left)
}

function endPhrase() { if (piano.recording) piano.phrase() }

// -- composing
let worker = null, ready = false, speed = 1, making = null, number = 0

function say(sentence) {
  if ($('state').textContent !== sentence) $('state').textContent = sentence
}

// Which buttons have something to do. Where one goes that had the focus, the instrument has it: its keys still play.
function enable() {
  const busy = making !== null, there = takes.length > 0, focused = document.activeElement
  $('compose').disabled = $('answer').disabled = !ready || busy
  $('continue').disabled = !ready || busy || !there
  $('stop').disabled = !busy
  $('save').disabled = $('drop').disabled = $('takes').disabled = busy || !there
  $('restore').disabled = busy || !gone.length
  if (focused?.disabled) $('instrument').focus({preventScroll: true})
}

function pace(speed) {
  const times = speed < 10 ? speed.toFixed(1) : Math.round(speed)
  if (speed >= 1) return `This device composes ${times} times as fast as it sounds.`
  const slow = `This device composes more slowly than it sounds (${times} of real time)`
  return `${slow}: a piece begins when enough of it is there.`
}

// What the model is told: what to do, when to go back, and how many times that counts.
function told() {
  if (!PAGE.config.echo) return {}
  const out = {returns: $('returns').checked ? PAGE.habit : null, guidance: +$('guidance').value}
  if (PAGE.directions.length) out.directions = [...$('directions').querySelectorAll('select')].map(o => o.selectedIndex)
  return out
}

// How many models a piece takes: two where what is told shall count more than once.
function cost({returns, directions, guidance = 1}) {
  const isTold = returns || directions?.some(Boolean) || PAGE.config.ends
  return guidance !== 1 && isTold ? 2 : 1
}

// Ask for a piece. `primer` are notes to go on from.
function compose(title, primer = null) {
  if (!$('panel').reportValidity()) return
  endPhrase()
  const asked = {seconds: +$('seconds').value, seed: +$('seed').value, temperature: +$('temperature').value, primer}
  Object.assign(asked, told())
  making = {take: ++number, title: `${title}, seed ${asked.seed}`, seconds: asked.seconds, speed: speed/cost(asked)}
  making.sounding = making.stopped = false
  if (!$('locked').checked) $('seed').value = (asked.seed + 1)%(Number.MAX_SAFE_INTEGER + 1)
  remember(SEED, $('seed').value)
  piano.begin(making.title)
  worker.postMessage({take: making.take, compose: asked})
  say(primer ? 'It listens to what was played…' : 'It composes…')
  enable()
}

// Seconds of music that must be there before it sounds, so that the rest will come in time; a fifth for safety.
function inHand(speed) { return Math.max(AHEAD, making.seconds*(1 - .8*speed)) }

function begin(from) {
  making.sounding = true
  say('It composes…')
  piano.play(from)
}

function hear({take, events, from, at, speed: now, ended, returns, error}) {
  if (take !== making?.take) return
  if (error) return finish(error)
  if (ended) return finish(`${ended === 'stopped' ? 'Stopped.' : 'Composed.'}${cameBack(returns)}`)
  for (const o of events) piano.add(o)
  piano.add({time: at}) // so far all is known
  making.from = from
  if (making.sounding || making.stopped) return
  const wanted = inHand(Math.min(now || speed, making.speed))
  if (at - from >= wanted) return begin(from)
  const tenths = Math.floor(10*(at - from)/wanted) // said in tens, so that a screen reader is not kept busy
  if (wanted > AHEAD) say(`${pace(making.speed)} ${10*tenths} % of that is there.`)
}

// Which earlier music was taken up.
function cameBack(returns) {
  if (!returns.length) return ''
  const each = returns.map(o => `at ${clock(o.when)} to ${clock(o.since)}`)
  return ` It came back ${each.join(', ')}.`
}

function finish(sentence) {
  const {title, sounding, stopped, from} = making
  piano.end()
  if (!sounding && !stopped && piano.notes.length) begin(from ?? 0)
  making = null
  const left = addTake(title, piano.notes)
  say(left ? `${sentence} ${left}` : sentence)
}

function stop() {
  making.stopped = true
  worker.postMessage({stop: true})
  piano.stop()
}

// The phrase that was recorded, or just played, is continued.
function answer() {
  const notes = piano.phrase()
  if (!notes.length) return say('There is nothing to answer yet: play a phrase on the keys, then press Answer.')
  compose('Answer', notes.map(plain))
}

function plain({start, end, pitch, velocity}) { return {start, end, pitch, velocity} }

// Go on from the take that is shown: from the mark in it, from where it was stopped, or from its end.
function goOn() {
  endPhrase()
  const until = piano.marked?.[0] ?? (piano.position || Infinity)
  const notes = piano.notes.filter(o => o.start < until)
  if (!notes.length) return say('There is nothing before this point to go on from.')
  compose('Continued', notes.map(plain))
}

function save() {
  endPhrase()
  const link = document.createElement('a'), notes = piano.notes
  link.href = URL.createObjectURL(new Blob([midiFile(notes)], {type: 'audio/midi'}))
  link.download = `${(takes.find(o => o.id === shown)?.title ?? 'take').toLowerCase().replace(/[^a-z0-9]+/g, '-')}.mid`
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}

// How many times what is told may count: as the model learned it, or more.
function offerGuidance() {
  const times = [...new Set([1, 1.5, 2, 3, PAGE.guidance])].sort((a, b) => a - b)
  const word = n => n === 1 ? 'as it learned' : `${n} times`
  $('guidance').append(...times.map(n => new Option(word(n), n, false, n === PAGE.guidance)))
}

// What a model that hears directions may be told, each with its classes.
function offerDirections() {
  for (const [name, classes] of PAGE.directions) {
    const label = document.createElement('label'), select = document.createElement('select')
    select.append(...['as it likes', ...classes].map(o => new Option(o)))
    label.append(name, ' ', select)
    $('directions').append(label)
  }
}

// -- the page wakes
async function start() {
  const source = URL.createObjectURL(new Blob([$('worker').textContent], {type: 'text/javascript'}))
  worker = new Worker(source)
  worker.onmessage = ({data}) => data.ready ? wake(data.ready) : data.take ? hear(data) : say(data.error)
  worker.onerror = () => say('The browser would not start the engine: it allows this page no worker.')
  if (PAGE.piano) fetchFile('play-piano').then(o => piano.loadPiano(bytes(o))).catch(() => { }) // else its own tone
  worker.postMessage({load: {config: PAGE.config, files: [await fetchFile('play-model')]}})
  delete mtFiles['play-model']
}

function wake(found) {
  ready = true
  speed = found.speed
  say(`Ready. ${pace(speed)}`)
  enable()
}

const piano = new Instrument($('instrument'))
// The page is nothing but the instrument, so it hears keys that are pressed anywhere.
const beside = e => !piano.root.contains(e.target)
document.addEventListener('keydown', e => { if (beside(e)) piano.typed(e) })
document.addEventListener('keyup', e => { if (beside(e)) piano.untyped(e) })
piano.actions.append($('actions'))
$('instrument').addEventListener('mt-enter', () => {
  if (ready && !making) piano.recording ? answer() : compose('Composed')
})
$('instrument').addEventListener('mt-undo', dropTake)
$('instrument').addEventListener('mt-phrase', e => addPhrase(e.detail))
window.addEventListener('storage', e => { if (e.key === SHELF) recallTakes() })
const taking = {save, drop: dropTake, restore: restoreTake}
const doing = {compose: () => compose('Composed'), answer, continue: goOn, stop, ...taking}
for (const [id, act] of Object.entries(doing)) $(id).addEventListener('click', act)
$('takes').addEventListener('change', () => showTake($('takes').value))
$('temperature').addEventListener('input', () => { $('warmth').textContent = (+$('temperature').value).toFixed(2) })
$('panel').addEventListener('submit', e => e.preventDefault())
offerDirections()
offerGuidance()
if (!PAGE.config.echo) for (const id of ['back', 'heed']) $(id).remove()
if (/^\d+$/.test(recalled(SEED))) $('seed').value = recalled(SEED)
recallTakes()
start().catch(e => say(e.message))
