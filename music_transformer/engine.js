// The model in plain JavaScript: what `State`, `Echo`, `Cache` and `Step` are in Python, under the same names, for one
// piece at a time. An ES module without imports; lesson 05b shows it beside the Python. Composing is in compose.js.

// -- the vocabulary: processor.py
export {NOTE_ON, NOTE_OFF, TIME_SHIFT, VELOCITY, PAD, SOS, EOS, VOCAB_SIZE, STEP, MAX_SHIFT}
const NOTE_ON = 0, NOTE_OFF = 128, TIME_SHIFT = 256, VELOCITY = 356 // the first id of each kind
const PAD = 388, SOS = 389, EOS = 390, VOCAB_SIZE = 391
const STEP = .01, MAX_SHIFT = 100 // seconds a step; steps in the longest time shift
const BINS = PAD - VELOCITY              // velocity bins 0 to 31; 32 is none yet
const LONG_AGO = -(10**6)                // steps

// -- a checkpoint: its configuration and its tensors
const DEFAULTS = {
  vocab_size: VOCAB_SIZE, d_model: 256, n_layers: 4, n_heads: 4, d_ff: 1024, max_distance: 512, position: 'rotary',
  state: true, wishes: true, clock: true, conv: 0, echo: false, directions: false, ends: false,
  dropout: .1,
}

// `config.json` as settings; an error names what this engine does not know.
export function readConfig(saved) {
  for (const [k, v] of Object.entries(saved)) {
    if (!(k in DEFAULTS)) throw new Error(`This checkpoint is not of a kind that the page can play: it has ${k}.`)
    if (typeof v !== typeof DEFAULTS[k]) throw new Error(`config.json is damaged: ${k} must not be ${v}.`)
  }
  const cfg = {...DEFAULTS, ...saved}
  if (cfg.position !== 'rotary' && cfg.position !== 'none')
    throw new Error(`The page cannot play a model with ${cfg.position} positions, only with rotary ones or none.`)
  const parts = [cfg.d_model/cfg.n_heads, cfg.d_ff, cfg.clock ? 2*cfg.n_heads : 4]
  if (parts.some(o => !(o > 0) || o % 4))
    throw new Error('The page cannot play this model: its sizes are no multiples of four.') // see `product`
  if (cfg.directions && !cfg.echo) throw new Error('config.json describes no model: directions need echo.')
  if (cfg.ends && !cfg.directions) throw new Error('config.json describes no model: ends need directions.')
  if (cfg.vocab_size !== VOCAB_SIZE) throw new Error(`The page knows ${VOCAB_SIZE} ids, not ${cfg.vocab_size}.`)
  return cfg
}

// The 65536 numbers that 16 bits can mean: one sign, five of the exponent, ten of the fraction.
const halves = new Float32Array(2**16)
for (let bits = 0; bits < 2**16; bits++) {
  const sign = bits >> 15 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023
  if (exponent === 31) halves[bits] = fraction ? NaN : sign*Infinity
  else if (exponent) halves[bits] = sign*(1 + fraction/1024)*2**(exponent - 15)
  else halves[bits] = sign*fraction*2**-24
}

const floats = {
  F32: bytes => new Float32Array(bytes),
  F16: bytes => Float32Array.from(new Uint16Array(bytes), o => halves[o]),
  BF16: bytes => new Float32Array(Uint32Array.from(new Uint16Array(bytes), o => o << 16).buffer), // the upper half
}

// The tensors of a safetensors file: {name: {shape, data}}.
export function readTensors(buffer) {
  try {
    const size = Number(new DataView(buffer).getBigUint64(0, true))
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, size)))
    delete header.__metadata__
    const read = ({dtype, shape, data_offsets: [begin, end]}) => {
      if (8 + size + end > buffer.byteLength) throw new Error('a part of them is missing.')
      return {shape, data: floats[dtype](buffer.slice(8 + size + begin, 8 + size + end))}
    }
    return Object.fromEntries(Object.entries(header).map(([name, o]) => [name, read(o)]))
  } catch (e) {
    throw new Error(`The weights are damaged: ${e.message}`)
  }
}

