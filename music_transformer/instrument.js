// An instrument for a page: a piano, a roll and a clock. It does not know who composes.
// One ES module, no imports. Times are seconds; pitch 60 is middle C; velocities are 1 to 127, and 0 is a release.

// -- numbers with a meaning
const AHEAD = .2       // seconds by which sound is planned before it is due
const TICK = .04       // seconds between two looks at what comes next
const BUFFER = .3      // seconds of music at hand before a stream begins to sound; doubled by each underrun
const MOST_BUFFER = 8  // seconds
const PAUSE = 4        // seconds without a key after which another phrase begins
const RING = .6        // seconds that the last note rings before a take is over
const GIVEN = ['#0c7554', '#0c815e', '#228d68', '#329873', '#3fa47e', '#4daf89', '#59bb94', '#66c7a0'] // soft to loud
const COMPOSED = ['#1e59cd', '#6b52d4', '#9d4ec8', '#c64cac', '#e65086', '#f96056', '#fb7e11', '#e8a106']
const ROW = ['KeyA', 'KeyW', 'KeyS', 'KeyE', 'KeyD', 'KeyF', 'KeyT', 'KeyG', 'KeyY', 'KeyH', 'KeyU', 'KeyJ', 'KeyK', 'KeyO',
  'KeyL', 'KeyP', 'Semicolon', 'Quote'] // from C upwards, where a computer's keys lie

// -- small tools
const clamp = (x, least, most) => Math.min(Math.max(x, least), most)
export const clock = t => Math.floor(t/60) + ':' + String(Math.floor(t%60)).padStart(2, '0')
const isBlack = pitch => [1, 3, 6, 8, 10].includes(pitch%12)
const shade = velocity => clamp(Math.floor((velocity - 20)/12), 0, 7)
const plainly = ({start, end, pitch, velocity, given}) => ({start, end, pitch, velocity, given: !!given})

export function noteName(pitch) {
  const names = ['C', 'C sharp', 'D', 'E flat', 'E', 'F', 'F sharp', 'G', 'A flat', 'A', 'B flat', 'B']
  return names[pitch%12] + ' ' + (Math.floor(pitch/12) - 1)
}

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag)
  for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v)
  node.append(...children)
  return node
}

// A page that did not change is not told so sixty times a second.
function write(node, text) { if (node.textContent !== text) node.textContent = text }
function set(node, name, value) { if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value) }

// ---------------------------------------------------------------- sound

// A sampled piano: recordings of some keys in some touches, as `piano_samples` of the Python package writes them.
export class Samples {
  static async read(bytes) {
    const data = ArrayBuffer.isView(bytes) ? copied(bytes) : bytes
    const head = new TextDecoder().decode(data.slice(0, 8))
    if (head !== 'MTPIANO1') throw new Error('These are not the samples of a piano.')
    const length = new DataView(data).getUint32(8, true)
    const about = JSON.parse(new TextDecoder().decode(data.slice(12, 12 + length)))
    const decoder = new OfflineAudioContext(1, 1, 44100)   // decodes before any gesture
    const decode = async o => {
      const audio = await decoder.decodeAudioData(data.slice(12 + length + o.at, 12 + length + o.at + o.bytes))
      return {...o, audio, begin: onset(audio)}
    }
    return new Samples(await Promise.all(about.samples.map(decode)))
  }

  constructor(samples) {
    this.touches = [...new Set(samples.map(o => o.velocity))].sort((a, b) => a - b)
    this.keys = [...new Set(samples.map(o => o.pitch))]
    this.at = new Map(samples.map(o => [o.pitch + ' ' + o.velocity, o]))
  }

  // The recordings that a touch is mixed of, each with its share.
  mixture(pitch, velocity) {
    const key = this.keys.reduce((a, b) => Math.abs(b - pitch) < Math.abs(a - pitch) ? b : a)
    const {touches} = this
    const upper = clamp(touches.findIndex(o => o >= velocity), 1, touches.length - 1)
    const hard = velocity > touches.at(-1) ? touches.length - 1 : upper
    const [a, b] = [touches[hard - 1], touches[hard]]
    const share = clamp((velocity - a)/(b - a), 0, 1)
    const [soft, loud] = [this.at.get(key + ' ' + a), this.at.get(key + ' ' + b)]
    return [[soft, 1 - share], [loud, share]].filter(([, o]) => o > 0)
  }
}

function copied({buffer, byteOffset, byteLength}) { return buffer.slice(byteOffset, byteOffset + byteLength) }

// Where a recording really begins: an MP3 has some silence before it.
function onset(audio) {
  const x = audio.getChannelData(0)
  const loud = x.reduce((a, b) => Math.max(a, Math.abs(b)), 0)/100
  const first = x.findIndex(o => Math.abs(o) > loud)
  return Math.max(first/audio.sampleRate - .002, 0)
}

// What sounds: voices on an AudioContext, or the keys of a MIDI instrument.
export class Sound {
  constructor(context) {
    this.context = context
    this.samples = null
    this.port = null          // a MIDI output that plays instead
    this.voices = new Set()
    this.volume = context.createGain()
    const limiter = context.createDynamicsCompressor()
    limiter.threshold.value = -6
    limiter.knee.value = 6
    this.volume.connect(limiter)
    this.volume.connect(this.room()).connect(limiter)
    limiter.connect(context.destination)
  }

