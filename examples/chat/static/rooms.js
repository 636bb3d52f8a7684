// The list of rooms, with the numbers of people and unread messages, and a search box.
import { make } from './person.js'

export class Rooms {
  #parts
  #room
  #pathOf
  #rooms = []
  #here = 0
  #unread = {}
  #unsent = new Set()

  /** @param parts elements: list, find, none */
  constructor(parts, room, pathOf) {
    this.#parts = parts
    this.#room = room
    this.#pathOf = pathOf
    parts.find.addEventListener('input', () => this.#draw())
    parts.find.addEventListener('keydown', (event) => {
      const first = parts.list.querySelector('a')
      if (event.key === 'Enter' && first) first.click()
    })
    this.#draw()
  }

  show(rooms) {
    this.#rooms = rooms
    this.#draw()
  }

  /** Set the number of people in this room, which the page knows exactly. */
  showHere(people) {
    if (people === this.#here) return
    this.#here = people
    this.#draw()
  }

  /** @param unread {count, mentions} by room */
  mark(unread) {
    this.#unread = unread
    this.#draw()
  }

  /** @param rooms the rooms with unsent messages of this person */
  markUnsent(rooms) {
    this.#unsent = new Set(rooms)
    this.#draw()
  }

  #draw() {
    const { list, find, none } = this.#parts
    const names = new Set(this.#rooms.map(({ name }) => name))
    const missing = [this.#room, ...Object.keys(this.#unread), ...this.#unsent].filter((name) => !names.has(name))
    const all = [...this.#rooms, ...[...new Set(missing)].map((name) => ({ name, people: 0 }))]
    const wanted = find.value.trim().toLowerCase()
    const shown = all.filter(({ name }) => name.includes(wanted))
    find.hidden = all.length < 8 && !wanted
    none.hidden = shown.length > 0
    const focused = list.contains(document.activeElement) ? document.activeElement.getAttribute('href') : null
    list.replaceChildren(...shown.map((room) => this.#row(room)))
    if (focused) list.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus()
  }

  #row({ name, people }) {
    const link = make('a')
    link.href = this.#pathOf(name)
    if (name === this.#room) link.setAttribute('aria-current', 'page')
    const hash = make('span', 'hash', '#')
    hash.setAttribute('aria-hidden', 'true')
    link.append(hash, make('span', 'name', name))
    const { count = 0, mentions = 0 } = this.#unread[name] ?? {}
    if (this.#unsent.has(name) && name !== this.#room) link.append(make('span', 'unsent-mark', 'not sent'))
    if (count) {
      const mark = make('span', mentions ? 'unread mention' : 'unread', mentions ? `@ ${count}` : count)
      mark.setAttribute('aria-label', `${count} unread${mentions ? ', somebody calls you' : ''}`)
      mark.setAttribute('role', 'img')
      link.append(mark)
    }
    const there = name === this.#room ? this.#here : people
    const number = make('span', 'count', there || '')
    number.title = there === 1 ? '1 person' : `${there} people`
    link.append(number)
    const row = make('li')
    row.append(link)
    return row
  }
}
