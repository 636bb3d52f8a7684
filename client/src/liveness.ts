import type { Environment } from './environment'

const GRACE = 10_000

/**
 * Notices a connection that is dead without anybody having said so.
 *
 * After a silence as long as the server promised never to be silent it asks, and after ten more seconds it gives up.
 * Asking first also keeps a page that slept, and finds its messages still waiting, from dropping a good connection.
 */
export class Liveness {
  readonly #env: Environment
  readonly #ask: () => void
  readonly #dead: () => void
  #interval = 0
  #heard = 0
  #timer = 0

  constructor(env: Environment, ask: () => void, dead: () => void) {
    this.#env = env
    this.#ask = ask
    this.#dead = dead
  }

  /** Watch from now on, for silences of `interval` milliseconds. */
  start(interval: number): void {
    this.#interval = interval
    this.heard()
    this.#look()
  }

  /** Something came in. Only a note: no timer is touched per message. */
  heard(): void {
    this.#heard = this.#env.now()
  }

  /** Ask now: the network or the page has just come back. */
  probe(): void {
    // While an answer is due, another question would only put off the end.
    if (!this.#interval || !this.#heard) return
    this.#heard = 0
    this.#ask()
    this.#set(GRACE, () => (this.#heard ? this.#look() : this.#dead()))
  }

  stop(): void {
    this.#interval = 0
    this.#env.clearTimeout(this.#timer)
  }

  /** Ask if the silence has lasted for an interval, else look again when it would have. */
  #look(): void {
    const left = this.#heard + this.#interval - this.#env.now()
    // More than an interval is left where the clock was set back.
    left > 0 && left <= this.#interval ? this.#set(left, () => this.#look()) : this.probe()
  }

  #set(milliseconds: number, callback: () => void): void {
    this.#env.clearTimeout(this.#timer)
    this.#timer = this.#env.setTimeout(callback, milliseconds)
  }
}