  // A small hall: noise that loses 60 dB in a second, as loud as the one that Python renders.
  room() {
    const {context} = this, n = Math.round(1.1*context.sampleRate)
    const echo = context.createBuffer(2, n, context.sampleRate)
    for (const side of [0, 1]) {
      const x = echo.getChannelData(side)
      let smooth = 0
      for (let i = Math.round(.012*context.sampleRate); i < n; i++) {
        smooth += .25*(Math.random()*2 - 1 - smooth)
        x[i] = smooth*10**(-3*i/n)
      }
      const energy = Math.sqrt(x.reduce((a, b) => a + b*b, 0))
      x.forEach((o, i) => { x[i] = .13*o/energy })
    }
    const hall = context.createConvolver()
    hall.normalize = false
    hall.buffer = echo
    return hall
  }

  get now() { return this.context.currentTime }

  strike(pitch, velocity, when = this.now) {
    if (this.port) return this.send(0x90, pitch, velocity, when)
    const voice = {pitch, gain: this.context.createGain(), sources: [], damper: .25}
    voice.gain.connect(this.volume)
    if (this.samples) this.pluck(voice, velocity, when)
    else this.hum(voice, velocity, when)
    this.voices.add(voice)
    voice.sources[0].onended = () => this.forget(voice)
    return voice
  }

  // A recording, faster or slower for the keys between.
  pluck(voice, velocity, when) {
    for (const [sample, share] of this.samples.mixture(voice.pitch, velocity)) {
      const source = this.context.createBufferSource(), level = this.context.createGain()
      source.buffer = sample.audio
      source.playbackRate.value = 2**((voice.pitch - sample.pitch)/12)
      level.gain.value = share*sample.gain*(velocity/127)**2
      source.connect(level).connect(voice.gain)
      source.start(when, sample.begin)
      voice.sources.push(source)
      voice.damper = sample.damper
    }
  }

  // Without recordings: a plain tone that dies away.
  hum(voice, velocity, when) {
    const {context} = this
    const source = context.createOscillator(), level = context.createGain()
    const partials = [0, 1, .5, .22, .12, .06].map((o, i) => o*(velocity/127)**(i/3))
    source.setPeriodicWave(context.createPeriodicWave(new Float32Array(partials.length), new Float32Array(partials)))
    source.frequency.value = 440*2**((voice.pitch - 69)/12)
    level.gain.setValueAtTime(0, when)
    level.gain.linearRampToValueAtTime(.3*(velocity/127)**1.5, when + .004)
    level.gain.setTargetAtTime(0, when + .004, .9*2**((60 - voice.pitch)/24))
    source.connect(level).connect(voice.gain)
    source.start(when)
    source.stop(when + 12)
    voice.sources.push(source)
  }

  release(voice, when = this.now) {
    if (!voice) return
    if (voice.port) return this.send(0x80, voice.pitch, 0, when, voice.port)
    voice.gain.gain.setTargetAtTime(0, when, voice.damper/11.5)   // `damper` seconds for 100 dB
    for (const o of voice.sources) o.stop(when + voice.damper)
  }

  // All that sounds, or was planned to, ends now.
  silence() {
    for (const voice of this.voices) {
      voice.gain.gain.cancelScheduledValues(this.now)
      voice.gain.gain.setTargetAtTime(0, this.now, .02)
      for (const o of voice.sources) o.stop(this.now + .15)
    }
    if (!this.port) return
    this.port.clear?.()
    this.port.send([0xb0, 123, 0])
  }

  forget(voice) {
    voice.gain.disconnect()
    this.voices.delete(voice)
  }

  send(status, pitch, velocity, when, port = this.port) {
    port.send([status, pitch, velocity], performance.now() + Math.max(when - this.now, 0)*1000)
    return {pitch, port}
  }
}

// ---------------------------------------------------------------- a take

// Notes that may still be coming in, and the events that play them.
export class Take {
  constructor(title = '') {
    this.title = title
    this.notes = []        // {start, end, pitch, velocity, given}; `end` is null while it is not known
    this.events = []       // {time, pitch, velocity}, in the order of playing
    this.open = new Map()  // pitch to the last note there
    this.horizon = 0       // everything before this second is known
    this.ended = false
  }

  static of(notes, title) {
    const take = new Take(title), events = []
    for (const o of notes) {
      events.push({time: o.start, pitch: o.pitch, velocity: o.velocity, given: o.given})
      events.push({time: Math.max(o.end, o.start + .001), pitch: o.pitch, velocity: 0}) // a release comes after its strike
    }
    events.sort((a, b) => a.time - b.time || a.velocity - b.velocity)
    for (const e of events) take.add(e)
    take.end()
    return take
  }

  add({time, pitch, velocity, given}) {
    const known = given && !velocity             // a given note may end later than anything that is known
    if (!known) this.horizon = Math.max(this.horizon, time)
    if (pitch === undefined) return              // nothing but a sign that time has passed
    this.close(pitch, time)
    if (velocity > 0) {
      const note = {start: time, end: null, pitch, velocity, given: !!given}
      this.notes.push(note)
      this.open.set(pitch, note)
    }
    this.insert({time, pitch, velocity})
  }

  insert(event) {
    let i = this.events.length
    while (i && this.events[i - 1].time > event.time) i--
    this.events.splice(i, 0, event)
  }

  // A key that sounds is let go: where it is struck again, or released.
  close(pitch, time) {
    const note = this.open.get(pitch)
    if (!note) return
    if (note.end > time) this.events = this.events.filter(o => o.pitch !== pitch || o.time <= time || o.velocity)
    if (note.end === null || note.end > time) note.end = Math.max(time, note.start)
  }

