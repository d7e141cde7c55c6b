// What moves in a player. Each player brings this text along; where it runs again, those that are awake are left alone.
(() => {

// -- names
const clock = t => Math.floor(t/60) + ':' + String(Math.floor(t%60)).padStart(2, '0')
const shapes = {play: 'M7 4l14 8-14 8z', pause: 'M6 4h4v16H6zM14 4h4v16h-4z'}
const steps = {ArrowRight: 5, ArrowUp: 5, ArrowLeft: -5, ArrowDown: -5} // seconds
const sounds = () => document.querySelectorAll('.mt-player audio')

// -- the playhead, the clock and the button follow the sound
const follow = (audio, $, total) => {
  let shown = -1
  const tell = s => {
    shown = s
    $('.mt-time').textContent = clock(s) + ' / ' + clock(total)
    $('.mt-roll').setAttribute('aria-valuenow', s)
    $('.mt-roll').setAttribute('aria-valuetext', clock(s) + ' of ' + clock(total))
  }
  const draw = () => {
    const t = Math.min(audio.currentTime, total)
    $('.mt-now').style.left = $('.mt-past').style.width = 100*t/total + '%'
    if (Math.floor(t) !== shown) tell(Math.floor(t))
  }
  const run = () => {
    draw()
    if (!audio.paused) requestAnimationFrame(run)
  }
  const label = () => {
    const button = $('.mt-play')
    button.setAttribute('aria-label', audio.paused ? 'Play' : 'Pause')
    button.querySelector('path').setAttribute('d', audio.paused ? shapes.play : shapes.pause)
  }
  const stopped = () => { label(); draw() }
  audio.addEventListener('play', () => {
    for (const o of sounds()) if (o !== audio) o.pause()
    label()
    run()
  })
  audio.addEventListener('pause', stopped)
  audio.addEventListener('ended', stopped)
  audio.addEventListener('seeked', draw)
  stopped()
  return draw
}

// -- a finger on the roll moves the sound
const drag = (roll, total, seek) => {
  const at = e => {
    const field = roll.firstElementChild.getBoundingClientRect()
    seek((e.clientX - field.left)/field.width*total)
  }
  roll.addEventListener('pointerdown', e => {
    if (e.button) return
    at(e)
    roll.focus({preventScroll: true})
    try { roll.setPointerCapture(e.pointerId) } catch {}
  })
  roll.addEventListener('pointermove', e => { if (roll.hasPointerCapture(e.pointerId)) at(e) })
}

// -- keys that a player understands do not reach the notebook around it
const keys = (root, audio, total, seek, toggle) => root.addEventListener('keydown', e => {
  if (e.ctrlKey || e.metaKey || e.altKey || e.target === audio) return
  const onButton = e.target.closest('button, a') // which knows itself what space is
  if (e.key in steps) seek(audio.currentTime + steps[e.key])
  else if (e.key === 'Home') seek(0)
  else if (e.key === 'End') seek(total)
  else if (e.key !== ' ') return
  else if (!onButton) toggle()
  if (e.key !== ' ' || !onButton) e.preventDefault()
  e.stopPropagation()
})

// -- a player wakes: the browser's own controls go, ours appear
const show = (root, audio, $, total) => {
  const roll = $('.mt-roll')
  audio.removeAttribute('controls')
  audio.hidden = true
  $('.mt-links a:last-child').href = audio.src
  for (const o of root.querySelectorAll('[data-live]')) o.hidden = false
  roll.classList.add('mt-live')
  const range = {'aria-valuemin': 0, 'aria-valuemax': Math.floor(total)}
  const slider = {role: 'slider', tabindex: 0, 'aria-label': 'Position', ...range}
  for (const [k, v] of Object.entries(slider)) roll.setAttribute(k, v)
}
const wake = root => {
  const $ = s => root.querySelector(s)
  const audio = $('audio'), total = +root.dataset.seconds
  if (!audio || root.mtAwake) return
  root.mtAwake = true
  const draw = follow(audio, $, total)
  const seek = t => {
    audio.currentTime = Math.max(0, Math.min(t, total))
    draw()
  }
  const plainly = () => { // where it cannot be played, the browser says so itself
    audio.hidden = false
    audio.controls = true
    $('.mt-mute').hidden = false
  }
  const toggle = () => {
    if (audio.paused) audio.play().catch(plainly)
    else audio.pause()
  }
  audio.addEventListener('error', plainly)
  $('.mt-play').addEventListener('click', toggle)
  drag($('.mt-roll'), total, seek)
  keys(root, audio, total, seek, toggle)
  show(root, audio, $, total)
}
document.querySelectorAll('.mt-player').forEach(wake)

})()
