import { decode, encode } from './codec'
import { OPEN, type Sink, type Transport } from './connection'
import { Emitter } from './emitter'

/** What a socket sees of the page that it lives in. */
export interface Page extends Pick<EventTarget, 'addEventListener' | 'removeEventListener'> {
  readonly document: { readonly visibilityState: string }
}

const EVENTS = ['online', 'offline', 'visibilitychange', 'pagehide', 'pageshow']

/** What the page's author holds: listeners, encoding, and the page's comings and goings, over any transport. */
export class Socket extends Emitter {
  readonly #page: Page
  readonly #transport: Transport
  readonly #onPageEvent: (event: Event) => void

  constructor(page: Page, connect: (sink: Sink) => Transport) {
    super()
    this.#page = page
    this.#transport = connect((event, ...args) => this.emit(event, event === 'message' ? args.map(decode) : args))
    this.#onPageEvent = (event) => {
      if (event.type === 'offline') this.emit('offline', [])
      else if (event.type === 'pagehide') this.#transport.suspend((event as PageTransitionEvent).persisted)
      else if (page.document.visibilityState !== 'hidden') this.#transport.wake()
    }
    for (const type of EVENTS) page.addEventListener(type, this.#onPageEvent)
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

  close(code?: number, reason?: string): void {
    this.#transport.close(code, reason)
    for (const type of EVENTS) this.#page.removeEventListener(type, this.#onPageEvent)
  }
}
