// Tabs of one browser. Each can freeze, resume and crash, and with it its timers, locks, channels and sockets.
import { setMaxListeners } from 'node:events'
import type { Credentials, Environment } from '../../src/environment'
import type { Locks, Port } from '../../src/shared/protocol'
import { FakeClock } from './clock'
import { FakeSocket } from './socket'

/** A thread of script: a tab or a worker. */
export class Agent {
  alive = true
  frozen = false
  /** Messages to it are lost, as if their sender had crashed before it sent them. */
  cutOff = false
  readonly #backlog: (() => void)[] = []
  readonly #atCrash: (() => void)[] = []

  /** Run `callback` here: now, when the agent resumes, or never. */
  readonly run = (callback: () => void): void => {
    if (this.frozen) this.#backlog.push(callback)
    else if (this.alive) callback()
  }

  onCrash(callback: () => void): void {
    this.#atCrash.push(callback)
  }

  resume(): void {
    this.frozen = false
    for (const callback of this.#backlog.splice(0)) this.run(callback)
  }

  /** Crash: no event is dispatched. */
  crash(): void {
    this.alive = false
    for (const callback of this.#atCrash.splice(0)) callback()
  }
}

interface Request {
  readonly agent: Agent
  readonly callback: () => unknown
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/** `navigator.locks` of every agent. */
export class FakeLocks {
  readonly #held = new Map<string, Request>()
  readonly #queues = new Map<string, Request[]>()

  /** The agent that holds `name`. */
  holder(name: string): Agent | undefined {
    return this.#held.get(name)?.agent
  }

  /** How many locks `agent` holds or waits for. */
  waiting(agent: Agent): number {
    return [...this.#held.values(), ...[...this.#queues.values()].flat()].filter((entry) => entry.agent === agent).length
  }

  of(agent: Agent): Locks {
    const request = (name: string, ...rest: [() => unknown] | [LockOptions, () => unknown]): Promise<unknown> =>
      new Promise((resolve, reject) => {
        const callback = rest.at(-1) as () => unknown
        const { steal, signal } = rest.length === 2 ? (rest[0] as LockOptions) : {}
        const entry = { agent, callback, resolve, reject }
        // One hub waits for many tabs.
        if (signal) setMaxListeners(0, signal)
        signal?.addEventListener('abort', () => {
          // A signal does not release a granted lock.
          if (this.#held.get(name) === entry) return
          this.#remove(name, entry)
          reject(new DOMException('aborted', 'AbortError'))
        })
        const queue = this.#queues.get(name) ?? []
        this.#queues.set(name, queue)
        agent.onCrash(() => this.#remove(name, entry))
        const holder = this.#held.get(name)
        if (steal && holder) {
          this.#held.delete(name)
          holder.agent.run(() => holder.reject(new DOMException('stolen', 'AbortError')))
        }
        if (steal) queue.unshift(entry)
        else queue.push(entry)
        this.#next(name)
      })
    return { request } as unknown as Locks
  }

  #next(name: string): void {
    if (this.#held.has(name)) return
    const entry = this.#queues.get(name)?.shift()
    if (!entry) return
    this.#held.set(name, entry)
    queueMicrotask(() =>
      entry.agent.run(() => {
        if (this.#held.get(name) !== entry) return
        void Promise.resolve(entry.callback()).then((value) => {
          entry.resolve(value)
          this.#remove(name, entry)
        })
      }),
    )
  }

  #remove(name: string, entry: Request): void {
    this.#queues.set(name, (this.#queues.get(name) ?? []).filter((other) => other !== entry))
    if (this.#held.get(name) !== entry) return
    this.#held.delete(name)
    this.#next(name)
  }
}

/** One end of a message channel. */
class FakePort implements Port {
  onmessage: ((event: MessageEvent) => void) | null = null
  closed = false

  constructor(
    readonly agent: Agent,
    readonly forward: (message: unknown, from: FakePort) => void,
  ) {
    agent.onCrash(() => this.close())
  }

  postMessage(message: unknown): void {
    // The message is copied, as a real port does. The sender is alive, because this runs in it.
    if (!this.closed) this.forward(structuredClone(message), this)
  }

  receive(data: unknown): void {
    if (this.closed || this.agent.cutOff) return
    queueMicrotask(() => this.agent.run(() => this.closed || this.onmessage?.({ data } as MessageEvent)))
  }

  close(): void {
    this.closed = true
  }
}

export class FakeBrowser {
  readonly clock = new FakeClock()
  readonly locks = new FakeLocks()
  /** Every WebSocket, closed ones included. */
  readonly sockets: FakeSocket[] = []
  readonly tabs: Tab[] = []
  /** The session of the browser's cookie, which the token endpoint returns. */
  session: string | undefined = 'ann'
  /** Set it to make the token endpoint fail. */
  outage: Error | undefined
  requests = 0
  random: () => number = Math.random
  /** Which session each token was given to. */
  readonly tokens = new Map<string, string | undefined>()
  readonly #channels = new Map<string, Set<FakePort>>()
  readonly #ports: FakePort[] = []

  tab(): Tab {
    const tab = new Tab(this)
    this.tabs.push(tab)
    return tab
  }

  /** The WebSockets that are not closed. */
  get open(): FakeSocket[] {
    return this.sockets.filter(({ alive }) => alive)
  }

  channel(agent: Agent, name: string): Port {
    const members = this.#channels.get(name) ?? new Set()
    this.#channels.set(name, members)
    const port = new FakePort(agent, (message, from) => {
      for (const other of members) if (other !== from) other.receive(message)
    })
    members.add(port)
    return port
  }

  /** A message channel between two agents. */
  pair(one: Agent, other: Agent): [Port, Port] {
    const first: FakePort = new FakePort(one, (message) => second.receive(message))
    const second: FakePort = new FakePort(other, (message) => first.receive(message))
    this.#ports.push(first, second)
    return [first, second]
  }

  /** How many ends of message channels `agent` has not closed. */
  ports(agent: Agent): number {
    return this.#ports.filter((port) => port.agent === agent && !port.closed).length
  }

  environment(agent: Agent): Environment {
    return {
      socket: (url, protocols) => {
        const socket = new FakeSocket(url, protocols, agent.run)
        // What a crashed agent still does, in promises under way, has no effect.
        if (!agent.alive) socket.readyState = 3
        agent.onCrash(() => (socket.readyState = 3))
        this.sockets.push(socket)
        return socket as unknown as WebSocket
      },
      fetchCredentials: async (): Promise<Credentials> => {
        const count = ++this.requests
        if (this.outage) throw this.outage
        const { session } = this
        this.tokens.set(`t${count}`, session)
        return { token: `t${count}`, ...(session === undefined ? {} : { session }) }
      },
      takePageToken: () => {
        throw new Error('a shared connection must not use the page token: it does not say whose session it is')
      },
      setTimeout: (callback, milliseconds) => this.clock.setTimeout(() => agent.run(callback), milliseconds),
      clearTimeout: (timer) => this.clock.clearTimeout(timer),
      now: () => this.clock.time,
      random: () => this.random(),
      online: () => true,
    }
  }
}

/** One of the browser's tabs. */
export class Tab extends Agent {
  constructor(readonly browser: FakeBrowser) {
    super()
  }

  get env(): Environment {
    return this.browser.environment(this)
  }

  get locks(): Locks {
    return this.browser.locks.of(this)
  }
}