const KINDS = 136, SIDE = 6, REACH = 26, AGES = 24 // of keys: see keyClasses
const PAUSES = 40, LATE = 24, NEAR = 20            // classes of times: see dueClass and addAnswers
const N_KINDS = 9, N_CLASSES = 15                  // of echoes, of each direction
const SAID = ['pace', 'loudness', 'height', 'sounding', 'composer']

// The shape that each tensor must have.
function shapes(cfg) {
  const D = cfg.d_model, out = {'embed.weight': [VOCAB_SIZE, D], 'head.weight': [VOCAB_SIZE, D]}
  const add = (name, ...shape) => { out[name] = shape }
  for (const o of ['weight', 'bias']) add(`norm.${o}`, D)
  for (let i = 0; i < cfg.n_layers; i++) addBlock(cfg, (name, ...shape) => add(`blocks.${i}.${name}`, ...shape))
  if (cfg.state) {
    add('state.keys.weight', D, 3*128)
    add('state.velocity.weight', BINS + 1, D)
    add('state.since.weight', PAUSES, D)
  }
  if (cfg.wishes) {
    add('wishes.keys.weight', 2*KINDS, D)
    add('wishes.velocity.weight', 2*BINS, D)
  }
  if (cfg.echo) addEcho(D, add)
  if (cfg.directions) for (const o of SAID) add(`directions.${o}.weight`, N_CLASSES, D)
  if (cfg.ends) add('directions.end.weight', N_CLASSES, D)
  return out
}

function addBlock(cfg, add) {
  const D = cfg.d_model
  for (const norm of ['norm1', 'norm2']) for (const o of ['weight', 'bias']) add(`${norm}.${o}`, D)
  add('attn.qkv.weight', 3*D, D)
  add('attn.out.weight', D, D)
  add('ff.0.weight', cfg.d_ff, D)
  add('ff.0.bias', cfg.d_ff)
  add('ff.2.weight', D, cfg.d_ff)
  add('ff.2.bias', D)
  if (cfg.conv) for (const o of ['conv1', 'conv2']) add(`${o}.weight`, cfg.conv, D)
}

function addEcho(D, add) {
  add('echo.keys.weight', D, 128)
  add('echo.kind.weight', N_KINDS, D)
  add('echo.due.weight', PAUSES + LATE, D)
  add('echo.touch.weight', BINS + 1, D)
  add('answer.keys.weight', N_KINDS, D)
  add('answer.shift.weight', 2*NEAR + 1, D)
  add('answer.velocity.weight', 2*BINS, D)
}

// A checkpoint: `config` is what config.json says, `files` the ArrayBuffers of its safetensors files.
export class Model {
  constructor(config, files) {
    this.cfg = readConfig(config)
    const have = Object.assign({}, ...files.map(readTensors)), want = shapes(this.cfg)
    for (const k in want) if (!have[k]) throw new Error(`The checkpoint lacks the tensor ${k}.`)
    for (const k in have) if (!want[k]) throw new Error(`The checkpoint has a strange tensor, ${k}.`)
    for (const [k, shape] of Object.entries(want)) {
      const found = have[k].shape.join('×'), wanted = shape.join('×')
      if (found !== wanted) throw new Error(`In the checkpoint, ${k} has shape ${found}, not ${wanted}.`)
    }
    this.weights = Object.fromEntries(Object.entries(have).map(([k, o]) => [k, inFours(o)]))
  }
}

// -- products: nearly all of the time is spent here
const up4 = n => n + 3 & ~3
const zeros = n => new Float32Array(up4(n)) // the products below write four numbers at a time

// A matrix whose rows are a multiple of four, the last ones zero if need be.
function inFours({shape: [rows, columns = 1], data}) {
  if (rows % 4 === 0) return data
  const out = new Float32Array(up4(rows)*columns)
  out.set(data)
  return out
}

// out[at + r] = the sum over j of w[from + r*stride + j]*x[first + j], for `rows` rows of n columns; n is even. Four
// rows at once keep what was read of x, two columns at once halve the waiting for a sum.
function product(out, at, w, from, stride, rows, x, first, n) {
  for (let r = 0; r < rows; r += 4) {
    const w0 = from + r*stride, w1 = w0 + stride, w2 = w1 + stride, w3 = w2 + stride
    let a = 0, b = 0, c = 0, d = 0
    for (let j = 0; j < n; j += 2) {
      const u = x[first + j], v = x[first + j + 1]
      a += w[w0 + j]*u + w[w0 + j + 1]*v
      b += w[w1 + j]*u + w[w1 + j + 1]*v
      c += w[w2 + j]*u + w[w2 + j + 1]*v
      d += w[w3 + j]*u + w[w3 + j + 1]*v
    }
    out[at + r] = a
    out[at + r + 1] = b
    out[at + r + 2] = c
    out[at + r + 3] = d
  }
}

