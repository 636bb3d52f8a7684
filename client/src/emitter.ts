import { warnUnknown } from './unknown'

/** The names of all events. */
const EVENTS = 'state open message close error offline reconnecting recover presence invalid'

type Listener = (...args: never[]) => void

/** Listeners by event name. A Map, because any string may be a name, `__proto__` too. */
export class Emitter {
  readonly #listeners = new Map<string, Listener[]>()

  on(event: string, listener: Listener): this {
    WARN: warnUnknown('event', event, EVENTS)
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener])
    return this
  }

  off(event: string, listener?: Listener): this {
    WARN: warnUnknown('event', event, EVENTS)
    const kept = (this.#listeners.get(event) ?? []).filter((other) => listener && other !== listener)
    this.#listeners.set(event, kept)
    return this
  }

  /**
   * Call the listeners of `event` in the order of registration. An error in one is reported, and the others still run.
   *
   * @returns the number of listeners.
   */
  protected emit(event: string, args: readonly unknown[]): number {
    const listeners = this.#listeners.get(event) ?? []
    for (const listener of listeners) {
      try {
        listener(...(args as never[]))
      } catch (error) {
        // As `reportError` does, which older browsers do not have.
        setTimeout(() => {
          throw error
        })
      }
    }
    return listeners.length
  }
}
