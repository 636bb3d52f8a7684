import type { Environment } from '../environment'
import { Hub } from './hub'
import type { Dial, Line } from './link'
import type { Locks, Port } from './protocol'

/** Makes a `BroadcastChannel`. */
export type OpenChannel = (name: string) => Port

/**
 * A tab that is ready to hold the hub for all: whoever holds the Web Lock `name` leads.
 *
 * In the lobby, a channel of that name, leaders announce themselves with their term, a number that grows; tabs ask for
 * the leader with 0, and for a line to it with the term and the name of a channel made for this line alone. A leader
 * that was frozen, and wakes up after it has been replaced, is thus heard by nobody.
 */
class Candidate implements Line {
  readonly #env: Environment
  readonly #locks: Locks
  readonly #channel: OpenChannel
  readonly #name: string
  readonly #attach: (port: Port) => void
  readonly #fail: () => void
  readonly #lobby: Port
  #port: Port | undefined
  #term = 0
  /** Aborted when this tab does not want to lead any more: no request for the lock may outlive it. */
  readonly #quit = new AbortController()
  /** Gives the lead back. */
  #resign: (() => void) | undefined

  constructor(
    env: Environment,
    locks: Locks,
    channel: OpenChannel,
    name: string,
    attach: (port: Port) => void,
    steal: boolean,
    fail: () => void,
  ) {
    this.#env = env
    this.#locks = locks
    this.#channel = channel
    this.#name = name
    this.#attach = attach
    this.#fail = fail
    this.#lobby = channel(name)
    this.#lobby.onmessage = ({ data }: MessageEvent) => {
      if (data > this.#term) this.#follow(data as number)
    }
    this.#lobby.postMessage(0)
    this.#run(steal)
  }

  close(): void {
    this.#quit.abort()
    this.#resign?.()
    this.#lobby.close()
    this.#port?.close()
  }

  #follow(term: number): void {
    this.#term = term
    this.#port?.close()
    const name = this.#name + this.#env.random()
    this.#port = this.#channel(name)
    this.#attach(this.#port)
    this.#lobby.postMessage([term, name])
  }

  /** Lead as soon as nobody else does; at once if `steal`, because the leader does not answer. */
  #run(steal: boolean): void {
    let stolen = false
    const { signal } = this.#quit
    this.#locks
      // Who steals does not wait, and must not bring a signal.
      .request(this.#name, steal ? { steal } : { signal }, () => (stolen ? undefined : this.#lead()))
      .catch(({ name }: Error) => {
        stolen = true
        this.#resign?.()
        if (signal.aborted) return
        // Taken from this tab, which seems to have slept; else locks are forbidden here.
        if (name === 'AbortError') this.#run(false)
        else this.#fail()
      })
  }

  #lead(): Promise<void> | undefined {
    if (this.#quit.signal.aborted) return undefined
    const hub = new Hub(this.#env, this.#locks)
    const lobby = this.#channel(this.#name)
    // Two that steal in the same millisecond are told apart by the fraction.
    const term = Math.max(this.#env.now(), this.#term + 1) + this.#env.random()
    lobby.onmessage = ({ data }: MessageEvent) => {
      if (data === 0) lobby.postMessage(term)
      else if (data[0] === term) hub.attach(this.#channel(data[1] as string))
    }
    lobby.postMessage(term)
    return new Promise((resolve) => {
      this.#resign = () => {
        hub.stop()
        lobby.close()
        resolve()
      }
    })
  }
}

/** A way to the hub of the tab that leads. */
export const dialLeader =
  (env: Environment, locks: Locks, channel: OpenChannel, name: string): Dial =>
  (attach, lost, fail) =>
    new Candidate(env, locks, channel, name, attach, lost, fail)