// out = w x, a whole matrix by a vector.
function linear(out, w, x, n) { product(out, 0, w, 0, n, w.length/n, x, 0, n) }

function add(x, y, n) { for (let j = 0; j < n; j++) x[j] += y[j] }

function addRow(x, table, row) {
  const n = x.length, at = row*n
  for (let j = 0; j < n; j++) x[j] += table[at + j]
}

function layerNorm(out, x, weight, bias) {
  const n = x.length
  let mean = 0, squares = 0
  for (let j = 0; j < n; j++) mean += x[j]/n
  for (let j = 0; j < n; j++) squares += (x[j] - mean)**2
  const scale = 1/Math.sqrt(squares/n + 1e-5)
  for (let j = 0; j < n; j++) out[j] = (x[j] - mean)*scale*weight[j] + bias[j]
}

// The error function to 1.5e-7: Abramowitz and Stegun, 7.1.26.
function erf(x) {
  const t = 1/(1 + .3275911*Math.abs(x))
  const sum = ((((1.061405429*t - 1.453152027)*t + 1.421413741)*t - .284496736)*t + .254829592)*t
  const y = 1 - sum*Math.exp(-x*x)
  return x < 0 ? -y : y
}

function gelu(x, n) { for (let j = 0; j < n; j++) x[j] *= .5*(1 + erf(x[j]*Math.SQRT1_2)) }

// Numbers x[at] to x[at + n] become shares of 1. (One more, a zero, makes their count even.)
function softmax(x, at, n, scale) {
  let most = -Infinity, sum = 0
  for (let j = at; j < at + n; j++) if (x[j] > most) most = x[j]
  for (let j = at; j < at + n; j++) sum += x[j] = Math.exp((x[j] - most)*scale)
  for (let j = at; j < at + n; j++) x[j] /= sum
  x[at + n] = 0
}

// -- what the ids so far say: `State`
export class State {
  constructor() {
    this.down = new Uint8Array(128)                    // keys that sound
    this.struck = new Float64Array(128).fill(LONG_AGO) // step of each key's last strike
    this.now = 0                                       // steps since the beginning
    this.velocity = BINS                               // bin in force
  }

  push(i) {
    if (i < NOTE_OFF) {
      this.down[i] = 1
      this.struck[i] = this.now
    }
    else if (i < TIME_SHIFT) this.down[i - NOTE_OFF] = 0
    else if (i < VELOCITY) this.now += i - TIME_SHIFT + 1
    else if (i < PAD) this.velocity = i - VELOCITY
    else if (i === SOS) {
      this.down.fill(0)
      this.struck.fill(LONG_AGO)
      this.velocity = BINS
    }
  }
}

// Time as a class, 0 to n-1.
function ageClass(steps, n) { return Math.min(Math.floor(2*Math.log2(1 + steps)), n - 1) }

// Three numbers a key: is it down; that, fading; how long ago it was struck.
function keyNumbers(out, {down, struck, now}) {
  for (let key = 0; key < 128; key++) {
    const seconds = (now - struck[key])*STEP
    out[key] = down[key]
    out[128 + key] = down[key] ? faded(seconds*-2) : 0
    out[256 + key] = faded(seconds*-.5)
  }
}

function faded(x) { return x < -69 ? 0 : Math.exp(x) } // smaller ones change nothing, and are slow to reckon with

// What each key is, apart from its name, as four classes: age and down, from 0; how many sound on both sides, from 48;
// how far the next one is below, from 84, and above, from 110. `out` is (4, 128).
export function keyClasses(out, {down, struck, now}) {
  let total = 0
  for (let key = 0; key < 128; key++) total += down[key]
  for (let key = 0, below = 0, last = -REACH; key < 128; key++) {
    const above = total - below - down[key]
    out[key] = ageClass(now - struck[key], AGES) + AGES*down[key]
    out[128 + key] = 2*AGES + SIDE*Math.min(below, SIDE - 1) + Math.min(above, SIDE - 1)
    out[256 + key] = 2*AGES + SIDE**2 - 1 + Math.min(key - last, REACH)
    below += down[key]
    if (down[key]) last = key
  }
  for (let key = 127, next = 127 + REACH; key >= 0; key--) {
    out[384 + key] = 2*AGES + SIDE**2 + REACH - 1 + Math.min(next - key, REACH)
    if (down[key]) next = key
  }
}

