// The banner: it describes the connection, and is shown only when the person must wait or act.
const DELAY = 700 // milliseconds: a faster reconnect is not shown
const SHOWN = 4_000

const counted = (count, what) => (count ? [`${count} ${what}`] : [])

export class Banner {
  #root
  #text
  #action
  #timer = 0
  #hadOne = false

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
      ? 'You are offline. What you write is kept, and sent when you are back.'
      : this.#hadOne
        ? 'The connection was lost. Trying to get it back; what you write is kept.'
        : 'There is no connection yet. Trying to get one; what you write is kept.'
    this.#later(offline ? 0 : DELAY, () => this.#show('trying', text))
  }

  open() {
    this.#hadOne = true
    if (this.state === 'trying') this.back(0, 0)
    else clearTimeout(this.#timer)
  }

  /** After a reconnect: the number of own messages that were sent, and of others' messages that were missed. */
  back(sent, missed) {
    const news = [...counted(sent, 'sent'), ...counted(missed, 'caught up')].join(', ')
    this.#show('back', news ? `You are back: ${news}.` : 'You are back.')
    this.#later(SHOWN, () => this.#show('none', ''))
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
