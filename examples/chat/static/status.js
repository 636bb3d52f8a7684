// The connection's state: connected or not, round trip, worker, and the time until the next attempt.
const EVERY = 5_000 // between two measurements

export class Status {
  #ws
  #parts
  #timer = 0
  #worker = ''
  #hadOne = false

  /** @param parts elements: button, word, detail, panel, state, trip, worker, retry, cut, kill */
  constructor(ws, parts) {
    this.#ws = ws
    this.#parts = parts
    const { button, panel, retry, cut, kill } = parts
    const open = (on) => {
      panel.hidden = !on
      button.setAttribute('aria-expanded', on)
    }
    button.addEventListener('click', () => open(panel.hidden))
    document.addEventListener('keydown', ({ key }) => {
      if (key !== 'Escape' || panel.hidden) return
      open(false)
      button.focus()
    })
    document.addEventListener('click', ({ target }) => {
      if (!panel.hidden && !button.parentElement.contains(target)) open(false)
    })
    for (const [element, call] of [[cut, 'cut'], [kill, 'kill']]) {
      // There is no answer: the connection ends.
      element.addEventListener('click', () => {
        open(false)
        button.focus()
        ws.call(call).catch(() => {})
      })
    }
    retry.addEventListener('click', () => {
      button.focus()
      ws.reconnect()
    })
    ws.on('open', () => void this.#measure())
    ws.on('state', (state) => state === 0 && this.#show('trying', this.#hadOne ? 'Reconnecting…' : 'Connecting…'))
    ws.on('reconnecting', (_, delay) => this.#countDown(Date.now() + delay))
    ws.on('offline', () => this.#show('trying', 'Offline'))
    addEventListener('online', () => ws.connected && void this.#measure())
    document.addEventListener('visibilitychange', () => !document.hidden && ws.connected && void this.#measure())
  }

  welcome(worker, canKill) {
    this.#worker = worker
    this.#parts.kill.hidden = !canKill
  }

  closed(text) {
    this.#show('closed', text)
  }

  async #measure() {
    clearTimeout(this.#timer)
    const start = performance.now()
    try {
      this.#worker = await this.#ws.call('ping')
    } catch {
      return // the connection's own events tell what has happened
    }
    const trip = `${Math.max(1, Math.round(performance.now() - start))} ms`
    this.#hadOne = true
    this.#show('open', 'Connected', trip, trip)
    if (!document.hidden) this.#later(EVERY, () => this.#ws.connected && void this.#measure())
  }

  #countDown(end) {
    const seconds = Math.ceil((end - Date.now()) / 1000)
    if (!navigator.onLine) return this.#show('trying', 'Offline')
    if (seconds <= 0) return undefined
    this.#show('trying', 'Reconnecting', `in ${seconds} s`)
    return this.#later(((end - Date.now()) % 1000) + 10, () => this.#countDown(end))
  }

  #later(milliseconds, then) {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(then, milliseconds)
  }

  #show(state, text, detail = '', trip = '–') {
    clearTimeout(this.#timer)
    const { button, word, detail: rest, state: long, trip: time, worker, retry, cut, kill } = this.#parts
    button.dataset.state = state
    word.textContent = text
    rest.textContent = detail
    button.setAttribute('aria-label', `The connection: ${text} ${detail}`.trim())
    long.textContent = state === 'open' ? text : `${text} ${detail}`.trim()
    time.textContent = trip
    worker.textContent = state === 'open' ? this.#worker : '–'
    retry.hidden = state !== 'trying'
    cut.disabled = kill.disabled = state !== 'open'
  }
}
