/** Run everything that is ready: promises, and what they start. No time passes. */
export const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
}

interface Timer {
  readonly at: number
  readonly id: number
  readonly callback: () => void
}

/** A clock that moves only when a test moves it. */
export class FakeClock {
  time = 1_700_000_000_000
  #timers: Timer[] = []
  #lastId = 0

  /** How many timers are set: none may be left when everything is closed. */
  get pending(): number {
    return this.#timers.length
  }

  setTimeout(callback: () => void, milliseconds: number): number {
    const id = ++this.#lastId
    this.#timers.push({ at: this.time + milliseconds, id, callback })
    return id
  }

  clearTimeout(id: number): void {
    this.#timers = this.#timers.filter((timer) => timer.id !== id)
  }

  /** The machine sleeps: the clock continues, timers do not. */
  sleep(milliseconds: number): void {
    this.time += milliseconds
    this.#timers = this.#timers.map((timer) => ({ ...timer, at: timer.at + milliseconds }))
  }

  /** The clock is set back; timers do not depend on it. */
  setBack(milliseconds: number): void {
    this.sleep(-milliseconds)
  }

  /** Let time pass, and call each timer at its time. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.time + milliseconds
    await settle()
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at || a.id - b.id)
      if (!next) break
      this.clearTimeout(next.id)
      this.time = Math.max(this.time, next.at)
      next.callback()
      await settle()
    }
    this.time = end
  }
}
