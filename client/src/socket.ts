import type { OdacAnswer, OdacCallOptions } from './api'
import { Calls } from './calls'
import { checkClose } from './close-codes'
import { decode, encode, type Payload } from './codec'
import { Emitter } from './emitter'
import { Rosters } from './presence'
import { Positions } from './recovery'
import { CONNECTING, OPEN, type Sink, type Transport } from './transport'

/** The part of the page, or of the worker, that a socket uses. */
export interface Page extends Pick<EventTarget, 'addEventListener' | 'removeEventListener'> {
  readonly document?: { readonly visibilityState: string }
}

const PAGE_EVENTS = 'online offline visibilitychange pagehide pageshow freeze resume'.split(' ')
// Some of these are dispatched at the document and do not bubble.
const CAPTURE = { capture: true }

/** The part of the server's hello that the page uses. */
interface Hello {
  client?: string
  calls?: string
}

type Connect = (sink: Sink) => Transport

/** What `Odac.ws` returns: listeners, encoding, and the lifecycle events of the page, over any transport. */
export class Socket extends Emitter {
  readonly #page: Page
  readonly #onPageEvent: (event: Event) => void
  readonly #positions = new Positions((recovery) => this.emit('recover', [recovery]))
  readonly #rosters = new Rosters()
  #transport: Transport
  readonly #calls = new Calls((kind, ...values) => this.#transport.control(kind, ...values))
  /** Whether a refused message has been reported in the console. */
  #warned = false
  /** The state when the last event was emitted. */
  #state = CONNECTING

  /**
   * `connect` makes the transport, which resumes rooms at `positions`, and may `replace` it later, with the queued
   * messages.
   */
  constructor(
    page: Page,
    connect: (
      sink: Sink,
      replace: (connect: Connect, queued: Payload[]) => void,
      positions: Positions,
    ) => Transport,
  ) {
    super()
    this.#page = page
    const sink: Sink = (event, ...args) => {
      if (event === 'control') return this.#control(...(args as [string]))
      if (event === 'message' && !this.#positions.arrived()) return
      const { ended, state } = this.#transport
      if (ended) this.#leavePage()
      if (state !== this.#state) this.emit('state', [(this.#state = state)])
      if (event === 'open') this.#calls.opened()
      if (event === 'close') {
        this.#calls.lost(ended)
        this.#positions.lost(args[0] as number)
        this.#rosters.lost()
      }
      if (event) this.emit(event, event === 'message' ? args.map(decode) : args)
    }
    this.#transport = connect(sink, (other, queued) => {
      this.#transport = other(sink)
      for (const payload of queued) this.#transport.send(payload)
    }, this.#positions)
    this.#onPageEvent = (event) => {
      const { type, persisted } = event as PageTransitionEvent
      if (type === 'offline') {
        this.emit('offline', [])
        this.#transport.probe()
      } else if (type === 'pagehide' || type === 'freeze') this.#transport.suspend(persisted)
      // `pageshow` with `persisted` false: the page was just loaded, and not restored from the cache.
      else if (persisted !== false && (type !== 'visibilitychange' || page.document?.visibilityState === 'visible')) {
        this.#transport.wake()
      }
    }
    for (const type of PAGE_EVENTS) page.addEventListener(type, this.#onPageEvent, CAPTURE)
  }

  get connected(): boolean {
    return this.state === OPEN
  }

  get state(): number {
    return this.#transport.state
  }

  send(data: unknown): boolean {
    return this.#transport.send(encode(data))
  }

  call(name: string, args?: unknown, options?: OdacCallOptions): Promise<unknown> {
    return this.#calls.call(name, args, options)
  }

  answer(name: string, answer: OdacAnswer): this {
    this.#calls.answer(name, answer)
    return this
  }

  reconnect(): void {
    this.#transport.wake()
  }

  close(code?: number, reason?: string): void {
    checkClose(code, reason)
    this.#transport.close(code, reason)
    this.#leavePage()
  }

  /** Take a control message for the page. */
  #control(kind: string, ...values: unknown[]): void {
    if (kind === 'hello') {
      const [facts, age] = values as [facts?: Hello, age?: number]
      this.#positions.onHello(facts?.client)
      return this.#calls.onHello(facts?.calls, age ?? 0)
    }
    if (/^(call|reply|fail|cancel)$/.test(kind)) return this.#calls.receive(kind, ...(values as [unknown]))
    if (kind === 'invalid') {
      if (this.emit(kind, values) || this.#warned) return
      this.#warned = true
      return console.warn('Odac: message refused:', ...values)
    }
    this.#positions.receive(kind, ...(values as [number]))
    const presence = this.#rosters.receive(kind, ...(values as [number]))
    if (presence) this.emit('presence', [presence])
  }

  /** Remove the listeners from the page, so that both can be collected. */
  #leavePage(): void {
    for (const type of PAGE_EVENTS) this.#page.removeEventListener(type, this.#onPageEvent, CAPTURE)
  }
}
