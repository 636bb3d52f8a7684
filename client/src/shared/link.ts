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
export interface Line {
  close(): void
}

/**
 * Finds a hub and calls `attach` with a port to it, at once or later, and again when another hub takes over. `lost`
 * says that the previous hub does not answer. Calls `fail` if no hub can be had.
 */
export type Dial = (attach: (port: Port) => void, lost: boolean, fail: () => void) => Line

/** A tab's end of a connection that a hub holds. */
export class SharedLink extends Transport {
  readonly #env: Environment
  readonly #locks: Locks | undefined
  readonly #subject: Subject
  readonly #dial: Dial
  readonly #alone: (queued: Payload[]) => void
  readonly #positions: Pick<Positions, 'places' | 'resumption'> | undefined

  #line: Line | undefined
  #port: Port | undefined
  /** The name of the Web Lock that this tab holds while it exists, and the function that releases it. */
  #lock: string | undefined
  #release: (() => void) | undefined
  /** Counts the attempts, so that a lock granted to an earlier one is released. */
  #turn = 0
  #watch: AbortController | undefined
  #timer = 0
  #misses = 0
  /** The session of the last connection. */
  session: string | undefined

  /** `alone` is called with the queued messages where no connection can be shared; this link has ended then. */
  constructor(
    env: Environment,
    locks: Locks | undefined,
    subject: Subject,
    dial: Dial,
    emit: Sink,
    alone: (queued: Payload[]) => void,
    positions?: Pick<Positions, 'places' | 'resumption'>,
  ) {
    super(emit)
    this.#env = env
    this.#locks = locks
    this.#subject = subject
    this.#dial = dial
    this.#alone = alone
    this.#positions = positions
    this.#begin()
  }

  override close(code?: number, reason?: string): void {
    this.#hangUp()
    super.close(code, reason)
  }

  override wake(): void {
    if (this.#line) this.#post(['wake'])
    else if (this.state === CLOSED && !this.ended) this.#begin()
  }

  override probe(): void {
    this.#post(['probe'])
  }

  override suspend(persisted: boolean | undefined): void {
    if (this.ended) return
    this.#hangUp()
    this.#down(CLOSED, persisted === false ? 0 : GOING_AWAY)
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
    const turn = ++this.#turn
    const live = (): Promise<void> | undefined => {
      if (turn !== this.#turn) return undefined
      this.#call(false)
      this.#beatLater()
      return new Promise((resolve) => (this.#release = resolve))
    }
    this.setState(CONNECTING)
    if (this.#locks) {
      this.#lock = 'odac tab ' + this.#env.random()
      // Without a lock, as on an insecure page, the hub notices a crashed tab only by its silence.
      this.#locks.request(this.#lock, live).catch(() => {
        this.#lock = undefined
        if (!this.#line) void live()
      })
    } else {
      void live()
    }
  }

  #call(lost: boolean): void {
    this.#misses = 0
    this.#watch?.abort()
    this.#line?.close()
    this.#line = this.#dial((port) => this.#attach(port), lost, () => this.#fallBack())
  }

  #attach(port: Port): void {
    if (!this.#down(CONNECTING, ABNORMAL)) return
    this.#port = port
    port.onmessage = ({ data }: MessageEvent<ToTab>) => {
      if (port === this.#port) this.#hear(data)
    }
  }

  #hear(message: ToTab): void {
    const [kind] = message
    this.#misses = 0
    if (kind === 'event') this.#event(message)
    // The hub has another version: a deployment is under way, and this page or the worker is older.
    else if (kind === 'alone' || (kind === 'ready' && message[2] !== version)) this.#fallBack()
    else if (kind !== 'beat') {
      if (!this.#down(CONNECTING, GOING_AWAY)) return
      this.#post(['join', this.#subject, this.#lock, [this.session, this.#positions?.resumption()]])
      if (message[1] === true) this.fail('message lost: the connection was just given up')
      else if (message[1]) this.#watchOver(message[1])
    }
  }

  /** Dial another hub as soon as this one has ended: then its lock is granted. */
  #watchOver(life: string): void {
    this.#watch = new AbortController()
    this.#locks?.request(life, { signal: this.#watch.signal }, () => this.#lost()).catch(() => {})
  }

  #lost(): void {
    if (this.#down(CONNECTING, ABNORMAL)) this.#call(true)
  }

  #event([, state, ended, session, event, ...args]: Extract<ToTab, readonly ['event', ...unknown[]]>): void {
    if (event === 'open') {
      if (this.session && this.session !== session) {
        // Invalidate the positions: this tab's messages were another user's.
        for (const place of this.#positions?.places.values() ?? []) place[0] = ''
        // Messages that were queued for one user must not be sent as another.
        if (this.queue.take().length) this.fail('messages dropped: the session has changed')
      }
      this.session = session
      // A listener may have closed this.
      if (!this.ended) this.opened()
    } else {
      if (ended) this.#end()
      this.setState(state)
      if (event) this.emit(event, ...args)
    }
  }

  /** Set the state, and emit `close` if this was open. False if a listener has closed this for good. */
  #down(state: number, code: number): boolean {
    const before = this.state
    this.setState(state)
    if (before === OPEN && code) this.emit('close', code, '')
    return !this.ended
  }

  #fallBack(): void {
    if (!this.#down(CONNECTING, GOING_AWAY)) return
    const queued = this.queue.take()
    this.#end()
    this.#alone(queued)
  }

  #end(): void {
    this.ended = true
    this.queue.take()
    this.#hangUp()
  }

  #hangUp(): void {
    this.#turn++
    this.#env.clearTimeout(this.#timer)
    this.#post(['leave'])
    this.#watch?.abort()
    this.#line?.close()
    this.#line = this.#port = undefined
    this.#release?.()
  }

  #beatLater(): void {
    this.#timer = this.#env.setTimeout(() => {
      if (++this.#misses > MISSES) this.#lost()
      else this.#post(['beat'])
      this.#beatLater()
    }, BEAT)
  }

  #post(message: ToHub): void {
    this.#port?.postMessage(message)
  }
}