// -- where the last notes were played before, and what came next: `Memory` and `Echo`
const GROUP = 4 // steps: strikes no later than this after a group's first belong to it
const WAYS = [[5, 8, false], [4, 6, false], [3, 4, false], [7, 8, true], [6, 6, true], [2, 3, false], [1, 2, false]]
const TOLD = 8, GIVE_UP = 4 // the kind of an echo that is told; groups in a row, not as told, after which it gives up
const NOT_DUE = -2000

export class Memory {
  constructor() {
    this.tops = []
    this.led = new Map()
  }

  // Add a group by its highest key: kind, the group that is echoed, semitones from there to here.
  hear(top) {
    this.tops.push(top)
    let found = [0, 0, 0]
    for (const [kind, n, moved] of WAYS) {
      if (n > this.tops.length) continue
      let line = this.tops.slice(-n)
      if (moved) line = line.slice(1).map((o, j) => o - line[j])
      const name = line.join(), after = this.led.get(name) // lines of different ways differ in length
      if (after && !found[0]) found = [kind, after, top - this.tops[after - 1]]
      this.led.set(name, this.tops.length)
    }
    return found
  }
}

// To the nearest whole number, halves to the even one: Python's `round`.
export function rint(x) {
  const low = Math.floor(x), rest = x - low
  if (rest !== .5) return Math.round(x)
  return low % 2 ? low + 1 : low
}

// Keep step with an earlier stretch: the group that comes next there, and whether what was played was as told.
function moveOn(tops, source, top) {
  for (let at = source; at < Math.min(source + 3, tops.length); at++)
    if (tops[at] === top) return [at + 1, true]
  return [source + 1, false]
}

export class Echo {
  // `plan` are returns that are told when their time comes: {when, since, until} in seconds, in order.
  constructor(plan = []) {
    this.plan = [...plan]
    this.told = null   // the return under way
    this.returned = [] // all that have begun
    this.directions = [0, 0, 0, 0, 0] // what is asked for meanwhile, as classes; 0 is unsaid
    this.left = 0 // the class of the time until the end, where that is told
    this.reset()
  }

  reset() {
    this.now = 0
    this.velocity = 16
    this.open = false
    this.groups = []
    this.memory = new Memory()
    this.kind = this.source = this.up = 0
  }

  push(i) {
    if (i === SOS) this.reset()
    else if (i < NOTE_OFF) this.strike(i)
    else if (i >= VELOCITY && i < PAD) this.velocity = i - VELOCITY
    else if (i >= TIME_SHIFT && i < VELOCITY) {
      this.now += i - TIME_SHIFT + 1
      if (this.open && this.now > this.groups.at(-1).start + GROUP) this.finish()
    }
  }

  strike(key) {
    if (!this.open) this.groups.push({start: this.now, keys: [], touches: []})
    this.open = true
    this.groups.at(-1).keys.push(key)
    this.groups.at(-1).touches.push(this.velocity)
  }

  finish() {
    this.open = false
    const top = Math.max(...this.groups.at(-1).keys)
    ;[this.kind, this.source, this.up] = this.memory.hear(top)
    this.followPlan()
  }

  // After each group: begin, go on with or end a return that is planned.
  followPlan() {
    if (this.told) this.goOn()
    else if (this.now*STEP >= this.plan[0]?.when) this.turnTo(this.plan.shift())
    if (this.told) [this.kind, this.source, this.up] = [TOLD, this.told.source, 0]
  }

  // Turn to the earlier place, if there is one: to the group after the longest gap that is near.
  turnTo({since, until}) {
    const {groups} = this, gap = n => groups[n].start - groups[n - 1].start
    const near = [...groups.keys()].filter(n => n && Math.abs(groups[n].start*STEP - since) <= 1.5)
    if (!near.length) return
    const source = near.reduce((a, b) => gap(b) > gap(a) ? b : a), {start} = groups[source]
    const end = start + rint((until - since)/STEP)
    this.told = {when: this.now*STEP, since: start*STEP, untilStep: end, source, played: 0, right: 0, missed: 0}
    this.returned.push(this.told)
  }