  end() {
    for (const o of this.notes) if (o.end === null) this.add({time: this.horizon, pitch: o.pitch, velocity: 0})
    this.horizon = Math.max(this.horizon, this.events.at(-1)?.time ?? 0)
    this.ended = true
  }

  // How many events come before a second.
  index(time) {
    let [a, b] = [0, this.events.length]
    while (a < b) {
      const half = (a + b) >> 1
      if (this.events[half].time < time) a = half + 1
      else b = half
    }
    return a
  }
}

// ---------------------------------------------------------------- the clock

// Plays a take. The sound card's own time rules; a timer only looks ahead, and plans what is due soon.
export class Clock {
  constructor(sound, tell) {
    this.sound = sound     // has now, strike, release, silence
    this.tell = tell       // called with 'waiting', 'going on'
    this.take = Take.of([])
    this.tempo = 1
    this.loop = false
    this.range = null      // [a, b] that a loop repeats
    this.playing = this.waiting = false
    this.underruns = this.late = 0
    this.at = this.since = 0
    this.down = new Map()
  }

  // The second of the take that sounds at a time of the sound card.
  position(now = this.sound.now) {
    if (!this.playing || this.waiting) return this.at
    return this.at + Math.max(now - this.since, 0)*this.tempo
  }

  // When a second of the take is due.
  due(time) { return this.since + (time - this.at)/this.tempo }

  anchor(at, delay = 0) {
    this.at = at
    this.since = this.sound.now + delay
  }

  play(from = this.at) {
    this.stop()
    this.playing = true
    this.underruns = this.late = 0
    this.go(from)
    this.timer = setInterval(() => this.tick(), TICK*1000)
    this.tick()
  }

  // Begin at a second, as soon as enough of what follows is known.
  go(from) {
    this.anchor(from, .03)
    this.begun = from
    this.run = {}          // what is planned in this run is marked with it
    this.waiting = !this.enough()
    if (this.waiting) this.tell('waiting')
  }

  enough() {
    const {take} = this
    return take.ended || take.horizon - this.at >= Math.min(BUFFER*2**this.underruns, MOST_BUFFER)*this.tempo
  }

  stop() {
    this.at = this.position()
    this.playing = this.waiting = false
    clearInterval(this.timer)
    this.down.clear()
    this.sound.silence()
  }

  retempo(tempo) {
    this.anchor(this.position())
    this.tempo = tempo
  }

  get last() {
    if (this.loop && this.range) return this.range[1]
    return this.take.ended ? this.take.horizon : Infinity
  }

  tick() {
    if (this.waiting && !this.enough()) return
    if (this.waiting) this.resume()
    const now = this.position()
    if (!this.take.ended && now + TICK*this.tempo > this.take.horizon && this.last > now) return this.wait(now)
    this.plan(Math.min(this.position(this.sound.now + AHEAD), this.last))
    if (now >= this.last + (this.loop ? 0 : RING*this.tempo)) this.finish()
  }

  wait(now) {
    this.at = Math.min(now, this.take.horizon)  // a late look is not a wrong one
    this.waiting = true
    this.underruns++
    this.tell('waiting')
  }

  resume() {
    this.waiting = false
    this.anchor(this.at, .03)
    this.tell('going on')
  }

  // Hand every event before a second to the sound, with the time at which it is due.
  plan(until) {
    const {events} = this.take
    const first = this.take.index(Math.max(this.begun, this.position() - 1))
    for (let i = first; i < events.length && events[i].time <= until; i++) {
      if (events[i].run === this.run) continue
      events[i].run = this.run
      this.do(events[i])
    }
  }

  do({time, pitch, velocity}) {
    const due = this.due(time), when = Math.max(due, this.sound.now)
    if (due < this.sound.now) this.late++
    this.sound.release(this.down.get(pitch), when)
    this.down.delete(pitch)
    if (velocity) this.down.set(pitch, this.sound.strike(pitch, velocity, when))
  }

  finish() {
    for (const voice of this.down.values()) this.sound.release(voice)
    this.down.clear()
    if (this.loop) return this.go(this.range ? this.range[0] : 0)
    this.stop()
    this.at = 0
  }
}

// ---------------------------------------------------------------- the roll

// Draws a take on a canvas, and lets a stretch of it be marked.
class Roll {
  constructor(seek, mark) {
    this.canvas = make('canvas', {class: 'mt-roll', role: 'img'})
    this.seek = seek
    this.mark = mark
    this.range = null      // [a, b] seconds that are marked
    this.from = 0          // the second at the left edge
    this.hold = false      // a finger is on it
    this.fresh()
    this.canvas.addEventListener('pointerdown', e => this.press(e))
    this.canvas.addEventListener('pointermove', e => this.drag(e))
    this.canvas.addEventListener('pointerup', e => this.lift(e))
    this.canvas.addEventListener('pointercancel', () => { this.hold = false })
    this.canvas.addEventListener('wheel', e => this.scroll(e), {passive: false})
  }

  fresh() {
    this.low = 45
    this.high = 81
    this.from = 0
  }

  get wide() { return clamp(this.canvas.clientWidth/55, 6, 20) } // seconds that are seen
  x(time) { return (time - this.from)/this.wide*this.canvas.clientWidth }
  y(pitch) { return (this.high - pitch)/(this.high - this.low + 1)*this.canvas.clientHeight }

  time(e) {
    const box = this.canvas.getBoundingClientRect()
    return Math.max(this.from + (e.clientX - box.left)/box.width*this.wide, 0)
  }

