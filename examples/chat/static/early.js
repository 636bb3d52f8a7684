// Enter before the page's module has loaded: without this, it begins a new line. The text is sent once the module takes
// over; until then, the button sends it as a form, as it does without scripts.
document.addEventListener('keydown', (event) => {
  const { target, key, shiftKey, isComposing, keyCode, defaultPrevented } = event
  if (target.id !== 'text' || key !== 'Enter' || shiftKey || isComposing || keyCode === 229 || defaultPrevented) return
  event.preventDefault()
  if (!target.value.trim()) return
  target.form.dataset.early = ''
  target.readOnly = true // what is typed after Enter belongs to the next message
})
