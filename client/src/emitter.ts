type Listener = (...args: never[]) => void

/** Listeners by event name. Names are data: a Map has no `__proto__` to fall over. */
export class Emitter {
  readonly #listeners = new Map<string, Listener[]>()

  on(event: string, listener: Listener): this {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener])
    return this
  }

  off(event: string, listener?: Listener): this {
    const kept = listener ? (this.#listeners.get(event) ?? []).filter((other) => other !== listener) : []
    this.#listeners.set(event, kept)
    return this
  }

  /**
   * Call the listeners of `event` in the order of registration. One that throws is reported and stops nobody.
   *
   * @returns how many there are.
   */
  protected emit(event: string, args: readonly unknown[]): number {
    const listeners = this.#listeners.get(event) ?? []
    for (const listener of listeners) {
      try {
        listener(...(args as never[]))
      } catch (error) {
        // What the browser does for its own event targets, without needing a recent one.
        setTimeout(() => {
          throw error
        })
      }
    }
    return listeners.length
  }
}
