// Composing in plain JavaScript: `encode`, `Grammar`, the rules of drawing and `compose`, named as in Python. The model
// itself is in engine.js.
import {NOTE_ON, NOTE_OFF, TIME_SHIFT, VELOCITY, PAD, SOS, EOS, VOCAB_SIZE, STEP, MAX_SHIFT} from './engine.js'
import {Cache, Echo, Step, rint} from './engine.js'

// -- notes become ids: `encode`
// Settle what one string can do: merge strikes inside a step, give each note a step, end it at the next strike.
function onGrid(notes) {
  const out = []
  notes.sort((a, b) => a.pitch - b.pitch || a.on - b.on)
  for (const {on, off, pitch, velocity} of notes) {
    const last = out.at(-1)
    if (last && last.pitch === pitch && last.on === on) {
      last.off = Math.max(last.off, off)
      last.velocity = Math.max(last.velocity, velocity)
    }
    else out.push({on, off: Math.max(off, on + 1), pitch, velocity})
  }
  out.forEach((o, n) => {
    const next = out[n + 1]
    if (next && next.pitch === o.pitch) o.off = Math.min(o.off, next.on)
  })
  return out
}

function checkNote({start, end, pitch, velocity}) {
  const timed = start >= 0 && end >= start && end < 10**6
  const whole = (o, least) => Number.isInteger(o) && o >= least && o <= 127
  if (!timed) throw new Error('A note must start at 0 s or later, and end no earlier than it starts.')
  if (!whole(pitch, 0) || !whole(velocity, 1))
    throw new Error('Pitch must lie in 0-127 and velocity in 1-127, whole numbers both.')
}

// Time, strike or not, pitch and velocity bin of all events; at one time ends before strikes, low before high.
function inOrder(notes) {
  const steps = notes.map(o => ({...o, on: rint(o.start/STEP), off: rint(o.end/STEP)}))
  const events = onGrid(steps).flatMap(({on, off, pitch, velocity}) => {
    const end = {time: off, strike: 0, pitch}
    return [end, {time: on, strike: 1, pitch, touch: velocity >> 2}]
  })
  return events.sort((a, b) => a.time - b.time || a.strike - b.strike || a.pitch - b.pitch)
}

// Notes {start, end, pitch, velocity} as ids: `sos`, the events, `eos`.
export function encode(notes) {
  notes.forEach(checkNote)
  const ids = [SOS]
  let now = 0, velocity = null
  for (const {time, strike, pitch, touch} of inOrder(notes)) {
    for (; time - now >= MAX_SHIFT; now += MAX_SHIFT) ids.push(TIME_SHIFT + MAX_SHIFT - 1)
    if (time > now) ids.push(TIME_SHIFT + time - now - 1)
    now = time
    if (strike && touch !== velocity) ids.push(VELOCITY + (velocity = touch))
    ids.push((strike ? NOTE_ON : NOTE_OFF) + pitch)
  }
  return [...ids, EOS]
}

// The ids to begin with: `sos`, then the primer up to its last strike.
function primerIds(primer) {
  if (!primer) return [SOS]
  if (!primer.length) throw new Error('The primer has no notes.')
  const ids = encode(primer)
  return ids.slice(0, ids.findLastIndex(i => i < NOTE_OFF) + 1)
}

// -- what may follow: `Grammar`, and `Past`, which remembers more
export class Grammar {
  constructor() {
    this.down = new Uint8Array(128) // keys that sound
    this.there = new Uint8Array(128).fill(1)
    this.velocity = null            // the bin in force
    this.steps = 0                  // time since the beginning
    this.last = SOS
    this.lowOn = this.lowOff = 0    // lowest pitch that may still be struck, or released, at this instant
  }

  push(i) {
    if (i < NOTE_OFF) {
      this.down[i] = 1
      this.lowOn = i + 1
      this.lowOff = 128             // after a strike nothing is released
    }
    else if (i < TIME_SHIFT) {
      this.down[i - NOTE_OFF] = 0
      this.lowOff = i - NOTE_OFF + 1
    }
    else if (i < VELOCITY) {
      this.steps += i - TIME_SHIFT + 1
      this.lowOn = this.lowOff = 0
    }
    else if (i < PAD) this.velocity = i - VELOCITY
    this.last = i
  }