  // A group was finished: what comes next in the earlier stretch?
  goOn() {
    const {told, groups, memory: {tops}} = this
    const [next, right] = moveOn(tops.slice(0, -1), told.source, tops.at(-1))
    told.source = next
    told.played++
    told.right += right
    told.missed = right ? 0 : told.missed + 1
    const late = next >= groups.length || groups[next].start > told.untilStep
    if (late || told.missed === GIVE_UP) this.told = null
  }

  // Could the next id be heard together with something that is told?
  get tells() {
    const due = (this.now + MAX_SHIFT)*STEP >= this.plan[0]?.when
    return due || this.told !== null || this.directions.some(Boolean) || this.left > 0
  }

  // What the echo says now.
  hint() {
    if (!this.kind) return {kind: 0, keys: [], due: NOT_DUE, touch: BINS}
    const last = this.groups.at(this.open ? -2 : -1) // the group that was finished last
    const echoed = this.groups[this.source], before = this.groups[this.source - 1]
    const due = echoed.start - before.start - (this.now - last.start)
    const keys = echoed.keys.map(k => k + this.up).filter(k => k >= 0 && k < 128)
    const touch = rint(echoed.touches.reduce((a, b) => a + b)/echoed.touches.length)
    return {kind: this.kind, keys, due: Math.min(Math.max(due, -999), 9999), touch}
  }
}

// Steps until an echo is due as a class: 0 to 39 ahead, 40 to 63 late.
function dueClass(due) { return due < 0 ? PAUSES + ageClass(-due, LATE) : ageClass(due, PAUSES) }

// -- keys, values and convolutions of the last `window` positions: `Cache`
export class Cache {
  constructor(cfg, window) {
    if (!(window >= 1)) throw new Error(`window must be at least 1, not ${window}`)
    this.window = window
    this.room = up4(window) // positions lie in a ring: the newest takes the place of the one that falls out of reach
    this.seen = 0
    this.state = new State()
    this.echo = new Echo()
    this.layers = Array.from({length: cfg.n_layers}, () => ({
      keys: new Float32Array(this.room*cfg.d_model),   // (H, room, d)
      values: new Float32Array(this.room*cfg.d_model), // (H, d, room): a column for each position
      latest: [0, 1].map(() => new Float32Array(Math.max(cfg.conv - 1, 0)*cfg.d_model)), // inputs of both convolutions
    }))
  }

  get place() { return this.seen % this.window }
  get filled() { return Math.min(this.seen + 1, this.window) } // places in use, the newest included
}

// -- a block for one id: `_Layer`
class Layer {
  constructor(weights, i, cfg) {
    const w = name => weights[`blocks.${i}.${name}`]
    Object.assign(this, {i, D: cfg.d_model, H: cfg.n_heads, qkv: w('attn.qkv.weight'), out: w('attn.out.weight')})
    this.norms = ['norm1', 'norm2'].map(o => [w(`${o}.weight`), w(`${o}.bias`)])
    this.convs = ['conv1', 'conv2'].map(o => w(`${o}.weight`))
    this.up = [w('ff.0.weight'), w('ff.0.bias')]
    this.down = [w('ff.2.weight'), w('ff.2.bias')]
  }

  // x (D) moves on; `room` holds vectors to reckon with.
  call(x, turn, cache, room) {
    const {D} = this, {h, y, wide} = room
    this.prepare(0, h, x, cache)
    this.attend(h, turn, cache, room)
    add(x, y, D)
    this.prepare(1, h, x, cache)
    linear(wide, this.up[0], h, D)
    add(wide, this.up[1], wide.length)
    gelu(wide, wide.length)
    linear(y, this.down[0], wide, wide.length)
    add(x, y, D)
    add(x, this.down[1], D)
  }

  // Normalised, and with a weighted sum of the last few where the model has convolutions.
  prepare(which, h, x, cache) {
    layerNorm(h, x, ...this.norms[which])
    const w = this.convs[which]
    if (w) convolve(h, w, cache.layers[this.i].latest[which])
  }

