import type { Environment } from './environment'

const GRACE = 10_000

/**
 * Notices a dead connection that was not closed, such as after the network has changed.
 *
 * After a silence longer than the server's ping interval it sends a ping, and gives up after ten more seconds. The ping
 * also keeps a page that was asleep, and has messages to read, from dropping a good connection.
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

  /** Start to watch for a silence of `interval` milliseconds. */
  start(interval: number): void {
    this.#interval = interval
    this.heard()
    this.#look()
  }

  /** Note that data has arrived. No timer is set for each message. */
  heard(): void {
    this.#heard = this.#env.now()
  }

  /** Send a ping now: the network or the page has just come back. */
  probe(): void {
    // A second ping while the first is unanswered would only delay the end.
    if (!this.#interval || !this.#heard) return
    this.#heard = 0
    this.#ask()
    this.#set(GRACE, () => (this.#heard ? this.#look() : this.#dead()))
  }

  stop(): void {
    this.#interval = 0
    this.#env.clearTimeout(this.#timer)
  }

  /** Send a ping if the silence has lasted for an interval, else look again when it would have. */
  #look(): void {
    const left = this.#heard + this.#interval - this.#env.now()
    // If more than an interval is left, the clock was set back.
    left > 0 && left <= this.#interval ? this.#set(left, () => this.#look()) : this.probe()
  }

  #set(milliseconds: number, callback: () => void): void {
    this.#env.clearTimeout(this.#timer)
    this.#timer = this.#env.setTimeout(callback, milliseconds)
  }
}