  press(e) {
    if (e.button) return
    this.hold = true
    this.begin = this.time(e)
    this.beginX = e.clientX
    try { this.canvas.setPointerCapture(e.pointerId) } catch {}
  }

  drag(e) {
    if (!this.hold || Math.abs(e.clientX - this.beginX) < 6) return
    const box = this.canvas.getBoundingClientRect()
    if (e.clientX > box.right - 12) this.from += .15          // at an edge the roll moves on
    if (e.clientX < box.left + 12) this.from = Math.max(this.from - .15, 0)
    const now = this.time(e)
    this.mark([Math.min(now, this.begin), Math.max(now, this.begin)], false)
  }

  lift(e) {
    if (!this.hold) return
    this.hold = false
    if (Math.abs(e.clientX - this.beginX) >= 6) return this.mark(this.range, true)
    this.mark(null, true)
    this.seek(this.begin)
  }

  scroll(e) {
    const far = e.shiftKey ? e.deltaY : e.deltaX
    if (!far) return
    e.preventDefault()
    this.from = Math.max(this.from + far/this.canvas.clientWidth*this.wide, 0)
    this.held = performance.now()
  }

  // Keep what sounds in view.
  follow(position, playing) {
    if (this.hold) return
    if (playing) this.from = Math.max(position - .4*this.wide, 0)
    else if (performance.now() - (this.held ?? -1e9) < 4000) return
    else if (position < this.from || position > this.from + this.wide) this.from = Math.max(position - .1*this.wide, 0)
  }

  draw(notes, position, horizon) {
    const {canvas} = this, {clientWidth: w, clientHeight: h} = canvas
    if (!w) return
    const ratio = window.devicePixelRatio || 1
    if (canvas.width !== Math.round(w*ratio)) canvas.width = Math.round(w*ratio)
    if (canvas.height !== Math.round(h*ratio)) canvas.height = Math.round(h*ratio)
    for (const o of notes) {
      this.low = Math.min(this.low, o.pitch - 2)
      this.high = Math.max(this.high, o.pitch + 2)
    }
    const ink = getComputedStyle(canvas).color
    const pen = canvas.getContext('2d')
    pen.setTransform(ratio, 0, 0, ratio, 0, 0)
    pen.clearRect(0, 0, w, h)
    this.lines(pen, ink, w, h)
    this.notes(pen, notes, horizon, h)
    pen.fillStyle = ink
    pen.fillRect(this.x(position) - 1, 0, 2, h)
  }

  // The Cs, the seconds, and what is marked.
  lines(pen, ink, w, h) {
    pen.fillStyle = ink
    pen.font = '11px system-ui, sans-serif'
    for (let pitch = 12*Math.ceil(this.low/12); pitch <= this.high; pitch += 12) {
      pen.globalAlpha = .15
      pen.fillRect(0, Math.round(this.y(pitch - 1)), w, 1)
      pen.globalAlpha = .7
      pen.fillText('C' + (pitch/12 - 1), 3, this.y(pitch - 1) - 3)
    }
    const step = this.wide > 12 ? 5 : 2
    for (let t = step*Math.ceil(this.from/step); t < this.from + this.wide; t += step) {
      pen.globalAlpha = .08
      pen.fillRect(this.x(t), 0, 1, h)
      pen.globalAlpha = .7
      pen.fillText(clock(t), this.x(t) + 3, h - 4)
    }
    if (this.range) {
      pen.globalAlpha = .16
      pen.fillRect(this.x(this.range[0]), 0, this.x(this.range[1]) - this.x(this.range[0]), h)
    }
    pen.globalAlpha = 1
  }

  notes(pen, notes, horizon, h) {
    const high = h/(this.high - this.low + 1), thick = Math.max(high*.85, 2)
    for (const {start, end, pitch, velocity, given} of notes) {
      const until = end ?? Math.max(horizon, start)
      if (until < this.from || start > this.from + this.wide) continue
      pen.fillStyle = (given ? GIVEN : COMPOSED)[shade(velocity)]
      pen.fillRect(this.x(start), this.y(pitch), Math.max(this.x(until) - this.x(start) - 1, 2), thick)
    }
  }
}

// ---------------------------------------------------------------- the keys

// Buttons like a piano's; `press` and `lift` say what a finger does.
class Keys {
  constructor(press, lift) {
    this.press = press
    this.lift = lift
    this.buttons = new Map()
    this.fingers = new Map() // pointer to pitch
    const what = 'Piano keys: the arrows go from key to key, space strikes one'
    this.field = make('div', {class: 'mt-keys', role: 'group', 'aria-label': what})
    this.root = make('div', {class: 'mt-keyboard'}, this.field)
    this.whites = 52         // of 88
    this.field.style.minWidth = this.whites*22 + 'px'
    let white = 0
    for (let pitch = 21; pitch <= 108; pitch++) {
      this.add(pitch, white)
      if (!isBlack(pitch)) white++
    }
    this.listen()
  }

  add(pitch, white) {
    const black = isBlack(pitch)
    const key = make('button', {type: 'button', tabindex: -1, 'aria-label': noteName(pitch)})
    key.className = black ? 'mt-black' : 'mt-white'
    key.dataset.pitch = pitch
    const one = 100/this.whites
    key.style.left = (black ? white - .32 : white)*one + '%'
    key.style.width = (black ? .64 : 1)*one + '%'
    if (pitch === 60) key.tabIndex = 0
    if (pitch%12 === 0) key.append(make('span', {'aria-hidden': 'true'}, 'C' + (pitch/12 - 1)))
    this.buttons.set(pitch, key)
    this.field.append(key)
  }