  // The ids that may come next, (V) ones and zeros.
  allowed() {
    const ok = new Uint8Array(VOCAB_SIZE), {last, velocity} = this
    const touched = last >= VELOCITY && last < PAD, waited = last >= TIME_SHIFT && last < VELOCITY
    let free = false
    for (let key = this.lowOn; key < 128; key++) {
      if (!this.there[key] || this.down[key]) continue
      free = true
      if (velocity !== null) ok[NOTE_ON + key] = 1
    }
    if (touched) return ok          // a new velocity is for a strike
    for (let key = this.lowOff; key < 128; key++) ok[NOTE_OFF + key] = this.down[key]
    if (!waited || last === VELOCITY - 1) ok.fill(1, TIME_SHIFT, VELOCITY) // a full second may be followed by more
    if (free) ok.fill(1, VELOCITY, PAD)
    if (velocity !== null) ok[VELOCITY + velocity] = 0
    ok[EOS] = !waited && !this.down.includes(1)
    return ok
  }
}

export class Past extends Grammar {
  constructor(ids = [SOS]) {
    super()
    this.ids = []                       // all that came,
    this.keys = []                      // and the keys that were struck
    this.struck = new Float64Array(128) // the step of each key's last strike
    this.place = new Float64Array(128)  // how many ids there were then
    this.sounding = false               // is a key down?
    this.quiet = 0                      // the step at which something last sounded
    for (const i of ids) this.push(i)
  }

  push(i) {
    super.push(i)
    this.ids.push(i)
    if (i < NOTE_OFF) {
      this.keys.push(i)
      this.struck[i] = this.steps
      this.place[i] = this.ids.length
    }
    if (i < TIME_SHIFT) this.sounding = this.down.includes(1)
    if (i < TIME_SHIFT || this.sounding) this.quiet = this.steps
  }
}

// -- the rules of drawing: drawing.py
class Rule {
  push(i, past) {}       // hear an id that was just drawn; `past` holds it already
  veto(past, allowed) {} // strike out what may not come
  bias(past, logits) {}  // make something likelier or less likely
}

// Strike out the time shifts of more steps.
function waitAtMost(steps, allowed) { allowed.fill(0, TIME_SHIFT + Math.min(Math.max(steps, 0), MAX_SHIFT), VELOCITY) }

// Only what `encode` could write, on the keys of a piano.
class WellFormed extends Rule {
  veto(past, allowed) {
    for (let key = 0; key < 128; key++) past.there[key] = key >= 21 && key <= 108 && allowed[key]
    const ok = past.allowed()
    for (let i = 0; i < VOCAB_SIZE; i++) allowed[i] &= ok[i]
  }
}

// No key is down for longer than this, nor for longer than the model remembers.
class Holds extends Rule {
  constructor(seconds, forget) {
    super()
    this.most = Math.max(1, Math.floor(Math.min(seconds/STEP, 2**31) + 1e-6))
    this.forget = forget // ids after which a strike is forgotten; 0 for never
  }

  left(past, key) {
    const forgotten = this.forget && past.ids.length - past.place[key] >= this.forget - 1
    return forgotten ? 0 : past.struck[key] + this.most - past.steps
  }

  veto(past, allowed) {
    const down = [...past.down.keys()].filter(key => past.down[key] && allowed[NOTE_OFF + key])
    if (!down.length) return
    const left = down.map(key => this.left(past, key))
    waitAtMost(Math.max(1, Math.min(...left)), allowed)
    if (Math.min(...left) > 0) return
    const ok = past.allowed(), due = down.find((key, n) => left[n] <= 0 && ok[NOTE_OFF + key])
    if (due === undefined) return
    allowed.fill(0)            // nothing else, until the lowest is let go
    allowed[NOTE_OFF + due] = 1
  }
}

// To a careful draw, the full second is but one of the lengths that it stands for.
class Waits extends Rule {
  constructor(temperature) {
    super()
    this.less = (1 - temperature)*Math.log(300) // all waits from a second on
  }

  bias(past, logits) { logits[VELOCITY - 1] -= this.less }
}

