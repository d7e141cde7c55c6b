// The studio's panel in a notebook. `Instrument` stands above this text, in the same module; Python is behind `model`.

const LOST = 'Python does not answer: its kernel is busy, or it is gone. Then restart it and run the cell again; '
  + 'the takes that you kept are still in this browser.'
const PATIENCE = 4000   // milliseconds in which Python ought to have heard a button
const SHELF = () => 'mt-studio ' + location.pathname

// Words for what one sets; what is not here is called by its own name.
const WORDS = {primer: 'begin with', primer_seconds: 'its first seconds', seconds: 'seconds of music', top_p: 'top-p',
  locked: 'the same seed again', notes_per_second: 'notes a second', sounding: 'keys at once'}

function toNote([start, end, pitch, velocity, given]) { return {start, end, pitch, velocity, given: !!given} }

class Panel {
  constructor(model, root) {
    this.model = model
    this.root = root
    this.sent = 0
    this.unheard = new Map()   // messages that Python has not answered yet
    this.shown = ''            // the take in the roll
    this.fresh = []            // a phrase that was not answered yet
    this.fields = {}
    root.classList.add('mt-studio')
    root.dataset.lmSuppressShortcuts = 'true'
    const place = make('div')
    this.settings = make('div', {class: 'mt-settings'})
    this.list = make('ul', {class: 'mt-takes', 'aria-label': 'Takes'})
    root.replaceChildren(this.settings, place, this.list)
    this.instrument = new Instrument(place)
    this.build()
    this.listen()
    this.update()
    this.ask('ready')
    this.ask('settle', {takes: this.stored()})
  }

  // -- to Python and back

  ask(what, args = {}, buffers = []) {
    const id = ++this.sent
    this.unheard.set(id, setTimeout(() => this.lose(id), PATIENCE))
    this.model.send({do: what, id, with: args}, undefined, buffers)
  }

  lose(id) {
    this.unheard.delete(id)
    this.instrument.say(LOST)
  }

  hear(message, buffers) {
    const {instrument} = this
    if (message.heard) this.answered(message.heard)
    if (message.piano) instrument.loadPiano(buffers[0]).catch(e => instrument.say(e.message))
    if (message.load) this.load(message)
    if (message.begin !== undefined) this.begin(message)
    for (const [time, pitch, velocity] of message.events ?? []) instrument.add({time, pitch, velocity})
    if (message.end) instrument.end()
    this.last = performance.now()
    if (message.store) this.store(message.store)
    if (message.forget) this.forget(message.forget)
  }

  answered(id) {
    clearTimeout(this.unheard.get(id))
    this.unheard.delete(id)
    if (this.instrument.said.textContent === LOST) this.instrument.say('')
  }

  load({load, title, uid, play}) {
    this.instrument.load(load.map(toNote), title)
    this.shown = uid ?? ''
    if (play) this.instrument.play(0)
    this.renew()
  }

  // A take comes that is still being composed: what it begins with is drawn, and from there on it sounds.
  begin({begin, uid, given, at}) {
    this.instrument.begin(begin)
    this.shown = uid
    for (const note of given.map(toNote)) {
      this.instrument.add({time: note.start, pitch: note.pitch, velocity: note.velocity, given: true})
      this.instrument.add({time: note.end, pitch: note.pitch, velocity: 0, given: true})
    }
    this.instrument.play(at)
    this.renew()
  }

  // -- what was kept, in this browser

  stored() {
    try { return JSON.parse(localStorage.getItem(SHELF()) ?? '[]') }
    catch { return [] }
  }

  shelve(takes) {
    try { localStorage.setItem(SHELF(), JSON.stringify(takes)) }
    catch { this.instrument.say('This browser stores nothing: save what you kept before you leave the page.') }
  }

  store(take) { this.shelve([...this.stored().filter(o => o.uid !== take.uid), take]) }

  forget(uid) { this.shelve(this.stored().filter(o => o.uid !== uid)) }

  // -- controls