  // y = what the heads hear.
  attend(h, turn, cache, {qkv, scores, heard, y}) {
    const {D, H} = this, d = D/H, n = cache.filled, S = cache.room
    const {keys, values} = cache.layers[this.i]
    linear(qkv, this.qkv, h, D)
    rotate(qkv, turn, D, d)
    append(keys, values, qkv, cache, D, d)
    for (let head = 0; head < H; head++) {
      product(scores, 0, keys, head*S*d, d, up4(n), qkv, head*d, d)
      softmax(scores, 0, n, 1/Math.sqrt(d))
      product(heard, head*d, values, head*d*S, S, d, scores, 0, n + n % 2)
    }
    linear(y, this.out, heard, D)
  }
}

// `Conv.newest`: w[0] belongs to the newest input, w[i] to the one i before.
function convolve(h, w, latest) {
  const D = h.length, n = latest.length/D
  const input = h.slice()
  for (let j = 0; j < D; j++) h[j] *= 1 + w[j]
  for (let i = 1; i <= n; i++)
    for (let j = 0; j < D; j++) h[j] += w[i*D + j]*latest[(i - 1)*D + j]
  latest.copyWithin(D, 0, (n - 1)*D)
  latest.set(input)
}

// Turn pairs of columns of the queries and the keys, which lie behind one another.
function rotate(qkv, turn, D, d) {
  if (!turn) return
  const {cos, sin} = turn, half = d/2
  for (let part = 0; part < 2*D; part += D)
    for (let j = 0; j < D/2; j++) {
      const at = part + Math.floor(j/half)*d + j % half
      const a = qkv[at], b = qkv[at + half]
      qkv[at] = a*cos[j] - b*sin[j]
      qkv[at + half] = a*sin[j] + b*cos[j]
    }
}

// `Cache.append`: the newest key becomes a row, the newest value a column.
function append(keys, values, qkv, {place, room}, D, d) {
  for (let j = 0; j < D; j++) {
    const head = Math.floor(j/d), column = j % d
    keys[(head*room + place)*d + column] = qkv[D + j]
    values[j*room + place] = qkv[2*D + j]
  }
}

// Radians a position: fastest to slowest, a full turn taking `fast` to `slow` positions.
function paces(D, fast, slow) {
  const n = D/2
  return Array.from({length: n}, (_, j) => 2*Math.PI/(fast*(slow/fast)**(j/Math.max(n - 1, 1))))
}

const EVENTS = [2*Math.PI, 20_000*Math.PI], SECONDS = [10, 20_000] // the latter in steps

// -- the whole model for one id: `Step`
export class Step {
  constructor(model, cache) {
    const {cfg, weights} = model, D = cfg.d_model
    Object.assign(this, {cfg, weights, cache})
    this.layers = Array.from({length: cfg.n_layers}, (_, i) => new Layer(weights, i, cfg))
    this.room = {h: zeros(D), y: zeros(D), qkv: zeros(3*D), heard: zeros(D), wide: zeros(cfg.d_ff)}
    this.room.scores = zeros(cache.room + 4)
    this.x = new Float32Array(D)
    this.numbers = new Float32Array(3*128)
    this.kinds = new Uint8Array(4*128)
    this.turns = {cos: new Float32Array(D/2), sin: new Float32Array(D/2)}
    this.setPaces()
    this.logits = zeros(VOCAB_SIZE)
    this.answers = {wish: zeros(2*KINDS), louder: zeros(2*BINS), keys: zeros(N_KINDS), shift: zeros(2*NEAR + 1)}
  }

  // Radians a position for each pair of columns, the first heads counting events, the others seconds.
  setPaces() {
    const {n_heads: H, d_model: D, clock, position} = this.cfg, d = D/H, rotary = position === 'rotary'
    const events = paces(d, ...EVENTS).map(o => rotary ? o : 0), seconds = paces(d, ...SECONDS)
    this.timed = Array.from({length: H}, (_, head) => clock && head >= H/2)
    this.paces = this.timed.map(timed => timed ? seconds : events)
    this.turning = rotary || clock
  }