// Let the keys be so among themselves; how likely it is that one is struck stays as it was.
function chooseAmong(logits, keys) {
  const strikes = logits.slice(0, NOTE_OFF)
  if (Math.max(...strikes) === -Infinity) return
  const more = logSumExp(strikes) - logSumExp(keys)
  keys.forEach((o, key) => logits[key] = o + more)
}

// Choose more carefully, or more daringly, which key is struck.
export class Keys extends Rule {
  constructor(temperature) {
    super()
    this.temperature = temperature
  }

  bias(past, logits) { chooseAmong(logits, logits.slice(0, NOTE_OFF).map(o => o/this.temperature)) }
}

// Keys off the scale that the last notes fit best are less likely.
export class InScale extends Rule {
  constructor(nats) {
    super()
    this.nats = nats
  }

  bias(past, logits) {
    const keys = past.keys.slice(-HEARD)
    if (keys.length < LEAST) return
    const scale = scaleOf(keys)
    chooseAmong(logits, logits.slice(0, NOTE_OFF).map((o, key) => scale[key%12] ? o : o - this.nats))
  }
}

// Where the last notes strike few keys, these are less likely.
export class FewKeys extends Rule {
  constructor(nats) {
    super()
    this.nats = nats
  }

  bias(past, logits) {
    const last = past.keys.slice(-48), keys = new Set(last), missing = 12 - keys.size
    if (last.length < 48 || missing <= 0) return
    chooseAmong(logits, logits.slice(0, NOTE_OFF).map((o, key) => keys.has(key) ? o - this.nats*missing : o))
  }
}

// The keys of a hand that has been silent for long are likelier. The G under middle C is the right hand's lowest.
export class BothHands extends Rule {
  constructor(nats) {
    super()
    this.nats = nats
  }

  bias(past, logits) {
    const silent = keys => (past.steps - Math.max(...keys))*STEP - 2
    const hands = [past.struck.slice(0, 55), past.struck.slice(55)]
    const more = hands.map(keys => this.nats*Math.min(Math.max(silent(keys), 0), 4))
    chooseAmong(logits, logits.slice(0, NOTE_OFF).map((o, key) => o + more[+(key >= 55)]))
  }
}

const HEARD = 128, LEAST = 24 // notes; fewer tell no scale
const TONES = [0, 2, 3, 5, 7, 8, 10, 11], twelve = [...Array(12).keys()]
const SCALES = twelve.map(k => twelve.map(tone => TONES.includes((tone - k + 12)%12)))

// Which pitch classes the scale holds that holds most of these keys; of several, the first.
function scaleOf(keys) {
  const held = SCALES.map(o => keys.filter(key => o[key%12]).length)
  return SCALES[held.indexOf(Math.max(...held))]
}

// No silence is longer than this, until the asked length has passed.
class Rests extends Rule {
  constructor(seconds, ending) {
    super()
    this.most = rint(Math.min(seconds, 1e6)/STEP)
    this.ending = ending
  }

  veto(past, allowed) {
    if (past.sounding || past.velocity === null || this.ending.passed(past)) return
    waitAtMost(past.quiet + this.most - past.steps, allowed)
  }
}

// When a piece may end, and when it must. (Without the tails of the Python: it ends as it comes.)
class Ending extends Rule {
  constructor(seconds, begin) {
    super()
    this.steps = seconds/STEP // the asked length
    this.begin = begin        // steps that lie before it: a primer
    this.over = false
  }

  now(past) { return past.steps - this.begin }
  left(past) { // the class of the time that is left, where that is told
    const left = this.steps - this.now(past)
    return left <= this.steps*CODA ? leftClass(left*STEP) : 0
  }
  passed(past) { return this.now(past) >= this.steps }

  veto(past, allowed) {
    const now = this.now(past), most = Math.min(this.steps + LEEWAY - now, MAX_SHIFT)
    waitAtMost(Math.max(1, Math.ceil(most)), allowed)
    if (now < EARLY*this.steps) allowed[EOS] = 0
    if (past.velocity === null) { // a piece begins after a second at most
      if (past.steps >= MAX_SHIFT && !past.sounding) waitAtMost(0, allowed)
    }
    else if (this.passed(past)) { // no new notes
      allowed.fill(0, VELOCITY, PAD)
      if (past.last < VELOCITY || past.last >= PAD) allowed.fill(0, NOTE_ON, NOTE_OFF)
    }
  }

