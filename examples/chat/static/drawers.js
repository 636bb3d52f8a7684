// On a narrow screen the rooms and the people are drawers: opened by a button, closed by Escape, the scrim or the cross.
// While one is open, everything else is inert: neither the focus nor a screen reader can leave the drawer.
const narrow = matchMedia('(max-width: 759px)')
const medium = matchMedia('(max-width: 1099px)')

export const drawers = (scrim) => {
  const all = { side: narrow, people: medium }
  let opener = null

  const close = () => {
    for (const id of Object.keys(all)) document.getElementById(id).classList.remove('open')
    for (const button of document.querySelectorAll('[data-open]')) button.setAttribute('aria-expanded', 'false')
    for (const part of document.body.children) part.inert = false
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
    for (const part of document.body.children) part.inert = part !== drawer && part !== scrim
    scrim.hidden = false
    opener = button
    drawer.querySelector('[data-close]').focus()
  }

  for (const button of document.querySelectorAll('[data-open]')) button.addEventListener('click', () => open(button))
  for (const button of document.querySelectorAll('[data-close]')) button.addEventListener('click', close)
  scrim.addEventListener('click', close)
  document.addEventListener('keydown', (event) => event.key === 'Escape' && opener && close())
  medium.addEventListener('change', close)
  narrow.addEventListener('change', close)
}
