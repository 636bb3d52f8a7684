import type { Settings } from '../../src/connection'
import type { MakeExtension } from '../../src/extension'
import { dialWorker } from '../../src/shared/dial'
import { Hub } from '../../src/shared/hub'
import { dialLeader } from '../../src/shared/leader'
import { type Dial, SharedLink } from '../../src/shared/link'
import type { Port } from '../../src/shared/protocol'
import { settle } from '../fakes/clock'
import { Agent, FakeBrowser, type Tab } from '../fakes/browser'
import { Log } from '../fakes/log'
import type { FakeSocket } from '../fakes/socket'
import { DEFAULTS } from '../harness'

export type Mode = 'worker' | 'leader'

/** The ways in which tabs can share; the tests run over both. */
export const MODES: Mode[] = ['worker', 'leader']

export const CHAT = 'ws://site/chat'

/** A tab's end of the shared connection, and the events that it got. */
export class Member {
  readonly log = new Log()
  readonly link: SharedLink
  /** The queued messages, once no connection can be shared. */
  unshared: unknown[] | undefined

  constructor(
    readonly tab: Tab,
    dial: Dial,
    url: string,
    settings: Partial<Settings>,
    locks: Tab['locks'] | null = tab.locks,
  ) {
    const unshared = (queued: unknown[]): void => void (this.unshared = queued)
    this.link = new SharedLink(tab.env, locks ?? undefined, [url, { ...DEFAULTS, ...settings }], dial, this.log.sink, unshared)
  }

  get messages(): unknown[] {
    return this.log.of('message').flat()
  }
}

export class Bench {
  readonly browser = new FakeBrowser()
  worker = new Agent()
  #hub: Hub | undefined

  /** `extensions` are those of the worker's connections. */
  constructor(
    readonly mode: Mode,
    readonly extensions?: readonly MakeExtension[],
  ) {}

  get clock() {
    return this.browser.clock
  }

  /** The newest WebSocket. */
  get socket(): FakeSocket {
    const socket = this.browser.sockets.at(-1)
    if (!socket) throw new Error('no WebSocket has been made')
    return socket
  }

  /** The one WebSocket that is not closed. */
  get only(): FakeSocket {
    const { open } = this.browser
    if (open.length !== 1) throw new Error(`the server counts ${open.length} connections, not 1`)
    return open[0] as FakeSocket
  }

  dialLeader(tab: Tab, locks = tab.locks): Dial {
    return dialLeader(tab.env, locks, (name) => this.browser.channel(tab, name), 'odac election')
  }

  /** `new SharedWorker`, as seen from `tab`. */
  startWorker(tab: Tab): { port: Port; onerror: null } {
    this.#hub ??= new Hub(
      this.browser.environment(this.worker),
      this.browser.locks.of(this.worker),
      `hub ${this.browser.random()}`,
      this.extensions,
    )
    const [mine, its] = this.browser.pair(tab, this.worker)
    queueMicrotask(() => this.worker.run(() => this.#hub?.attach(its)))
    return { port: mine, onerror: null }
  }

  /** The browser ends the worker; the next `new SharedWorker` starts another. */
  restartWorker(): void {
    this.worker.crash()
    this.worker = new Agent()
    this.#hub = undefined
  }

  dial(tab: Tab): Dial {
    return this.mode === 'worker' ? dialWorker(() => this.startWorker(tab), undefined) : this.dialLeader(tab)
  }

  join(settings: Partial<Settings> = {}, url = CHAT, tab = this.browser.tab()): Member {
    return new Member(tab, this.dial(tab), url, settings)
  }

  /** Members in `count` tabs, with an open connection. */
  async opened(count: number, settings: Partial<Settings> = {}): Promise<Member[]> {
    const members: Member[] = []
    for (let n = 0; n < count; n++) {
      members.push(this.join(settings))
      await settle()
      if (!n) this.only.accept().hello()
      await settle()
    }
    return members
  }

  /** Let time pass; the server sends data every 10 s. */
  async pass(milliseconds: number): Promise<void> {
    for (let left = milliseconds; left > 0; left -= 10_000) {
      for (const socket of this.browser.open) if (socket.readyState === 1) socket.control('later')
      await this.clock.advance(Math.min(left, 10_000))
    }
  }

  /** The server admits the newest attempt. */
  async accept(): Promise<void> {
    await settle()
    this.only.accept().hello()
    await settle()
  }
}