  listen() {
    const {field} = this
    field.addEventListener('pointerdown', e => {
      if (e.button) return
      e.preventDefault()
      e.target.releasePointerCapture?.(e.pointerId)
      this.touch(e)
    })
    field.addEventListener('pointermove', e => { if (this.fingers.has(e.pointerId)) this.touch(e) })
    for (const what of ['pointerup', 'pointercancel', 'pointerleave']) field.addEventListener(what, e => this.leave(e))
    field.addEventListener('keydown', e => this.typed(e))
    field.addEventListener('keyup', e => { if (' Enter'.includes(e.key)) this.lift(+e.target.dataset.pitch) })
  }

  // A finger lies on a key, or slides to the next. Further down the key is louder.
  touch(e) {
    const key = document.elementFromPoint(e.clientX, e.clientY)?.closest?.('.mt-keys button')
    const pitch = key && this.field.contains(key) ? +key.dataset.pitch : null
    if (pitch === this.fingers.get(e.pointerId)) return
    this.leave(e)
    if (pitch === null) return
    const box = key.getBoundingClientRect()
    this.fingers.set(e.pointerId, pitch)
    this.press(pitch, Math.round(45 + 65*clamp((e.clientY - box.top)/box.height, 0, 1)))
  }

  leave(e) {
    const pitch = this.fingers.get(e.pointerId)
    this.fingers.delete(e.pointerId)
    if (pitch !== undefined) this.lift(pitch)
  }

  typed(e) {
    const pitch = +e.target.dataset.pitch, step = {ArrowRight: 1, ArrowLeft: -1, ArrowUp: 12, ArrowDown: -12}[e.key]
    if (step) this.buttons.get(pitch + step)?.focus()
    else if (' Enter'.includes(e.key) && !e.repeat) this.press(pitch, 80)
    else if (!' Enter'.includes(e.key)) return
    e.preventDefault()
    e.stopPropagation()
  }

  light(pitch, on) { this.buttons.get(pitch)?.classList.toggle('mt-down', on) }

  // Bring an octave into view.
  show(pitch) {
    const key = this.buttons.get(pitch)
    if (!key) return
    const left = key.offsetLeft - this.root.clientWidth/2 + key.offsetWidth*4
    this.root.scrollTo({left, behavior: 'smooth'})
  }
}

// ---------------------------------------------------------------- the instrument

const STYLE = `
.mt-instrument{font:14px/1.4 system-ui,sans-serif;color:inherit;max-width:90rem}
.mt-instrument *{box-sizing:border-box}
.mt-instrument [hidden]{display:none!important}
.mt-instrument .mt-head{display:flex;gap:.8rem;align-items:baseline;min-height:1.5em}
.mt-instrument .mt-title{font-weight:600;flex:1;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.mt-instrument .mt-time{font-variant-numeric:tabular-nums}
.mt-instrument .mt-roll{display:block;width:100%;height:200px;border:1px solid rgba(128,128,128,.4);border-radius:8px 8px 0 0}
.mt-instrument .mt-roll{background:rgba(128,128,128,.07);touch-action:pan-y;cursor:crosshair;color:inherit}
.mt-instrument .mt-position{display:block;width:100%;margin:2px 0 4px;accent-color:#6b52d4}
@media(pointer:coarse){.mt-instrument input[type=range]{height:44px}}
.mt-instrument .mt-bar{display:flex;flex-wrap:wrap;align-items:center;gap:.4rem .6rem;margin:.35rem 0}
.mt-instrument .mt-bar label{display:inline-flex;align-items:center;gap:.35rem}
.mt-instrument .mt-bar input[type=range]{width:6.5rem;accent-color:#6b52d4}
.mt-instrument button{font:inherit;color:inherit}
.mt-instrument .mt-bar button,.mt-instrument .mt-bar select{min-height:36px;padding:.2rem .8rem;border-radius:8px}
.mt-instrument .mt-bar button{border:1px solid rgba(128,128,128,.5);background:rgba(128,128,128,.14);cursor:pointer}
.mt-instrument .mt-bar select{font:inherit}
.mt-instrument .mt-bar button:hover{background:rgba(128,128,128,.3)}
.mt-instrument .mt-bar button:disabled{opacity:.5;cursor:default}
.mt-instrument .mt-bar button[aria-pressed=true]{background:#6b52d4;border-color:#6b52d4;color:#fff}
.mt-instrument .mt-bar .mt-record[aria-pressed=true]{background:#c0264b;border-color:#c0264b}
.mt-instrument .mt-bar .mt-play{min-width:5rem;font-weight:600}
.mt-instrument .mt-said{min-height:1.4em;margin:.2rem 0}
.mt-instrument .mt-keyboard{overflow-x:auto;border-radius:0 0 8px 8px;border:1px solid rgba(128,128,128,.5)}
.mt-instrument .mt-keys{position:relative;height:120px;touch-action:none;user-select:none;-webkit-user-select:none}
.mt-instrument .mt-keys button{position:absolute;top:0;padding:0;border:1px solid #555;border-top:0;border-radius:0 0 4px 4px}
.mt-instrument .mt-keys .mt-white{height:100%;background:#fbfaf7;color:#555}
.mt-instrument .mt-keys .mt-black{height:62%;background:#222;z-index:1}
.mt-instrument .mt-keys button.mt-down{background:#9d4ec8}
.mt-instrument .mt-keys span{position:absolute;bottom:2px;left:0;right:0;text-align:center;font-size:10px;pointer-events:none}
.mt-instrument:focus-visible,.mt-instrument :focus-visible{outline:2px solid currentColor;outline-offset:2px}
.mt-instrument .mt-keys button:focus-visible{outline:3px solid #e65086;outline-offset:-3px;z-index:2}
.mt-instrument .mt-help{font-size:12px;opacity:.8;margin:.3rem 0}
`