  build() {
    const wishes = make('details', {class: 'mt-wishes'}, make('summary', {}, 'Wishes'))
    const asked = make('div', {class: 'mt-fields'}), wished = make('div', {class: 'mt-fields'})
    this.deaf = make('p', {}, 'This model has not learned directions: it cannot hear a wish.')
    wishes.append(this.deaf, wished)
    for (const o of this.model.get('controls')) (o.wish ? wished : asked).append(this.field(o))
    asked.append(this.uploader())
    this.settings.append(asked, wishes)
    for (const [name, text, act] of this.doings()) this.button(name, text, act)
  }

  doings() {
    const {instrument} = this
    return [
      ['compose', 'Compose', () => this.ask('compose')],
      ['answer', 'Answer', () => this.answer()],
      ['go_on', 'Continue', () => this.ask('go_on', {uid: this.shown, at: this.point})],
      ['again', 'Again', () => this.ask('again', {uid: this.shown, a: instrument.marked[0], b: instrument.marked[1]})],
      ['accompany', 'Accompany', () => this.accompany()],
      ['halt', 'Stop composing', () => this.ask('halt')],
      ['undo', 'Delete newest', () => this.ask('drop_newest')],
      ['restore', 'Bring back', () => this.ask('restore')],
    ]
  }

  button(name, text, act) {
    const button = make('button', {type: 'button', class: 'mt-' + name}, text)
    button.addEventListener('click', act)
    this.instrument.actions.append(button)
    this[name + 'Button'] = button
  }

  field(o) {
    const input = o.among ? make('select') : make('input', {type: o.kind})
    for (const k of ['min', 'max', 'step']) if (o[k] !== undefined) input.setAttribute(k, o[k])
    for (const word of o.among ?? []) input.append(make('option', {value: word}, word || 'unsaid'))
    if (o.wish && !o.among) input.placeholder = 'unsaid'
    if (o.choices) input.setAttribute('list', this.choices(o.choices))
    input.title = o.help
    input.addEventListener('change', () => this.ask('set', {[o.name]: this.value(o, input)}))
    this.fields[o.name] = {input, o}
    return make('label', {class: 'mt-field mt-' + o.name}, make('span', {}, WORDS[o.name] ?? o.name), input)
  }

  choices(words) {
    const id = 'mt-' + Math.random().toString(36).slice(2)
    this.settings.append(make('datalist', {id}, ...words.map(o => make('option', {value: o}))))
    return id
  }

  value(o, input) {
    if (o.kind === 'checkbox') return input.checked
    return o.kind === 'number' ? Number(input.value) : input.value
  }

  uploader() {
    const input = make('input', {type: 'file', accept: this.model.get('endings')})
    input.addEventListener('change', () => this.upload(input))
    return make('label', {class: 'mt-field mt-upload'}, make('span', {}, 'a MIDI file of yours'), input)
  }

  async upload(input) {
    const [file] = input.files
    if (file) this.ask('offer', {name: file.name}, [await file.arrayBuffer()])
    input.value = ''
  }

  // -- what the buttons do

  answer() {
    const notes = this.instrument.phrase()
    this.fresh = []
    if (!notes.length) return this.instrument.say('Play a phrase first, on the keys or on a MIDI instrument.')
    this.ask('answer', {notes: notes.map(o => [o.start, o.end, o.pitch, o.velocity])})
  }

  accompany() {
    if (this.instrument.recording || this.instrument.played.length) this.instrument.phrase()
    const notes = this.fresh.map(o => [o.start, o.end, o.pitch, o.velocity])
    this.ask('accompany', notes.length ? {notes} : {uid: this.shown})
  }

  // Enter: an answer to what was just played, or a new take.
  enter() {
    if (this.fresh.length || this.instrument.recording || this.instrument.played.length) this.answer()
    else this.ask('compose')
  }

  // The point of a take from which it is to go on; null for its end.
  get point() {
    const {position, clock: {take}} = this.instrument
    return position > .5 && position < take.horizon - .5 ? position : null
  }

  // -- the page follows

