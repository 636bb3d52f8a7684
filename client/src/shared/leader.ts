import type { Environment } from '../environment'
import { Hub } from './hub'
import type { Dial, HubConnection } from './link'
import type { Locks, Port } from './protocol'

/** Makes a `BroadcastChannel`. */
export type OpenChannel = (name: string) => Port

/**
 * A tab that can run the hub for all tabs: the one that holds the Web Lock `name` leads.
 *
 * On the election channel, which has that name, a leader announces its term, a number that grows. A tab posts 0 to ask
 * for the term, and the term with the name of a new channel to be attached over that channel. Tabs ignore a lower term,
 * and so a leader that was frozen and has been replaced.
 */
class Candidate implements HubConnection {
  readonly #env: Environment
  readonly #locks: Locks
  readonly #channel: OpenChannel
  readonly #name: string
  readonly #attach: (port: Port) => void
  readonly #fail: () => void
  readonly #election: Port
  #port: Port | undefined
  #term = 0
  /** Aborted when this tab stops being a candidate, to cancel its request for the lock. */
  readonly #quit = new AbortController()
  /** Stops leading and releases the lock. */
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
    this.#election = channel(name)
    this.#election.onmessage = ({ data }: MessageEvent) => {
      if (data > this.#term) this.#follow(data as number)
    }
    this.#election.postMessage(0)
    this.#run(steal)
  }

  close(): void {
    this.#quit.abort()
    this.#resign?.()
    this.#election.close()
    this.#port?.close()
  }

  #follow(term: number): void {
    this.#term = term
    this.#port?.close()
    const name = this.#name + this.#env.random()
    this.#port = this.#channel(name)
    this.#attach(this.#port)
    this.#election.postMessage([term, name])
  }

  /** Lead as soon as no other tab does; at once if `steal`, which is for a leader that does not answer. */
  #run(steal: boolean): void {
    let stolen = false
    const { signal } = this.#quit
    this.#locks
      // The Web Locks API allows no signal together with `steal`.
      .request(this.#name, steal ? { steal } : { signal }, () => (stolen ? undefined : this.#lead()))
      .catch(({ name }: Error) => {
        stolen = true
        this.#resign?.()
        if (signal.aborted) return
        // AbortError: another tab stole the lock while this one was frozen. Any other: locks are not allowed here.
        if (name === 'AbortError') this.#run(false)
        else this.#fail()
      })
  }

  #lead(): Promise<void> | undefined {
    if (this.#quit.signal.aborted) return undefined
    const hub = new Hub(this.#env, this.#locks)
    const election = this.#channel(this.#name)
    // The random fraction tells apart two tabs that steal in the same millisecond.
    const term = Math.max(this.#env.now(), this.#term + 1) + this.#env.random()
    election.onmessage = ({ data }: MessageEvent) => {
      if (data === 0) election.postMessage(term)
      else if (data[0] === term) hub.attach(this.#channel(data[1] as string))
    }
    election.postMessage(term)
    return new Promise((resolve) => {
      this.#resign = () => {
        hub.stop()
        election.close()
        resolve()
      }
    })
  }
}

/** Dials the hub of the leading tab, or becomes that tab. */
export const dialLeader =
  (env: Environment, locks: Locks, channel: OpenChannel, name: string): Dial =>
  (attach, lost, fail) =>
    new Candidate(env, locks, channel, name, attach, lost, fail)
