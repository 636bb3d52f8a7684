// Who is here, and who is typing.
import { avatar, make } from './person.js'

const TYPING_LASTS = 5_000

export class People {
  #here = new Map()
  #typing = new Map()
  #me
  #parts

  /** @param parts elements: list, faces, count, typing */
  constructor(me, parts) {
    this.#me = me
    this.#parts = parts
  }

  has(id) {
    return this.#here.has(id)
  }

  get ids() {
    return [...this.#here.keys()]
  }

  replace(people) {
    this.#here = new Map(people.map((person) => [person.id, person]))
    this.nobodyTypes()
    this.#draw()
  }

  nobodyTypes() {
    for (const id of [...this.#typing.keys()]) this.stopped(id)
  }

  add(person) {
    this.#here.set(person.id, person)
    this.#draw()
  }

  remove(id) {
    this.#here.delete(id)
    this.stopped(id)
    this.#draw()
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
        const name = make('span', 'who', person.name)
        row.append(avatar(person.name), name)
        if (person.id === this.#me) row.append(make('span', 'you', 'you'))
        return row
      }),
    )
    this.#parts.faces.replaceChildren(...people.slice(0, 4).map((person) => avatar(person.name)))
    this.#parts.count.textContent = people.length === 1 ? 'Only you' : `${people.length} here`
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
