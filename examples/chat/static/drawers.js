// On a narrow screen the rooms and the people are drawers: opened by a button, closed by Escape, the scrim or the cross.
const narrow = matchMedia('(max-width: 759px)')
const medium = matchMedia('(max-width: 1099px)')

export const drawers = (scrim) => {
  const all = { side: narrow, people: medium }
  let opener = null

  const close = () => {
    for (const id of Object.keys(all)) document.getElementById(id).classList.remove('open')
    for (const button of document.querySelectorAll('[data-open]')) button.setAttribute('aria-expanded', 'false')
    scrim.hidden = true
    opener?.focus()
    opener = null
  }

  const open = (button) => {
    const id = button.dataset.open
    if (!all[id].matches) return
    const drawer = document.getElementById(id)
    drawer.classList.add('open')
    button.setAttribute('aria-expanded', 'true')
    scrim.hidden = false
    opener = button
    // After the transition has made it visible, which focus needs.
    requestAnimationFrame(() => drawer.querySelector('[data-close]').focus())
  }

  for (const button of document.querySelectorAll('[data-open]')) button.addEventListener('click', () => open(button))
  for (const button of document.querySelectorAll('[data-close]')) button.addEventListener('click', close)
  scrim.addEventListener('click', close)
  document.addEventListener('keydown', (event) => event.key === 'Escape' && opener && close())
  medium.addEventListener('change', close)
  narrow.addEventListener('change', close)
}