  push(i, past) {
    const waited = i >= TIME_SHIFT && i < VELOCITY, late = this.now(past) >= this.steps + LEEWAY
    const silent = waited && this.passed(past) && !past.sounding && past.velocity !== null
    this.over = i === EOS || late || silent
  }
}

// The class of the seconds that are left: 1 to 13; 0, unsaid, from twenty on.
export function leftClass(seconds) { return (LEFT.filter(o => o <= seconds).length + 1) % (LEFT.length + 1) }

const LEFT = [.5, 1, 1.5, 2, 3, 4, 5, 6.5, 8, 10, 12.5, 15, 20]
const EARLY = .9, CODA = 1/3, LEEWAY = 1/STEP // shares of the length after which it may end, and of which the end is told; steps by which it may differ

// -- the draw
// Random numbers of its own for each seed: Doty-Humphrey's sfc32. (The same seed gives another piece in Python.)
export class Random {
  constructor(seed) {
    this.a = seed >>> 0
    this.b = Math.floor(seed/2**32) >>> 0
    this.c = 0x9e3779b9
    this.n = 1
    for (let k = 0; k < 15; k++) this.next()
  }

  // A number from 0 to 1, 1 itself left out.
  next() {
    const t = (this.a + this.b + this.n++) | 0
    this.a = this.b ^ this.b >>> 9
    this.b = (this.c + (this.c << 3)) | 0
    this.c = (this.c << 21 | this.c >>> 11) + t | 0
    return (t >>> 0)/2**32
  }

  // A number whose logarithm is normal (Box and Muller 1958).
  lognormal(mean, deviation) {
    const far = Math.sqrt(-2*Math.log(1 - this.next()))
    return Math.exp(mean + deviation*far*Math.cos(2*Math.PI*this.next()))
  }

  // How often what happens `mean` times on average has happened: waits are drawn until they fill the time.
  poisson(mean) {
    const wait = () => -Math.log(1 - this.next())
    let n = 0
    for (let time = wait(); time < mean; time += wait()) n++
    return n
  }
}

// -- when to go back: `draw_plan`
// Returns as in real pieces: how many, how far back, how long. `habit` is `HABIT` of echo.py; `begin`
// seconds are there already, and may be gone back to.
export function drawPlan(habit, seconds, begin, random) {
  const out = []
  let owed = begin > 0 // the first goes back to what is there already
  for (let n = Math.max(random.poisson(habit.a_minute*seconds/60), +owed); n > 0; n--) {
    const when = begin + seconds*random.next(), drawn = random.lognormal(...habit.lasts)
    const lasts = owed ? Math.min(Math.max(drawn, habit.heard), begin/2) : drawn
    const agos = owed ? [when - (begin - lasts)*random.next()]
      : Array.from({length: habit.tries}, () => random.lognormal(...habit.ago))
    const ago = agos.find(o => o >= Math.max(lasts, habit.apart) && o <= when)
    const meets = out.some(o => when < o.when + o.until - o.since && o.when < when + lasts)
    if (!ago || meets || when + lasts > begin + seconds) continue
    out.push({when, since: when - ago, until: when - ago + lasts})
    owed = false
  }
  return inTurn(out)
}

function inTurn(plan) { return [...plan].sort((a, b) => a.when - b.when) }

// The plan of a take: one that is given, or one drawn from a habit, with random numbers of its own.
function planOf(cfg, {returns, seconds, seed}, begin) {
  if (!Array.isArray(returns)) {
    const random = new Random(RANGES.seed[1] - seed)
    return returns && cfg.echo ? drawPlan(returns, seconds, begin, random) : []
  }
  if (!cfg.echo) throw new Error('This model hears no echo and cannot be told to return; leave returns out.')
  const right = ({when, since, until}) => since >= 0 && until > since && when >= until
  if (!returns.every(right)) throw new Error('A return needs when, since, until in seconds: since < until <= when.')
  return inTurn(returns)
}

