// What the connection is doing, in words, and only when there is something to do or to wait for.
const PATIENCE = 700 // a reconnect faster than this is nobody's business

export class Banner {
  #root
  #text
  #action
  #timer = 0

  constructor(root, text, action) {
    this.#root = root
    this.#text = text
    this.#action = action
  }

  get state() {
    return this.#root.dataset.state
  }

  trying(offline) {
    const text = offline
      ? 'You are offline. What you write is sent when you are back.'
      : 'The connection was lost. Trying to get it back; what you write is kept.'
    this.#later(offline ? 0 : PATIENCE, () => this.#show('trying', text))
  }

  open() {
    const returned = this.state !== 'none'
    clearTimeout(this.#timer)
    if (!returned) return
    this.#show('back', 'You are back.')
    this.#later(2500, () => this.#show('none', ''))
  }

  /** The connection stays closed until the person does something: `label` leads to `href`. */
  closed(text, label, href) {
    clearTimeout(this.#timer)
    this.#show('closed', text)
    this.#action.textContent = label
    this.#action.href = href
    this.#action.hidden = false
  }

  #later(milliseconds, then) {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(then, milliseconds)
  }

  #show(state, text) {
    this.#root.dataset.state = state
    this.#text.textContent = text
    this.#action.hidden = true
  }
}
