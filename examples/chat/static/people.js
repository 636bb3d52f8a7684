// The people in the room, and who is typing.
import { avatar, make } from './person.js'

const TYPING_LASTS = 5_000

export class People {
  #here = new Map()
  #total = 0
  #typing = new Map()
  #me
  #parts

  /** @param parts elements: list, faces, count, typing */
  constructor(me, parts) {
    this.#me = me
    this.#parts = parts
  }

  get ids() {
    return [...this.#here.keys()]
  }

  get total() {
    return this.#total
  }

  /** @param total how many there are; more than `people` in a room that is too full to be listed */
  replace(people, total) {
    const before = JSON.stringify([this.ids, this.#total])
    this.#here = new Map(people.map((person) => [person.id, person]))
    this.#total = total
    for (const id of [...this.#typing.keys()]) if (!this.#here.has(id)) this.stopped(id)
    // A person's read position changes often, and is shown by log.js; it does not change this list.
    if (JSON.stringify([this.ids, total]) !== before) this.#draw()
  }

  nobodyTypes() {
    for (const id of [...this.#typing.keys()]) this.stopped(id)
  }

  typing(id) {
    if (id === this.#me || !this.#here.has(id)) return
    clearTimeout(this.#typing.get(id))
    this.#typing.set(id, setTimeout(() => this.stopped(id), TYPING_LASTS))
    this.#drawTyping()
  }

  stopped(id) {
    clearTimeout(this.#typing.get(id))
    if (this.#typing.delete(id)) this.#drawTyping()
  }

  #draw() {
    // The person themself first, the others in the order of arrival.
    const people = [...this.#here.values()].sort((a, b) => (b.id === this.#me) - (a.id === this.#me))
    this.#parts.list.replaceChildren(
      ...people.map((person) => {
        const row = make('li')
        const name = make('bdi', 'who', person.name)
        row.append(avatar(person.name), name)
        if (person.id === this.#me) row.append(make('span', 'you', 'you'))
        return row
      }),
    )
    this.#parts.faces.replaceChildren(...people.slice(0, 4).map((person) => avatar(person.name)))
    this.#parts.count.textContent = this.#total === 1 ? 'Only you' : `${this.#total} here`
  }

  #drawTyping() {
    const names = [...this.#typing.keys()].map((id) => this.#here.get(id)?.name ?? 'Somebody')
    const { typing } = this.#parts
    if (names.length === 0) return typing.replaceChildren()
    const dots = make('span', 'dots')
    dots.setAttribute('aria-hidden', 'true')
    dots.append(make('i'), make('i'), make('i'))
    const text =
      names.length === 1
        ? `${names[0]} is typing…`
        : names.length === 2
          ? `${names[0]} and ${names[1]} are typing…`
          : 'Several people are typing…'
    typing.replaceChildren(dots, make('span', '', text))
  }
}