  // Move on by one id.
  hear(i) {
    if (!(i >= 0 && i < VOCAB_SIZE)) throw new Error(`ids must lie in 0-${VOCAB_SIZE - 1}`)
    const {state, echo} = this.cache
    state.push(i)
    echo.push(i)
    if (this.cfg.echo) this.hint = echo.hint()
    this.read(i)
    const turn = this.turn()
    for (const layer of this.layers) layer.call(this.x, turn, this.cache, this.room)
    this.cache.seen++
  }

  // What goes into the first block.
  read(i) {
    const {x, cfg, weights: w, cache: {state}} = this
    x.fill(0)
    addRow(x, w['embed.weight'], i)
    if (cfg.state) {
      const last = Math.max(...state.struck)
      keyNumbers(this.numbers, state)
      this.addNumbers(w['state.keys.weight'], 3*128)
      addRow(x, w['state.velocity.weight'], state.velocity)
      addRow(x, w['state.since.weight'], ageClass(state.now - last, PAUSES))
    }
    if (cfg.echo) this.readEcho(this.hint)
    if (cfg.directions) SAID.forEach((o, k) => addRow(x, w[`directions.${o}.weight`], this.cache.echo.directions[k]))
    if (cfg.ends) addRow(x, w['directions.end.weight'], this.cache.echo.left)
  }

  readEcho({kind, keys, due, touch}) {
    const {x, numbers, weights: w} = this
    numbers.fill(0, 0, 128)
    for (const k of keys) numbers[k] = 1
    this.addNumbers(w['echo.keys.weight'], 128)
    addRow(x, w['echo.kind.weight'], kind)
    addRow(x, w['echo.due.weight'], dueClass(due))
    addRow(x, w['echo.touch.weight'], touch)
  }

  addNumbers(w, n) {
    const {y} = this.room
    linear(y, w, this.numbers, n)
    add(this.x, y, this.x.length)
  }

  // The cosines and sines of all heads: (H, d/2) each.
  turn() {
    if (!this.turning) return null
    const {cos, sin} = this.turns
    let j = 0
    this.paces.forEach((own, head) => {
      const at = this.timed[head] ? this.cache.state.now : this.cache.seen
      for (const pace of own) {
        const angle = at*pace % (2*Math.PI)
        cos[j] = Math.cos(angle)
        sin[j++] = Math.sin(angle)
      }
    })
    return this.turns
  }

  // The logits of the next id.
  say() {
    const {weights: w, cfg, logits, x, room: {h}} = this
    layerNorm(h, x, w['norm.weight'], w['norm.bias'])
    linear(logits, w['head.weight'], h, x.length)
    if (cfg.wishes) this.addWishes(h)
    if (cfg.echo) this.addAnswers(h, this.hint)
    return logits.subarray(0, VOCAB_SIZE)
  }

  // What is wished for of each key, to strike or to release it, and of each velocity.
  addWishes(h) {
    const {logits, kinds, weights: w, cache: {state}, answers: {wish, louder}} = this
    linear(wish, w['wishes.keys.weight'], h, h.length)
    linear(louder, w['wishes.velocity.weight'], h, h.length)
    keyClasses(kinds, state)
    for (let n = 0; n < 4*128; n++) {
      logits[NOTE_ON + n % 128] += wish[kinds[n]]
      logits[NOTE_OFF + n % 128] += wish[KINDS + kinds[n]]
    }
    this.addLouder(state.velocity)
  }

  // What the echo answers.
  addAnswers(h, {kind, keys: echoed, due, touch}) {
    if (!kind) return
    const {logits, weights: w, answers: {keys, shift, louder}} = this
    linear(keys, w['answer.keys.weight'], h, h.length)
    linear(shift, w['answer.shift.weight'], h, h.length)
    linear(louder, w['answer.velocity.weight'], h, h.length)
    for (const k of new Set(echoed)) logits[k] += keys[kind]
    for (let steps = 1; steps <= MAX_SHIFT; steps++) {
      const after = steps - Math.min(due, MAX_SHIFT)
      logits[TIME_SHIFT + steps - 1] += shift[Math.min(Math.max(after, -NEAR), NEAR) + NEAR]
    }
    this.addLouder(Math.min(touch, BINS - 1))
  }

  // To each velocity bin what was said of being so much louder than this one.
  addLouder(than) {
    for (let bin = 0; bin < BINS; bin++) this.logits[VELOCITY + bin] += this.answers.louder[BINS - than + bin]
  }
}
