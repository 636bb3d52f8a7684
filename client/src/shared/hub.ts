import { Connection } from '../connection'
import type { Environment } from '../environment'
import type { MakeExtension } from '../extension'
import type { Resumption } from '../recovery'
import { CLOSED, OPEN, type Sink } from '../transport'
import { type Locks, type Memory, type Port, type Subject, type ToHub, type ToTab, version } from './protocol'
import { remembering } from './remembering'

/** How often silent tabs are looked for. */
const SWEEP = 30_000
/**
 * In how many sweeps in a row a tab may have said nothing. Hidden ones are woken once a minute; a longer silence is a
 * frozen tab. Not a time: after the machine has slept for an hour, all of them have been silent for an hour.
 */
const SILENT_SWEEPS = 5
/** How soon a failed question about the session is asked again. */
const ASK_AGAIN = 3_000
/** How often in a row the session may change without any connection that opens. */
const CHANGES = 10

interface Tab {
  readonly port: Port
  /** In how many sweeps it had said nothing. */
  silent: number
  lock?: string | undefined
  /** What it brought of an earlier hub. */
  memory: Memory
  group?: Group | undefined
}

const say = (port: Port, message: ToTab): void => port.postMessage(message)

/** The tabs of one subject, and their connection. */
interface Group {
  readonly key: string
  /** Those that may hear the connection. */
  readonly members: Set<Tab>
  /** Those that came when it was there already, and whose session has yet to be compared with its. */
  readonly waiting: Set<Tab>
  connection: Connection
}

/**
 * Holds the connections that tabs share: in a SharedWorker, or in the tab that leads.
 *
 * All tabs have one cookie jar, so that there is one current session, and the connections here are always that
 * session's. The hub asks the token endpoint whose session it is when it connects, when a tab comes, goes or is looked
 * at again. If the answer is another one than before, every connection is closed and the tabs have to join anew.
 */
export class Hub {
  readonly #env: Environment
  readonly #locks: Locks | undefined
  readonly #life: string | undefined
  readonly #extensions: readonly MakeExtension[]
  readonly #groups = new Map<string, Group>()
  readonly #tabs = new Set<Tab>()
  /** Ends the waiting for tabs to go. */
  readonly #over = new AbortController()
  #session: string | undefined
  /** The questions about the session, one after the other, and whether the last of them is still to be asked. */
  #asked: Promise<void> = Promise.resolve()
  #planned = false
  /** How often the session has changed since a connection has opened. */
  #changes = 0
  #sweep = 0
  #again = 0