const HELP = 'Computer keys A to ; are piano keys, Z and X move them by an octave. Space plays and stops, Enter composes, '
  + 'Backspace deletes a take. Drag over the roll to mark a stretch, or use [ and ].'
const NO_AUDIO = 'This browser has no Web Audio: the roll moves, but nothing can sound.'
const GESTURE = 'Click or touch the instrument once: the browser lets nothing sound before that.'
const NO_MIDI = 'This browser has no Web MIDI, so no MIDI instrument can be used here; Chrome, Edge and Firefox have it.'

const Audio = globalThis.AudioContext ?? globalThis.webkitAudioContext

// Where the browser has no sound, time passes all the same.
const silent = {
  get now() { return performance.now()/1000 },
  strike() { return null },
  release() {},
  silence() {},
}

export class Instrument {
  constructor(root) {
    this.root = root
    this.samples = null
    this.played = []       // notes of the keys, in seconds of `performance.now`
    this.fingers = new Map() // pitch to what a pressed key plays: {voice, note}
    this.last = []         // the phrase that was taken last
    this.octave = 60       // where the row of computer keys begins
    this.pedal = false
    this.asked = null      // the second to play from as soon as the browser lets it sound
    this.recording = false
    this.clock = new Clock(silent, what => this.hear(what))
    this.build()
    this.listen()
    this.frame = requestAnimationFrame(() => this.draw())
  }

  // -- what it is made of

  build() {
    const {root} = this
    root.classList.add('mt-instrument')
    root.tabIndex = 0
    root.setAttribute('role', 'group')
    root.setAttribute('aria-label', 'Instrument')
    root.dataset.lmSuppressShortcuts = 'true'   // JupyterLab is to leave our keys to us
    this.title = make('span', {class: 'mt-title'})
    this.time = make('span', {class: 'mt-time'}, '0:00')
    this.roll = new Roll(t => this.seek(t), (range, done) => this.mark(range, done))
    const range = {type: 'range', min: 0, max: 1, step: .1, value: 0}
    this.slider = make('input', {...range, class: 'mt-position', 'aria-label': 'Position'})
    this.keys = new Keys((pitch, velocity) => this.press(pitch, velocity), pitch => this.lift(pitch))
    this.actions = make('div', {class: 'mt-bar mt-actions'})   // for the buttons of whoever composes
    this.said = make('div', {class: 'mt-said', role: 'status'})
    const head = make('div', {class: 'mt-head'}, this.title, this.time)
    root.replaceChildren(make('style', {}, STYLE), head, this.roll.canvas, this.slider, this.bar(), this.actions, this.said,
      this.keys.root, make('div', {class: 'mt-help'}, HELP))
    requestAnimationFrame(() => this.keys.show(60))
  }

  bar() {
    const button = (text, name, act, more = {}) => {
      const o = make('button', {type: 'button', class: name, ...more}, text)
      o.addEventListener('click', act)
      return o
    }
    this.playButton = button('Play', 'mt-play', () => this.toggle())
    this.loopButton = button('Loop', 'mt-loop', () => { this.loop = !this.loop }, {'aria-pressed': false})
    const record = () => this.recording ? this.phrase() : this.record()
    this.recordButton = button('Record', 'mt-record', record, {'aria-pressed': false})
    this.midiButton = button('MIDI', 'mt-midi', () => this.connect(), {title: 'play from, or on, a MIDI instrument'})
    this.outputs = make('select', {'aria-label': 'Where it sounds', hidden: ''})
    this.outputs.addEventListener('change', () => this.route())
    this.pace = make('input', {type: 'range', min: .5, max: 2, step: .05, value: 1, 'aria-label': 'Tempo'})
    this.paceSaid = make('span', {}, '1.00')
    this.pace.addEventListener('input', () => { this.tempo = +this.pace.value })
    const tempo = make('label', {}, 'tempo', this.pace, this.paceSaid)
    const lower = button('Octave −', 'mt-lower', () => this.shift(-12), {'aria-label': 'An octave lower'})
    const higher = button('Octave +', 'mt-higher', () => this.shift(12), {'aria-label': 'An octave higher'})
    return make('div', {class: 'mt-bar'}, this.playButton, this.loopButton, tempo, this.recordButton, lower, higher,
      this.midiButton, this.outputs)
  }

  listen() {
    this.slider.addEventListener('input', () => this.seek(+this.slider.value))
    this.root.addEventListener('keydown', e => this.typed(e))
    this.root.addEventListener('keyup', e => this.untyped(e))
    this.root.addEventListener('focusout', e => { if (!this.root.contains(e.relatedTarget)) this.liftAll() })
    this.root.addEventListener('pointerdown', e => {
      this.wake()
      if (!e.target.closest('button, input, select, textarea, a, summary, label')) this.root.focus({preventScroll: true})
      if (e.target.closest('.mt-keys')) this.root.focus({preventScroll: true})
    })
    this.gesture = () => this.wake()
    for (const what of ['pointerup', 'keydown']) document.addEventListener(what, this.gesture)
  }

  tell(name, detail) { this.root.dispatchEvent(new CustomEvent(name, {detail, bubbles: true})) }

  say(sentence) { this.said.textContent = sentence }

  // -- sound

