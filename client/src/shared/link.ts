import { ABNORMAL, GOING_AWAY } from '../close-codes'
import type { Payload } from '../codec'
import type { Environment } from '../environment'
import type { Positions } from '../recovery'
import { CLOSED, CONNECTING, OPEN, type Sink, Transport } from '../transport'
import { type Locks, type Port, type Subject, type ToHub, type ToTab, version } from './protocol'

/** Milliseconds between two beats of a tab, and how many may go unanswered before it dials another hub. */
const BEAT = 10_000
const MISSES = 3

/** A connection to a hub, or an attempt at one. */
export interface HubConnection {
  close(): void
}

/**
 * Finds a hub and calls `attach` with a port to it, at once or later, and again when another hub takes over. `lost`
 * says that the previous hub does not answer. Calls `fail` if there can be no hub.
 */
export type Dial = (attach: (port: Port) => void, lost: boolean, fail: () => void) => HubConnection

/** A tab's end of a connection that a hub holds. */
export class SharedLink extends Transport {
  readonly #env: Environment
  readonly #locks: Locks | undefined
  readonly #subject: Subject
  readonly #dial: Dial
  readonly #unshared: (queued: Payload[]) => void
  readonly #positions: Pick<Positions, 'byRoom' | 'resumption'> | undefined

  #hub: HubConnection | undefined
  #port: Port | undefined
  /** The name of the Web Lock that this tab holds while it exists, and the function that releases it. */
  #lock: string | undefined
  #release: (() => void) | undefined
  /** The number of the attempt, so that a lock that is granted to an earlier one is released. */
  #attempt = 0
  #hubWatch: AbortController | undefined
  #timer = 0
  #misses = 0
  /** The session of the last connection. */
  session: string | undefined

  /** `unshared` is called with the queued messages where no connection can be shared; this link has ended then. */
  constructor(
    env: Environment,
    locks: Locks | undefined,
    subject: Subject,
    dial: Dial,
    emit: Sink,
    unshared: (queued: Payload[]) => void,
    positions?: Pick<Positions, 'byRoom' | 'resumption'>,
  ) {
    super(emit)
    this.#env = env
    this.#locks = locks
    this.#subject = subject
    this.#dial = dial
    this.#unshared = unshared
    this.#positions = positions
    this.#begin()
  }

  override close(code?: number, reason?: string): void {
    this.#disconnect()
    super.close(code, reason)
  }

  override wake(): void {
    if (this.#hub) this.#post(['wake'])
    else if (this.state === CLOSED && !this.ended) this.#begin()
  }

  override probe(): void {
    this.#post(['probe'])
  }

  override suspend(persisted: boolean | undefined): void {
    if (this.ended) return
    this.#disconnect()
    this.#interrupt(CLOSED, persisted === false ? 0 : GOING_AWAY)
  }

  override control(...message: [kind: string, ...values: unknown[]]): boolean {
    if (this.state !== OPEN) return false
    this.#post(['control', message])
    return true
  }

  protected override transmit(payload: Payload): boolean {
    this.#post(['send', payload])
    return true
  }

  #begin(): void {
    const attempt = ++this.#attempt
    const start = (): Promise<void> | undefined => {
      if (attempt !== this.#attempt) return undefined
      this.#dialHub(false)
      this.#scheduleBeat()
      return new Promise((resolve) => (this.#release = resolve))
    }
    this.setState(CONNECTING)
    if (this.#locks) {
      this.#lock = 'odac tab ' + this.#env.random()
      // Without a lock, as on an insecure page, the hub notices a crashed tab only by its silence.
      this.#locks.request(this.#lock, start).catch(() => {
        this.#lock = undefined
        if (!this.#hub) void start()
      })
    } else {
      void start()
    }
  }

  #dialHub(lost: boolean): void {
    this.#misses = 0
    this.#hubWatch?.abort()
    this.#hub?.close()
    this.#hub = this.#dial((port) => this.#attach(port), lost, () => this.#fallBack())
  }

  #attach(port: Port): void {
    if (!this.#interrupt(CONNECTING, ABNORMAL)) return
    this.#port = port
    port.onmessage = ({ data }: MessageEvent<ToTab>) => {
      if (port === this.#port) this.#receive(data)
    }
  }

  #receive(message: ToTab): void {
    const [kind] = message
    this.#misses = 0
    if (kind === 'event') this.#event(message)
    // The hub has another version: a deployment is under way, and this page or the worker is older.
    else if (kind === 'unshared' || (kind === 'ready' && message[2] !== version)) this.#fallBack()
    else if (kind !== 'beat') {
      if (!this.#interrupt(CONNECTING, GOING_AWAY)) return
      this.#post(['join', this.#subject, this.#lock, [this.session, this.#positions?.resumption()]])
      if (message[1] === true) this.fail('message lost: the shared connection had just ended')
      else if (message[1]) this.#watchHub(message[1])
    }
  }

  /** Dial another hub as soon as this one has ended, which releases its lock. */
  #watchHub(lock: string): void {
    this.#hubWatch = new AbortController()
    this.#locks?.request(lock, { signal: this.#hubWatch.signal }, () => this.#hubLost()).catch(() => {})
  }

  #hubLost(): void {
    if (this.#interrupt(CONNECTING, ABNORMAL)) this.#dialHub(true)
  }

  #event([, state, ended, session, event, ...args]: Extract<ToTab, readonly ['event', ...unknown[]]>): void {
    if (event === 'open') {
      if (this.session && this.session !== session) {
        // Invalidate the positions: they belong to another user's messages.
        for (const position of this.#positions?.byRoom.values() ?? []) position[0] = ''
        // Messages that were queued for one user must not be sent as another.
        if (this.queue.take().length) this.fail('messages dropped: the session has changed')
      }
      this.session = session
      // A listener may have closed the link.
      if (!this.ended) this.opened()
    } else {
      if (ended) this.#end()
      this.setState(state)
      if (event) this.emit(event, ...args)
    }
  }

  /** Set the state, and emit `close` if the link was open. False if a listener has closed it for good. */
  #interrupt(state: number, code: number): boolean {
    const before = this.state
    this.setState(state)
    if (before === OPEN && code) this.emit('close', code, '')
    return !this.ended
  }

  #fallBack(): void {
    if (!this.#interrupt(CONNECTING, GOING_AWAY)) return
    const queued = this.queue.take()
    this.#end()
    this.#unshared(queued)
  }

  #end(): void {
    this.ended = true
    this.queue.take()
    this.#disconnect()
  }

  #disconnect(): void {
    this.#attempt++
    this.#env.clearTimeout(this.#timer)
    this.#post(['leave'])
    this.#hubWatch?.abort()
    this.#hub?.close()
    this.#hub = this.#port = undefined
    this.#release?.()
  }

  #scheduleBeat(): void {
    this.#timer = this.#env.setTimeout(() => {
      if (++this.#misses > MISSES) this.#hubLost()
      else this.#post(['beat'])
      this.#scheduleBeat()
    }, BEAT)
  }

  #post(message: ToHub): void {
    this.#port?.postMessage(message)
  }
}
