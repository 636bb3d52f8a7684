import type { Environment } from './environment'

/** Milliseconds that the server has to answer a ping. */
const GRACE = 10_000

/**
 * Notices a connection that has died without a close, such as after a change of the network.
 *
 * If no data arrives for the server's ping interval, it sends a ping, and gives up 10 s later. Without the ping, a page
 * that was asleep and has messages to read would drop a good connection.
 */
export class Liveness {
  readonly #env: Environment
  readonly #ping: () => void
  readonly #onDead: () => void
  #interval = 0
  /** When data last arrived; 0 while a ping is unanswered. */
  #received = 0
  #timer = 0

  constructor(env: Environment, ping: () => void, onDead: () => void) {
    this.#env = env
    this.#ping = ping
    this.#onDead = onDead
  }

  /** Start to watch for a silence of `interval` milliseconds. */
  start(interval: number): void {
    this.#interval = interval
    this.received()
    this.#check()
  }

  /** Note that data has arrived. No timer is set for each message. */
  received(): void {
    this.#received = this.#env.now()
  }

  /** Send a ping now, such as when the network is lost or the page becomes visible. */
  probe(): void {
    // A second ping while the first is unanswered would only delay the end.
    if (!this.#interval || !this.#received) return
    this.#received = 0
    this.#ping()
    this.#after(GRACE, () => (this.#received ? this.#check() : this.#onDead()))
  }

  stop(): void {
    this.#interval = 0
    this.#env.clearTimeout(this.#timer)
  }

  /** Send a ping if no data has arrived for an interval, else check again when that time is over. */
  #check(): void {
    const left = this.#received + this.#interval - this.#env.now()
    // If more than an interval is left, the clock was set back.
    left > 0 && left <= this.#interval ? this.#after(left, () => this.#check()) : this.probe()
  }

  #after(milliseconds: number, callback: () => void): void {
    this.#env.clearTimeout(this.#timer)
    this.#timer = this.#env.setTimeout(callback, milliseconds)
  }
}