  // Make the sound card ready. Before a gesture the browser may refuse.
  wake() {
    if (!Audio) return this.said.textContent || this.say(NO_AUDIO)
    if (!this.sound && navigator.userActivation?.hasBeenActive === false) return
    if (!this.sound) this.tune()
    if (this.sound.context.state !== 'running') this.sound.context.resume().catch(() => {})
    if (this.asked === null) return
    if (this.said.textContent === GESTURE) this.say('')
    this.play(this.asked)
  }

  tune() {
    this.sound = new Sound(new Audio({latencyHint: 'interactive'}))
    this.sound.samples = this.samples
    this.swap()
  }

  // From now on the sound card's clock rules.
  swap() {
    const at = this.clock.position()
    this.clock.sound = this.sound
    this.clock.anchor(at, .03)
  }

  async loadPiano(samples) {
    this.samples = await Samples.read(samples)
    if (this.sound) this.sound.samples = this.samples
  }

  // -- takes

  // A take that comes in; nothing is recorded before its `end`.
  begin(title = '') { this.show(new Take(title)) }

  load(notes, title = '') { this.show(Take.of(notes, title)) }

  show(take) {
    this.stop()
    if (this.recording) this.say('')
    this.recording = false
    this.clock.take = take
    this.clock.at = 0
    this.roll.fresh()
    this.mark(null, true)
    this.title.textContent = take.title
  }

  add(event) { this.clock.take.add(event) }

  end() { this.clock.take.end() }

  get notes() {
    const {notes, horizon} = this.clock.take
    return notes.map(o => plainly({...o, end: o.end ?? horizon}))
  }

  // -- playing back

  play(from = this.position) {
    this.asked = null
    this.wake()
    if (this.sound || !Audio) return this.clock.play(from)
    this.asked = from          // nothing may sound yet: it plays when it may
    this.say(GESTURE)
  }

  stop() {
    this.asked = null
    this.clock.stop()
  }

  toggle() {
    if (this.clock.playing) this.stop()
    else this.play(this.clock.range && this.loop ? this.clock.range[0] : this.position)
  }

  seek(time) {
    const to = clamp(time, 0, this.clock.take.horizon)
    if (this.clock.playing) this.clock.play(to)
    else this.clock.at = to
  }

  get position() { return this.clock.position() }
  get playing() { return this.clock.playing }
  get underruns() { return this.clock.underruns }
  get marked() { return this.roll.range }

  get loop() { return this.clock.loop }
  set loop(on) {
    this.clock.loop = !!on
    this.loopButton.setAttribute('aria-pressed', !!on)
  }

  get tempo() { return this.clock.tempo }
  set tempo(tempo) {
    this.clock.retempo(clamp(tempo, .5, 2))
    this.pace.value = this.clock.tempo
    this.paceSaid.textContent = this.clock.tempo.toFixed(2)
  }

  mark(range, done) {
    this.roll.range = this.clock.range = range
    if (done) this.tell('mt-mark', {range})
  }

  // What the clock says.
  hear(what) {
    if (what === 'waiting' && this.underruns) this.say('The music waits for its composer, who is slower than it sounds.')
    if (what === 'going on' && this.said.textContent.startsWith('The music waits')) this.say('')
  }

  // -- keys

  press(pitch, velocity = 80) {
    this.wake()
    this.damp(pitch)
    const now = performance.now()/1000
    const pause = now - Math.max(...this.played.map(o => o.end ?? now), -Infinity)
    if (!this.recording && pause > PAUSE) this.played = []
    const note = {start: now, end: null, pitch, velocity, given: true}
    this.played.push(note)
    this.fingers.set(pitch, {note, voice: this.sound?.strike(pitch, velocity)})
    this.keys.light(pitch, true)
  }

  lift(pitch) {
    const finger = this.fingers.get(pitch)
    if (!finger) return
    finger.lifted = true
    this.keys.light(pitch, false)
    if (!this.pedal) this.damp(pitch)
  }

  damp(pitch) {
    const finger = this.fingers.get(pitch)
    if (!finger) return
    finger.note.end = performance.now()/1000
    this.sound?.release(finger.voice)
    this.fingers.delete(pitch)
    this.keys.light(pitch, false)
  }

  liftAll() { for (const pitch of [...this.fingers.keys()]) this.lift(pitch) }

  setPedal(down) {
    this.pedal = down
    if (down) return
    for (const [pitch, finger] of [...this.fingers]) if (finger.lifted) this.lift(pitch)
  }

  // What was played, its first note at 0.
  phraseSoFar() {
    const now = performance.now()/1000, first = this.played[0]?.start ?? 0
    return this.played.map(o => ({...o, start: o.start - first, end: (o.end ?? now) - first}))
  }

  record() {
    if (!this.clock.take.ended) return
    this.load([], 'Your phrase')
    this.played = []
    this.recording = true
    this.say('Play; it is being recorded.')
  }

  // What was recorded, if it was; else what was just played, or the phrase before where nothing was.
  phrase() {
    this.setPedal(false)
    this.liftAll()
    const notes = this.phraseSoFar(), recorded = this.recording
    this.recording = false
    this.played = []
    if (recorded) this.say(notes.length ? '' : 'Nothing was played.')
    if (!notes.length && !recorded) return this.last
    if (notes.length) this.last = notes
    if (recorded) this.load(notes, 'Your phrase')
    this.tell('mt-phrase', {notes, recorded})
    return notes
  }

