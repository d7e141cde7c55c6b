// The engine in a thread of its own, so that the page stays awake. It is told {load}, {compose} or {stop}, and answers
// {ready}, then {events} as they are composed, {ended} with its returns, or {error}: a sentence. Each answer names its
// take.
import {Model} from './engine.js'
import {Take, compose, stream} from './compose.js'

const SLICE = 25 // milliseconds between two looks at what the page says
const USUAL = 40 // ids a second of music: what the pieces of MAESTRO take
let model = null, current = null

const {port1: door, port2: bell} = new MessageChannel() // a ring comes back behind whatever the page has said meanwhile
const breath = () => new Promise(resolve => {
  door.onmessage = resolve
  bell.postMessage(0)
})
const seconds = since => (performance.now() - since)/1000

// A file as a buffer: a page that may not fetch has it as base64 text.
function buffer(text) { return Uint8Array.from(atob(text), o => o.charCodeAt(0)).buffer }

// How many times faster than it sounds this device composes music of the usual density: half a second of trial.
function trial() {
  const began = performance.now()
  let n = 0
  for (const i of compose(model, new Take(model.cfg, {seconds: 30, seed: 7}))) {
    n++
    if (seconds(began) > .5) break
  }
  return n/seconds(began)/USUAL
}

function load({config, files}) {
  model = new Model(config, files.map(buffer))
  trial() // a compiler that has seen the work does it faster
  postMessage({ready: {speed: trial()}})
}

// Compose, and hand over what there is each time that a slice is over; the first event at once.
async function makeTake(take, asked) {
  current = take
  const piece = new Take(model.cfg, asked)
  const told = {take, events: [], from: 0, at: 0, speed: 0}
  let slice = performance.now(), began = null
  for (const o of stream(model, piece)) {
    if (o) note(told, o)
    if (o && !o.given) began ??= performance.now()
    const first = told.events.length && !told.handed
    if (!first && seconds(slice)*1000 < SLICE) continue
    if (began) told.speed = (told.at - told.from)/Math.max(seconds(began), .001)
    hand(told)
    await breath()
    if (current !== take) return postMessage({take, ended: 'stopped', returns: piece.cameBack})
    slice = performance.now()
  }
  hand(told)
  postMessage({take, ended: 'whole', returns: piece.cameBack})
}

function note(told, o) {
  if (o.pitch !== undefined) told.events.push(o)
  told.at = o.time
  if (o.given) told.from = o.time
}

function hand(told) {
  const {take, events, from, at, speed} = told
  postMessage({take, events, from, at, speed})
  told.handed ||= events.length > 0
  told.events = []
}

onmessage = async ({data}) => {
  try {
    if (data.load) load(data.load)
    if (data.compose) await makeTake(data.take, data.compose)
    if (data.stop) current = null
  } catch (e) {
    current = null
    postMessage({take: data.take, error: e.message})
  }
}
