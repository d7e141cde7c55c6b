// For those who hear the page: a slider's handle gets the name beside it, and what has no name is not called null.
const name = slider => {
  const handle = slider.querySelector('.noUi-handle'), label = slider.querySelector('.widget-label')
  if (!handle || !label || handle.getAttribute('aria-label') === label.textContent) return
  handle.setAttribute('aria-label', label.textContent)
}
const mend = () => {
  document.querySelectorAll('.mt-studio .widget-hslider').forEach(name)
  for (const k of ['title', 'aria-label']) {
    for (const o of document.querySelectorAll(`.mt-studio [${k}="null"]`)) o.removeAttribute(k)
  }
}

function render() {
  const what = {childList: true, subtree: true, attributes: true, attributeFilter: ['title', 'aria-label']}
  new MutationObserver(mend).observe(document.body, what)
  mend()
}
export default { render }
