import { Connection } from '../connection'
import type { Environment } from '../environment'
import type { MakeExtension } from '../extension'
import type { Resumption } from '../recovery'
import { CLOSED, OPEN, type Sink } from '../transport'
import { type Locks, type Port, type Subject, type TabPositions, type ToHub, type ToTab, version } from './protocol'
import { roomState } from './room-state'

/** Milliseconds between two sweeps, which look for silent tabs. */
const SWEEP = 30_000
/**
 * The number of sweeps in a row that a tab may be silent. Browsers run the timers of hidden tabs once a minute; a tab
 * that is silent for longer is frozen. A count and not a time: after the machine has slept for an hour, every tab has
 * been silent for an hour.
 */
const SILENT_SWEEPS = 5
/** Milliseconds after which a failed request for the current session is repeated. */
const SESSION_RETRY = 3_000
/** How many times in a row the session may change without a connection opening. */
const MAX_CHANGES = 10

interface Tab {
  readonly port: Port
  /** The number of sweeps since its last message. */
  silent: number
  lock?: string | undefined
  /** Its positions in rooms, from an earlier hub. */
  positions: TabPositions
  group?: Group | undefined
}

const post = (port: Port, message: ToTab): void => port.postMessage(message)

/** The tabs that share one connection. */
interface Group {
  readonly key: string
  /** Tabs that get the events of the connection. */
  readonly members: Set<Tab>
  /** Tabs that joined later, until their session has been compared with the connection's. */
  readonly waiting: Set<Tab>
  connection: Connection
}

/**
 * Holds the connections that tabs share: in a SharedWorker, or in the leading tab.
 *
 * All tabs share their cookies, so that there is one current session, and each connection here belongs to it. The hub
 * asks the token endpoint for the session when it connects, and when a tab joins, leaves or becomes visible. If the
 * session has changed, the hub closes every connection and the tabs have to join again.
 */
export class Hub {
  readonly #env: Environment
  readonly #locks: Locks | undefined
  readonly #lock: string | undefined
  readonly #extensions: readonly MakeExtension[]
  readonly #groups = new Map<string, Group>()
  readonly #tabs = new Set<Tab>()
  /** Aborts the requests for the tabs' locks. */
  readonly #stopped = new AbortController()
  #session: string | undefined
  /** The requests for the current session, one after the other; `#requestPlanned` until the last of them is sent. */
  #requests: Promise<void> = Promise.resolve()
  #requestPlanned = false
  /** How many times the session has changed since a connection last opened. */
  #changes = 0
  #sweepTimer = 0
  #retryTimer = 0