function logSumExp(logits) {
  const most = Math.max(...logits)
  return most + Math.log(logits.reduce((sum, o) => sum + Math.exp(o - most), 0))
}

// The distribution that is drawn from: [id, share] of what is allowed and likely enough, likeliest first.
export function probabilities(logits, allowed, temperature, topP) {
  const ids = [...allowed.keys()].filter(i => allowed[i])
  ids.sort((a, b) => logits[b] - logits[a])
  if (temperature < 1e-6) return [[ids[0], 1]]
  const p = ids.map(i => Math.exp((logits[i] - logits[ids[0]])/temperature))
  const enough = topP*p.reduce((a, b) => a + b)
  let before = 0, n = 0
  while (n < p.length && before < enough) before += p[n++]
  return ids.slice(0, n).map((i, k) => [i, p[k]/before])
}

export function pick(shares, random) {
  let left = random.next()
  for (const [i, share] of shares) if ((left -= share) < 0) return i
  return shares[0][0]
}

// `Sampling`, and what else may be asked for.
const ASKED = {seconds: 60, seed: 1, window: 0, primer: null,
  temperature: 1, keyTemperature: 1, offScale: .7, fewKeys: .35, bothHands: .5, topP: .99, maxHold: 5, maxRest: 2,
  directions: [0, 0, 0, 0, 0], // classes, as `Wishes` gives them in Python; 0 is unsaid
  returns: null, // a list of {when, since, until} in seconds; or a habit, from which one is drawn
  guidance: 2}   // how many times directions and returns count
const RANGES = {seconds: [1e-3, 1e5], seed: [0, 2**53 - 1], window: [0, 2**16],
  temperature: [0, 100], keyTemperature: [1e-3, 1e3], offScale: [0, 100], fewKeys: [0, 100], bothHands: [0, 100], topP: [1e-6, 1],
  maxHold: [STEP, Infinity], maxRest: [STEP, Infinity], guidance: [0, 20]}

function checked(given) {
  for (const k in given) if (!(k in ASKED)) throw new Error(`There is no setting ${k}.`)
  const asked = {...ASKED, ...given}
  for (const [k, [least, most]] of Object.entries(RANGES))
    if (!(asked[k] >= least && asked[k] <= most))
      throw new Error(`${k} must lie in ${least}-${most}, not be ${asked[k]}.`)
  return asked
}

// One piece in the making: a past, rules, and random numbers of its own.
export class Take {
  constructor(cfg, given) {
    const asked = this.asked = checked(given)
    this.past = new Past(primerIds(asked.primer))
    this.given = this.past.ids.length
    this.window = Math.min(asked.window || cfg.max_distance, 2**16)
    this.random = new Random(asked.seed)
    this.echo = new Echo(planOf(cfg, asked, this.past.steps*STEP)) // what the model hears beside the ids
    this.ending = new Ending(asked.seconds, this.past.steps)
    this.hearsEnds = cfg.ends
    const forget = cfg.state || cfg.wishes ? 0 : this.window
    this.rules = [this.ending]
    if (asked.temperature < 1) this.rules.push(new Waits(asked.temperature))
    if (asked.keyTemperature !== 1) this.rules.push(new Keys(asked.keyTemperature))
    if (asked.offScale) this.rules.push(new InScale(asked.offScale))
    if (asked.fewKeys) this.rules.push(new FewKeys(asked.fewKeys))
    if (asked.bothHands) this.rules.push(new BothHands(asked.bothHands))
    this.rules.push(new Rests(asked.maxRest, this.ending), new Holds(asked.maxHold, forget), new WellFormed())
  }

  get over() { return this.ending.over }

  // The returns that can be heard: one right note alone may be chance.
  get cameBack() { return this.echo.returned.filter(o => o.right > 1) }

  // Let the model hear what is asked for, and how far the end is.
  tell() {
    this.echo.directions = this.asked.directions
    this.echo.left = this.hearsEnds ? this.ending.left(this.past) : 0
  }

  // What the rules leave.
  allowed() {
    const allowed = new Uint8Array(VOCAB_SIZE).fill(1)
    allowed[PAD] = allowed[SOS] = 0
    for (const r of this.rules) r.veto(this.past, allowed)
    return allowed
  }