  listen() {
    const {model, root} = this
    this.onMessage = (message, buffers) => this.hear(message, buffers)
    this.onChange = () => this.update()
    model.on('msg:custom', this.onMessage)
    model.on('change', this.onChange)
    root.addEventListener('mt-phrase', e => this.heard(e.detail))
    root.addEventListener('mt-enter', () => this.enter())
    root.addEventListener('mt-undo', () => this.ask('drop_newest'))
    root.addEventListener('mt-mark', () => this.renew())
    this.timer = setInterval(() => this.renew(), 300)
  }

  // A phrase was played; where it was recorded, it stands in the roll now.
  heard({notes, recorded}) {
    this.fresh = notes
    if (recorded) this.shown = ''
  }

  update() {
    const {model, instrument} = this
    const settings = model.get('settings')
    for (const {input, o} of Object.values(this.fields)) this.refresh(input, o, settings[o.name])
    this.deaf.hidden = model.get('hears')
    if (model.get('said') !== this.said) instrument.say(model.get('said'))
    this.said = model.get('said')
    this.listTakes(model.get('takes'))
    this.renew()
  }

  refresh(input, o, value) {
    if (o.name === 'primer') input.replaceChildren(...this.model.get('themes').map(o => make('option', {value: o}, o)))
    if (o.kind === 'checkbox') input.checked = value
    else input.value = o.wish && !value ? '' : value
    if (o.wish) input.disabled = !this.model.get('hears')
  }

  // Which buttons have something to do.
  renew() {
    const {model, instrument} = this, busy = model.get('busy'), takes = model.get('takes')
    if (!busy && !takes.some(o => o.uid === this.shown)) this.shown = ''
    if (instrument.clock.waiting && performance.now() - this.last > PATIENCE) instrument.say(LOST)
    const {shown} = this, focused = document.activeElement
    const can = {compose: true, answer: true, go_on: shown, again: shown && instrument.marked, accompany: true}
    for (const [name, possible] of Object.entries(can)) {
      const button = this[name + 'Button']
      if (button) button.disabled = busy || !possible
    }
    this.haltButton.disabled = !busy
    this.undoButton.disabled = !takes.length
    if (focused?.disabled && this.root.contains(focused)) instrument.root.focus({preventScroll: true})
    write(this.go_onButton, this.point === null ? 'Continue' : 'Continue from ' + clock(this.point))
    for (const li of this.list.children) li.classList.toggle('mt-shown', li.dataset.uid === shown)
  }

  listTakes(takes) {
    if (takes === this.takes) return
    this.takes = takes
    const rows = new Map([...this.list.children].map(o => [o.dataset.uid, o]))
    this.list.replaceChildren(...[...takes].reverse().map(o => this.row(o, rows.get(o.uid))))
  }

  row(take, old) {
    if (old?.dataset.text === JSON.stringify(take)) return old
    const li = make('li', {'data-uid': take.uid, 'data-text': JSON.stringify(take)})
    const name = make('input', {type: 'text', value: take.name, 'aria-label': 'Name of the take'})
    name.addEventListener('change', () => this.ask('rename', {uid: take.uid, name: name.value}))
    li.append(name, make('span', {class: 'mt-about'}, take.about))
    const button = (text, what, args = {}, more = {}) => {
      const o = make('button', {type: 'button', 'aria-label': `${text} ${take.name}`, ...more}, text)
      o.addEventListener('click', () => this.ask(what, {uid: take.uid, ...args}))
      li.append(o)
    }
    button('Hear', 'show')
    button('Keep', 'keep', {kept: !take.kept}, {'aria-pressed': take.kept})
    const kinds = {mid: 'MIDI', wav: 'WAV', mp3: 'MP3'}
    for (const [kind, text] of Object.entries(kinds)) button(text, 'save', {kind}, {title: 'save it'})
    button('Delete', 'drop')
    return li
  }

  close() {
    clearInterval(this.timer)
    for (const o of this.unheard.values()) clearTimeout(o)
    this.model.off('msg:custom', this.onMessage)
    this.model.off('change', this.onChange)
    this.instrument.destroy()
  }
}

export default {
  render({model, el}) {
    const root = make('div')
    el.append(root)
    const panel = new Panel(model, root)
    root.mtPanel = panel   // for whoever wants to look into it
    return () => panel.close()
  },
}