  /** `lock` names a Web Lock that this hub holds until its thread ends, so that tabs notice that it has ended. */
  constructor(
    env: Environment,
    locks: Locks | undefined,
    lock?: string,
    extensions: readonly MakeExtension[] = [],
  ) {
    this.#extensions = extensions
    this.#locks = locks
    if (locks && lock) {
      this.#lock = lock
      locks.request(lock, () => new Promise(() => {})).catch(() => {})
    }
    this.#env = {
      ...env,
      identified: true,
      // The page's token says nothing about the current session.
      takePageToken: () => undefined,
      fetchCredentials: async () => {
        const credentials = await env.fetchCredentials()
        this.#identify(credentials.session)
        return credentials
      },
    }
    this.#scheduleSweep()
  }

  /** Serve the tab at the other end of `port`. */
  attach(port: Port): void {
    const tab: Tab = { port, silent: 0, positions: [undefined, undefined] }
    this.#tabs.add(tab)
    port.onmessage = ({ data }: MessageEvent<ToHub>) => {
      tab.silent = 0
      const [kind, value] = data
      if (kind === 'join') this.#join(tab, value, data[2], data[3])
      else if (kind === 'leave') this.#remove(tab)
      else if (!tab.group) post(port, ['removed', kind === 'send'])
      else if (kind === 'send') tab.group.connection.send(value)
      else if (kind === 'control') tab.group.connection.control(...value)
      else {
        post(port, ['beat'])
        if (kind === 'probe') tab.group.connection.probe()
        if (kind === 'wake') {
          const { connection, members } = tab.group
          // The last member is the tab that was visible last.
          if (members.delete(tab)) members.add(tab)
          connection.wake()
          this.#check()
        }
      }
    }
    post(port, ['ready', this.#lock, version])
  }

  /** Close every connection and every port: another hub takes over. */
  stop(): void {
    for (const { port } of this.#tabs) port.close()
    this.#stopped.abort()
    this.#env.clearTimeout(this.#sweepTimer)
    this.#env.clearTimeout(this.#retryTimer)
    for (const group of [...this.#groups.values()]) this.#dissolve(() => {}, group)
  }

  #join(tab: Tab, subject: Subject, lock: string | undefined, positions: TabPositions): void {
    if (tab.group) return
    tab.positions = positions
    if (lock && !tab.lock) {
      tab.lock = lock
      // Granted when the tab releases it or crashes.
      this.#locks
        ?.request(lock, { signal: this.#stopped.signal }, () => this.#remove(tab))
        .catch(() => {})
    }
    const key = JSON.stringify(subject)
    let group = this.#groups.get(key)
    if (group) {
      tab.group = group
      group.waiting.add(tab)
      this.#check()
    } else {
      // There is no session to compare with: the connection asks for it before it connects.
      const made = { key, members: new Set([tab]), waiting: new Set() } as unknown as Group
      tab.group = group = made
      this.#groups.set(key, group)
      const extensions = [...this.#extensions, roomState(() => this.#resumptions(made))]
      group.connection = new Connection(this.#env, ...subject, this.#relay(group), extensions)
    }
  }

  /** The positions of a group's tabs in rooms, without those from another session. */
  #resumptions({ members, waiting }: Group): Resumption[] {
    return [...members, ...waiting].flatMap((tab) => {
      const resumption = this.#resumptionOf(tab)
      return resumption ? [resumption] : []
    })
  }

  #resumptionOf({ positions: [session, resumption] }: Tab): Resumption | undefined {
    return session === this.#session ? resumption : undefined
  }

  /** Sends the events of a group's connection to its tabs. */
  #relay(group: Group): Sink {
    return (event, ...args) => {
      const { connection, members, waiting, key } = group
      if (this.#groups.get(key) !== group) return
      if (event === 'open') this.#changes = 0
      // Only one tab answers a call from the server: the one that was visible last.
      const recipients = event === 'control' && args[0] === 'call' ? [...members].slice(-1) : members
      for (const tab of recipients) this.#sendEvent(tab, event, ...args)
      // The next tab to join gets a new connection, and so do the waiting ones: their session may be another.
      if (connection.ended && event === 'close') {
        this.#dissolve(({ port }) => post(port, ['removed', false]), group, waiting)
      }
    }
  }

  #sendEvent({ port, group }: Tab, event: Parameters<Sink>[0], ...args: unknown[]): void {
    const { state, ended } = (group as Group).connection
    post(port, ['event', state, ended, this.#session, event, ...args])
  }

  #remove(tab: Tab): void {
    tab.port.close()
    this.#tabs.delete(tab)
    this.#leave(tab)
  }

  #leave(tab: Tab): void {
    const { group } = tab
    if (!group) return
    tab.group = undefined
    group.members.delete(tab)
    group.waiting.delete(tab)
    if (!group.members.size && !group.waiting.size) this.#dissolve(() => {}, group)
    // The tab may be leaving because its user logged out.
    this.#check()
  }

  /** Close the connection of `group`, remove its tabs, and call `notify` with each of `recipients`. */
  #dissolve(
    notify: (tab: Tab) => void,
    group: Group,
    recipients: Iterable<Tab> = [...group.members, ...group.waiting],
  ): void {
    // Removed first, so that no tab gets the events of the closing connection.
    this.#groups.delete(group.key)
    group.connection.close()
    for (const tab of [...group.members, ...group.waiting]) tab.group = undefined
    for (const tab of recipients) notify(tab)
  }

  /** Note that `session` is the current one; if it has changed, close every connection. */
  #identify(session: string | undefined): void {
    const before = this.#session
    this.#session = session
    if (session && (!before || before === session)) return
    // Where a browser or a proxy drops the cookie, each request begins a new session.
    const message: ToTab = session && ++this.#changes < MAX_CHANGES ? ['removed', false] : ['unshared']
    for (const group of [...this.#groups.values()]) this.#dissolve(({ port }) => post(port, message), group)
  }

  /** Ask for the current session, then admit the waiting tabs. */
  #check(): void {
    // A request that has not been sent yet serves every tab that joins before it.
    if (this.#requestPlanned || !this.#groups.size) return
    this.#requestPlanned = true
    this.#requests = this.#requests.then(async () => {
      this.#requestPlanned = false
      const waiting = [...this.#groups.values()].flatMap((group) => [...group.waiting])
      const answered = await this.#env.fetchCredentials().then(
        () => true,
        () => false,
      )
      for (const tab of waiting) this.#admit(tab, answered)
    })
  }

  #admit(tab: Tab, compared: boolean): void {
    const { group } = tab
    if (!group?.waiting.has(tab)) return
    const { connection, members, waiting } = group
    // A closed connection asks for the session before it opens. An open one admits no tab without a comparison.
    if (!compared && connection.state !== CLOSED) {
      this.#env.clearTimeout(this.#retryTimer)
      this.#retryTimer = this.#env.setTimeout(() => this.#check(), SESSION_RETRY)
      return
    }
    waiting.delete(tab)
    members.add(tab)
    const emit: Sink = (event, ...args) => this.#sendEvent(tab, event, ...args)
    if (connection.state === OPEN) connection.tabJoined(emit, this.#resumptionOf(tab))
    else emit('')
    if (connection.state === CLOSED) connection.wake()
  }

  #scheduleSweep(): void {
    this.#sweepTimer = this.#env.setTimeout(() => {
      for (const tab of [...this.#tabs]) {
        // A tab that holds a lock is frozen, and may come back over this port; any other has to dial again.
        if (++tab.silent > SILENT_SWEEPS) tab.lock ? this.#leave(tab) : this.#remove(tab)
      }
      this.#scheduleSweep()
    }, SWEEP)
  }
}