  /** `life` is the name of a Web Lock, held for as long as this hub's thread lives, for tabs to watch. */
  constructor(
    env: Environment,
    locks: Locks | undefined,
    life?: string,
    extensions: readonly MakeExtension[] = [],
  ) {
    this.#extensions = extensions
    this.#locks = locks
    if (locks && life) {
      this.#life = life
      locks.request(life, () => new Promise(() => {})).catch(() => {})
    }
    this.#env = {
      ...env,
      identified: true,
      // It would tell nothing about the session.
      takePageToken: () => undefined,
      fetchCredentials: async () => {
        const credentials = await env.fetchCredentials()
        this.#identify(credentials.session)
        return credentials
      },
    }
    this.#sweepLater()
  }

  /** Serve the tab at the other end of `port`. */
  attach(port: Port): void {
    const tab: Tab = { port, silent: 0, memory: [undefined, undefined] }
    this.#tabs.add(tab)
    port.onmessage = ({ data }: MessageEvent<ToHub>) => {
      tab.silent = 0
      const [kind, value] = data
      if (kind === 'join') this.#join(tab, value, data[2], data[3])
      else if (kind === 'leave') this.#forget(tab)
      else if (!tab.group) say(port, ['gone', kind === 'send'])
      else if (kind === 'send') tab.group.connection.send(value)
      else if (kind === 'control') tab.group.connection.control(...value)
      else {
        say(port, ['beat'])
        if (kind === 'probe') tab.group.connection.probe()
        if (kind === 'wake') {
          const { connection, members } = tab.group
          // The last is the one that was looked at last.
          if (members.delete(tab)) members.add(tab)
          connection.wake()
          this.#check()
        }
      }
    }
    say(port, ['ready', this.#life, version])
  }

  /** Close every connection, and hear nobody any more: another hub takes over. */
  stop(): void {
    for (const { port } of this.#tabs) port.close()
    this.#over.abort()
    this.#env.clearTimeout(this.#sweep)
    this.#env.clearTimeout(this.#again)
    for (const group of [...this.#groups.values()]) this.#dissolve(() => {}, group)
  }

  #join(tab: Tab, subject: Subject, lock: string | undefined, memory: Memory): void {
    if (tab.group) return
    tab.memory = memory
    if (lock && !tab.lock) {
      tab.lock = lock
      // Granted when the tab lets go of it, which a crashed one does too.
      this.#locks
        ?.request(lock, { signal: this.#over.signal }, () => this.#forget(tab))
        .catch(() => {})
    }
    const key = JSON.stringify(subject)
    let group = this.#groups.get(key)
    if (group) {
      tab.group = group
      group.waiting.add(tab)
      this.#check()
    } else {
      // Nothing to compare with: the connection asks for itself before it connects.
      const made = { key, members: new Set([tab]), waiting: new Set() } as unknown as Group
      tab.group = group = made
      this.#groups.set(key, group)
      const extensions = [...this.#extensions, remembering(() => this.#memories(made))]
      group.connection = new Connection(this.#env, ...subject, this.#relay(group), extensions)
    }
  }

  /** What the tabs of a group know of rooms, as far as it is of this session. */
  #memories({ members, waiting }: Group): Resumption[] {
    return [...members, ...waiting].flatMap((tab) => {
      const memory = this.#memory(tab)
      return memory ? [memory] : []
    })
  }

  #memory({ memory: [session, resumption] }: Tab): Resumption | undefined {
    return session === this.#session ? resumption : undefined
  }

  /** Where the events of a group's connection go. */
  #relay(group: Group): Sink {
    return (event, ...args) => {
      const { connection, members, waiting, key } = group
      if (this.#groups.get(key) !== group) return
      if (event === 'open') this.#changes = 0
      // A call of the server is for one tab: the one that was looked at last.
      const told = event === 'control' && args[0] === 'call' ? [...members].slice(-1) : members
      for (const tab of told) this.#tell(tab, event, ...args)
      // The next to join gets a new one. So do those who wait: they may be of another session.
      if (connection.ended && event === 'close') {
        this.#dissolve(({ port }) => say(port, ['gone', false]), group, waiting)
      }
    }
  }

  #tell({ port, group }: Tab, event: Parameters<Sink>[0], ...args: unknown[]): void {
    const { state, ended } = (group as Group).connection
    say(port, ['event', state, ended, this.#session, event, ...args])
  }

  #forget(tab: Tab): void {
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
    // Who leaves may do so by logging out.
    this.#check()
  }

  /** Close the connection of `group`, forget its tabs, and call `tell` with those of them that are in `told`. */
  #dissolve(tell: (tab: Tab) => void, group: Group, told: Iterable<Tab> = [...group.members, ...group.waiting]): void {
    // First, so that what the closing connection says reaches nobody.
    this.#groups.delete(group.key)
    group.connection.close()
    for (const tab of [...group.members, ...group.waiting]) tab.group = undefined
    for (const tab of told) tell(tab)
  }

  /** The current session is `session`. */
  #identify(session: string | undefined): void {
    const before = this.#session
    this.#session = session
    if (session && (!before || before === session)) return
    // A browser or a proxy that drops the cookie makes each answer another session's.
    const message: ToTab = session && ++this.#changes < CHANGES ? ['gone', false] : ['alone']
    for (const group of [...this.#groups.values()]) this.#dissolve(({ port }) => say(port, message), group)
  }

  /** Ask whose session it is, and let in those who wait for the answer. */
  #check(): void {
    // A question that has not been asked yet is the question of all who come until then.
    if (this.#planned || !this.#groups.size) return
    this.#planned = true
    this.#asked = this.#asked.then(async () => {
      this.#planned = false
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
    // A connection that is down asks for itself before it comes up; with one that is up, nobody is let in unseen.
    if (!compared && connection.state !== CLOSED) {
      this.#env.clearTimeout(this.#again)
      this.#again = this.#env.setTimeout(() => this.#check(), ASK_AGAIN)
      return
    }
    waiting.delete(tab)
    members.add(tab)
    const emit: Sink = (event, ...args) => this.#tell(tab, event, ...args)
    if (connection.state === OPEN) connection.joined(emit, this.#memory(tab))
    else emit('')
    if (connection.state === CLOSED) connection.wake()
  }

  #sweepLater(): void {
    this.#sweep = this.#env.setTimeout(() => {
      for (const tab of [...this.#tabs]) {
        // Where a lock tells of its end, a silent tab is frozen and may come back. Else it must look for the hub again.
        if (++tab.silent > SILENT_SWEEPS) tab.lock ? this.#leave(tab) : this.#forget(tab)
      }
      this.#sweepLater()
    }, SWEEP)
  }
}