  // Keys of the computer, while the instrument has the focus and nothing is being written.
  typed(e) {
    const writing = e.target.closest('input:not([type=range]):not([type=checkbox]), select, textarea, [contenteditable=true]')
    if (writing || e.ctrlKey || e.metaKey || e.altKey) return
    const onButton = e.target.closest('button, a, summary, input[type=checkbox]')
    if (this.shortcut(e, onButton)) e.preventDefault()
    else if (!onButton || ![' ', 'Enter'].includes(e.key)) return
    e.stopPropagation()
  }

  // Was this key one of ours?
  shortcut(e, onButton) {
    const i = ROW.indexOf(e.code)
    if (i >= 0) return e.repeat || this.press(this.octave + i, e.shiftKey ? 110 : 80) || true
    if (e.code === 'KeyZ') return this.shift(-12)
    if (e.code === 'KeyX') return this.shift(12)
    if (e.key === '[') return this.markFrom(this.position)
    if (e.key === ']') return this.markTo(this.position)
    if (e.key === 'Escape') return this.mark(null, true) || true
    if (onButton || e.repeat) return false
    if (e.key === 'Backspace') return this.tell('mt-undo') || true
    if (e.key === ' ') return this.toggle() || true
    if (e.key === 'Enter') return this.tell('mt-enter') || true
    return false
  }

  untyped(e) {
    const i = ROW.indexOf(e.code)
    if (i >= 0) this.lift(this.octave + i)
  }

  shift(by) {
    this.liftAll()
    this.octave = clamp(this.octave + by, 24, 96)
    this.keys.show(this.octave)
    return true
  }

  markFrom(time) {
    const to = this.marked?.[1] ?? this.clock.take.horizon
    this.mark([time, Math.max(to, time)], true)
    return true
  }

  markTo(time) {
    const from = this.marked?.[0] ?? 0
    this.mark([Math.min(from, time), time], true)
    return true
  }

  // -- MIDI

  async connect() {
    if (!navigator.requestMIDIAccess) return this.say(NO_MIDI)
    try { this.midi = await navigator.requestMIDIAccess() }
    catch { return this.say('The browser does not let this page use MIDI instruments.') }
    this.midi.onstatechange = () => this.plug()
    this.plug()
  }

  plug() {
    const inputs = [...this.midi.inputs.values()], outputs = [...this.midi.outputs.values()]
    for (const o of inputs) o.onmidimessage = e => this.receive(e.data)
    this.outputs.replaceChildren(make('option', {value: ''}, 'sounds here'))
    for (const o of outputs) this.outputs.append(make('option', {value: o.id}, 'sounds on ' + o.name))
    this.outputs.hidden = !outputs.length
    const names = inputs.map(o => o.name).join(', ')
    this.say(names ? `Play on ${names}.` : 'No MIDI instrument is plugged in; it will be noticed when it is.')
  }

  route() {
    this.wake()
    this.stop()
    if (this.sound) this.sound.port = this.midi.outputs.get(this.outputs.value) ?? null
  }

  receive([status, a, b]) {
    const what = status & 0xf0
    if (what === 0x90 && b) this.press(a, b)
    else if (what === 0x90 || what === 0x80) this.lift(a)
    else if (what === 0xb0 && a === 64) this.setPedal(b >= 64)
  }

  // -- drawing

  // Seconds since the first note of what is being recorded.
  get recorded() { return this.played.length ? performance.now()/1000 - this.played[0].start : 0 }

  draw() {
    this.frame = requestAnimationFrame(() => this.draw())
    const {position, clock: {take, playing}} = this
    const notes = this.recording ? this.phraseSoFar() : take.notes
    const shown = this.recording ? this.recorded : position
    this.roll.follow(shown, playing || this.recording)
    this.roll.draw(notes, shown, take.horizon)
    this.light(take.notes, position, playing)
    this.label(shown, take, playing)
  }

  label(position, take, playing) {
    const long = Math.max(take.horizon, .1), more = take.ended || !take.horizon ? '' : ' …'
    write(this.playButton, playing ? 'Stop' : 'Play')
    write(this.recordButton, this.recording ? 'Done' : 'Record')
    write(this.time, clock(position) + (this.recording ? '' : ' / ' + clock(take.horizon) + more))
    set(this.recordButton, 'aria-pressed', this.recording)
    set(this.roll.canvas, 'aria-label', `Piano roll, ${take.notes.length} notes`)
    set(this.slider, 'aria-valuetext', clock(position) + ' of ' + clock(long))
    this.playButton.disabled = !playing && !take.notes.length
    this.recordButton.disabled = !take.ended
    this.slider.max = long
    this.slider.value = position
    this.scheme()
  }

  // The keys that sound are lit.
  light(notes, position, playing) {
    const lit = new Set()
    if (playing) for (const o of notes) if (o.start <= position && position < (o.end ?? Infinity)) lit.add(o.pitch)
    for (const pitch of this.lit ?? []) if (!lit.has(pitch) && !this.fingers.has(pitch)) this.keys.light(pitch, false)
    for (const pitch of lit) this.keys.light(pitch, true)
    this.lit = lit
  }

  // Light ink means a dark page: the browser's own controls are to be dark too.
  scheme() {
    const [r, g, b] = getComputedStyle(this.root).color.match(/[\d.]+/g).map(Number)
    const scheme = r + g + b > 384 ? 'dark' : 'light'
    if (this.root.style.colorScheme !== scheme) this.root.style.colorScheme = scheme
  }

  destroy() {
    this.stop()
    cancelAnimationFrame(this.frame)
    for (const what of ['pointerup', 'keydown']) document.removeEventListener(what, this.gesture)
    this.sound?.context.close()
  }
}
