// The person's messages that the server has not confirmed yet: sent in order, once each, kept during a reload.
import { drawUnsent } from './bubble.js'
import { make } from './person.js'

const WITHIN = 60_000 // a message without an answer in this time is "not sent"
const PAUSE = 1_100 // before a message that was refused as too fast is sent again

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds))

export class Outbox {
  #ws
  #store
  #parts
  #hooks
  #entries
  #elements = new Map()
  #working = false

  /**
   * @param store keeps the entries
   * @param parts elements: list, bar, barText, sendAll
   * @param hooks taken(key, {at, stored}, text), added(), changed(), focus()
   */
  constructor(ws, store, parts, hooks) {
    this.#ws = ws
    this.#store = store
    this.#parts = parts
    this.#hooks = hooks
    this.#entries = store.load()
    for (const entry of this.#entries) {
      // Sent before this page was loaded: it is unknown whether the server has them.
      if (!entry.failed) entry.until = Date.now() + WITHIN
      entry.patient = true
      this.#draw(entry)
    }
    parts.sendAll.addEventListener('click', () => this.#again(this.#entries.filter(({ failed }) => failed)))
    this.#changed()
    void this.#work()
  }

  get waiting() {
    return this.#entries.filter(({ failed }) => !failed).length
  }

  add(text) {
    const key = crypto.getRandomValues(new Uint32Array(3)).join('-')
    // Messages written while disconnected are sent as fast as the server's rate limit allows.
    const entry = { key, text, until: Date.now() + WITHIN, patient: !this.#ws.connected, tried: false, failed: '' }
    this.#entries.push(entry)
    this.#draw(entry)
    this.#changed()
    this.#hooks.added()
    void this.#work()
  }

  /** The room has a message of this person. The call's answer, which may arrive later, tells whether it is stored. */
  arrived(key) {
    const entry = this.#entries.find((other) => other.key === key)
    if (entry) this.#remove(entry)
    return entry !== undefined
  }

  async #work() {
    if (this.#working) return
    this.#working = true
    for (let entry; (entry = this.#entries.find(({ failed }) => !failed)); ) {
      const reason = await this.#send(entry)
      if (reason && this.#entries.includes(entry)) this.#fail(entry, reason)
    }
    this.#working = false
  }

  /** Send one, and wait for the answer. Returns the reason if it is refused, and nothing if it is sent or retried. */
  async #send(entry) {
    const { key, text, tried } = entry
    const timeout = entry.until - Date.now()
    if (timeout <= 0) return 'The server did not answer.'
    entry.tried = true
    this.#store.save(this.#entries)
    try {
      // With `retry`, a call that is resent over another connection is executed once. If Odac cannot know whether it
      // was executed ("interrupted"), and after a reload, `again` makes the server check the room's history.
      const answer = await this.#ws.call('say', { text, key, again: tried }, { retry: true, timeout })
      this.#remove(entry)
      this.#hooks.taken(key, answer, text)
    } catch ({ code, message }) {
      if (code === 'interrupted') return undefined
      if ((code === 'slow' && entry.patient) || code === 'busy') return void (await pause(PAUSE))
      if (code === 'slow' || code === 'refused' || code === 'away') return message
      if (code === 'timeout') return this.#ws.connected ? 'The server did not answer.' : 'There is no connection.'
      return code === 'cancelled' ? 'The connection is closed.' : 'The server could not take it.'
    }
    return undefined
  }

  #fail(entry, reason) {
    entry.failed = reason
    this.#draw(entry)
    this.#changed()
  }

  #again(entries) {
    for (const entry of entries) {
      Object.assign(entry, { failed: '', patient: true, until: Date.now() + WITHIN })
      this.#draw(entry)
    }
    this.#changed()
    this.#hooks.focus()
    void this.#work()
  }

  #remove(entry) {
    this.#entries = this.#entries.filter((other) => other !== entry)
    this.#elements.get(entry)?.remove()
    this.#elements.delete(entry)
    this.#changed()
  }

  #draw(entry) {
    const button = (label, act) => {
      const element = make('button', '', label)
      element.type = 'button'
      element.addEventListener('click', act)
      return element
    }
    const element = entry.failed
      ? drawUnsent(entry, `Not sent. ${entry.failed}`, [
          button('Send again', () => this.#again([entry])),
          button('Discard', () => {
            this.#remove(entry)
            this.#hooks.focus()
          }),
        ])
      : drawUnsent(entry, 'Sending…')
    const old = this.#elements.get(entry)
    if (old) old.replaceWith(element)
    else this.#parts.list.append(element)
    this.#elements.set(entry, element)
  }

  #changed() {
    this.#store.save(this.#entries)
    const failed = this.#entries.length - this.waiting
    this.#parts.bar.hidden = failed === 0
    this.#parts.barText.textContent = failed === 1 ? 'One message is not sent.' : `${failed} messages are not sent.`
    this.#parts.sendAll.textContent = failed === 1 ? 'Send it again' : 'Send all again'
    this.#hooks.changed()
  }
}