  // Draw the next id.
  draw(logits) {
    if (logits.some(Number.isNaN)) throw new Error('The model answers with NaN; its weights are damaged.')
    const allowed = this.allowed(), biased = logits.slice()
    for (let i = 0; i < VOCAB_SIZE; i++) if (!allowed[i]) biased[i] = -Infinity
    for (const r of this.rules) r.bias(this.past, biased)
    const i = pick(probabilities(biased, allowed, this.asked.temperature, this.asked.topP), this.random)
    this.past.push(i)
    for (const r of this.rules) r.push(i, this.past)
    return i
  }
}

// A step whose logits count what is told `guidance` times: `guided`. It takes a twin, which hears the same ids but is
// told nothing. Until something is told both would be the same, so the twin begins then, as a copy. From there on each
// id costs twice, told or not, for the twin has to have heard them all.
class Guided {
  constructor(model, {window, echo, asked}) {
    this.model = model
    this.cache = Object.assign(new Cache(model.cfg, window), {echo})
    this.step = new Step(model, this.cache)
    this.times = model.cfg.echo ? asked.guidance : 1
    this.twin = null
    this.ids = [] // that were heard so far
  }

  // An id that lies too far back to be read.
  pass(i) {
    this.ids.push(i)
    remember(this.cache, i)
  }

  hear(i) {
    if (!this.twin && this.times !== 1 && this.cache.echo.tells) this.twin = this.untold()
    this.ids.push(i)
    this.step.hear(i)
    this.twin?.hear(i)
  }

  // A step that has heard the same, and is told nothing.
  untold() {
    const {seen, window, layers} = this.cache, cache = new Cache(this.model.cfg, window)
    for (const i of this.ids) remember(cache, i)
    Object.assign(cache, {seen, layers: structuredClone(layers)})
    return new Step(this.model, cache)
  }

  say() {
    const told = this.step.say(), untold = this.twin?.say()
    if (!untold) return told
    const insists = this.cache.echo.left && this.times > 1
    const times = insists ? Math.max(this.times, TO_END) : this.times
    return untold.map((o, i) => o + times*(told[i] - o))
  }
}

function remember({state, echo}, i) {
  state.push(i)
  echo.push(i)
}

const TO_END = 4 // times that what is told counts, at least, while an end is told

// Move a take on until it is over: yields each id that is drawn, and `null` for each that is only read.
export function* compose(model, take) {
  const step = new Guided(model, take), {ids} = take.past
  const first = Math.max(0, ids.length - take.window) // of a long beginning only the window is read
  for (const i of ids.slice(0, first)) step.pass(i)
  for (const [n, i] of ids.slice(first).entries()) {
    if (n === ids.length - first - 1) take.tell() // for what is to come
    step.hear(i)
    yield null
  }
  while (true) {
    const i = take.draw(step.say())
    yield i
    if (take.over) return
    take.tell()
    step.hear(i)
  }
}

// What a player is to do for an id that `past` holds already: at most a release and a strike of one key.
function eventsOf(i, past, down) {
  const out = [], key = i % 128, time = past.steps*STEP
  if (i >= TIME_SHIFT) return out
  if (down.delete(key)) out.push({time, pitch: key, velocity: 0})
  if (i < NOTE_OFF) {
    down.add(key)
    out.push({time, pitch: key, velocity: 4*(past.velocity ?? 16) + 2})
  }
  return out
}

// Compose a take: yields {time, pitch, velocity} as soon as it is known, {time} where only time has passed, and `null`
// while a primer is read. Times count from the beginning of the primer, whose own events come first, `given`; at
// velocity 0 a key is released.
export function* stream(model, take) {
  const past = new Past([]), down = new Set()
  for (const i of take.past.ids) {
    past.push(i)
    for (const o of eventsOf(i, past, down)) yield {...o, given: true}
  }
  for (const i of compose(model, take)) {
    if (i === null) yield null
    else if (i < TIME_SHIFT) yield* eventsOf(i, take.past, down)
    else yield {time: take.past.steps*STEP}
  }
  for (const pitch of [...down].sort((a, b) => a - b)) yield {time: take.past.steps*STEP, pitch, velocity: 0}
}
