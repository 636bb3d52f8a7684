// The entries of the conversation that are loaded, in the room's order, with their edits, deletions and reactions.
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

  /** Append an entry. */
  add(item) {
    this.items.push(item)
    if (item.id) this.#byId.set(item.id, item)
  }

  /** Insert entries before all others; returns the number of new ones. */
  addOlder(messages) {
    const fresh = messages.filter(({ id }) => !this.#byId.has(id)).map((message) => ({ ...message, kind: 'message' }))
    for (const message of fresh) this.#byId.set(message.id, message)
    this.items.unshift(...fresh)
    return fresh.length
  }

  /** Drop the first `count` entries; they can be loaded again from the server. */
  forget(count) {
    for (const { id } of this.items.splice(0, count)) this.#byId.delete(id)
  }

  forgetAll() {
    this.forget(this.items.length)
  }

  /** Apply an edit, a deletion or a reaction; returns the message, if it is loaded and not deleted. */
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
