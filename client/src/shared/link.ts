import { ABNORMAL, GOING_AWAY } from '../close-codes'
import type { Payload } from '../codec'
import type { Environment } from '../environment'
import type { Positions } from '../recovery'
import { CLOSED, CONNECTING, OPEN, type Sink, Transport } from '../transport'
import { type Locks, type Port, type Subject, type ToHub, type ToTab, version } from './protocol'

/** How often a tab asks whether it is still in, and how many answers may be missing before it looks for another hub. */
const BEAT = 10_000
const MISSES = 3

/** A way to a hub. */
export interface Line {
  close(): void
}

/**
 * Finds a hub, and calls `attach` with a port to it: now, later, and again when another hub has taken over. `lost`
 * says that the one before does not answer. Without any way it calls `fail`.
 */
export type Dial = (attach: (port: Port) => void, lost: boolean, fail: () => void) => Line

/** A tab's share of a connection that a hub holds. */
export class SharedLink extends Transport {
  readonly #env: Environment
  readonly #locks: Locks | undefined
  readonly #subject: Subject
  readonly #dial: Dial
  readonly #alone: (queued: Payload[]) => void
  readonly #positions: Pick<Positions, 'places' | 'resumption'> | undefined

  #line: Line | undefined
  #port: Port | undefined
  /** The Web Lock that says that this tab lives, and what lets go of it. */
  #lock: string | undefined
  #release: (() => void) | undefined
  /** Counts the beginnings, so that a lock that comes too late is let go. */
  #turn = 0
  #watch: AbortController | undefined
  #timer = 0
  #misses = 0
  /** Whose connection this has been. */
  session: string | undefined

  /** `alone` is called, with what waits to be sent, where nothing can be shared; this link is of no use then. */
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
      // Without a lock, as on an insecure page, only the silence of a tab that crashed gives it away.
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
    // Another version's hub: a deployment is under way, and this page or the worker is from before.
    else if (kind === 'alone' || (kind === 'ready' && message[2] !== version)) this.#fallBack()
    else if (kind !== 'beat') {
      if (!this.#down(CONNECTING, GOING_AWAY)) return
      this.#post(['join', this.#subject, this.#lock, [this.session, this.#positions?.resumption()]])
      if (message[1] === true) this.fail('message lost: the connection was just given up')
      else if (message[1]) this.#watchOver(message[1])
    }
  }

  /** Look for another hub as soon as this one is dead: then its lock is free. */
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
        // No log is the one that it was: what this tab had may not be what this user would have had.
        for (const place of this.#positions?.places.values() ?? []) place[0] = ''
        // What was written as one user must not be sent as another.
        if (this.queue.take().length) this.fail('messages dropped: the session has changed')
      }
      this.session = session
      // A listener may have closed it.
      if (!this.ended) this.opened()
    } else {
      if (ended) this.#end()
      this.setState(state)
      if (event) this.emit(event, ...args)
    }
  }

  /** There is no connection for now. False if a listener, told so, has closed this for good. */
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
