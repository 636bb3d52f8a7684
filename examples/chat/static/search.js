// Search in the room: the server searches the room's whole history, and a result leads to its message.
import { make } from './person.js'
import { clock, dayName } from './time.js'

export class Search {
  /** @param parts elements: form, input, open, close, count, found; @param hooks find(text), goTo(id) */
  constructor(parts, hooks) {
    const { form, input, open, close, count, found } = parts
    const show = (on) => {
      form.hidden = !on
      open.setAttribute('aria-expanded', on)
      if (on) input.focus()
      else open.focus()
      found.replaceChildren()
      count.textContent = ''
    }
    open.addEventListener('click', () => show(form.hidden))
    close.addEventListener('click', () => show(false))
    form.addEventListener('keydown', ({ key }) => key === 'Escape' && show(false))
    form.addEventListener('submit', async (event) => {
      event.preventDefault()
      try {
        const messages = await hooks.find(input.value)
        count.textContent =
          messages.length === 1 ? '1 message' : messages.length ? `${messages.length} messages, newest first` : 'Nothing found.'
        found.replaceChildren(...messages.map((message) => this.#row(message, hooks)))
      } catch {
        count.textContent = 'The search needs a connection. Try again when there is one.'
      }
    })
  }

  #row({ id, from, text, at }, hooks) {
    const button = make('button')
    button.type = 'button'
    const words = make('span', 'found-text', text)
    words.dir = 'auto'
    button.append(make('bdi', 'author', from.name), make('time', '', `${dayName(at)}, ${clock.format(at)}`), words)
    button.addEventListener('click', () => void hooks.goTo(id))
    const row = make('li')
    row.append(button)
    return row
  }
}
