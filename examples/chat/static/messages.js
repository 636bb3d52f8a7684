// The entries of the conversation that the page knows, in the room's order, and what happens to them later.
export class Messages {
  items = []
  #byId = new Map()
  // A change to a message that is not loaded is ignored; the server applies it when the page loads the message.

  get(id) {
    return this.#byId.get(id)
  }

  has(id) {
    return this.#byId.has(id)
  }

  get oldest() {
    return this.items.find(({ kind }) => kind === 'message')?.id ?? null
  }

  /** At the end. */
  add(item) {
    this.items.push(item)
    if (item.id) this.#byId.set(item.id, item)
  }

  /** Before all others; returns how many were new. */
  addOlder(messages) {
    const fresh = messages.filter(({ id }) => !this.#byId.has(id)).map((message) => ({ ...message, kind: 'message' }))
    for (const message of fresh) this.#byId.set(message.id, message)
    this.items.unshift(...fresh)
    return fresh.length
  }

  /** Forget the first `count`: the server has them. */
  forget(count) {
    for (const { id } of this.items.splice(0, count)) this.#byId.delete(id)
  }

  forgetAll() {
    this.forget(this.items.length)
  }

  /** Apply an edit, a deletion or a reaction; returns the message, if it is here and was not deleted before. */
  change({ type, id, text, by, emoji, on }) {
    const message = this.#byId.get(id)
    if (!message || message.deleted) return undefined
    if (type === 'edit') Object.assign(message, { text, edited: true })
    else if (type === 'delete') Object.assign(message, { text: '', deleted: true, reactions: {} })
    else {
      message.reactions ??= {}
      const people = (message.reactions[emoji] ??= {})
      if (on) people[by.id] = by.name
      else delete people[by.id]
    }
    return message
  }
}
