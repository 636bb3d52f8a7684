import { Window } from 'happy-dom'
import { FakeSocket } from './socket'

/** A page with an element `#app`, as the global window. The test is its server. */
export class FakePage {
  readonly sockets: FakeSocket[] = []
  /** The number of token requests. */
  requests = 0
  readonly #window = new Window({ url: 'http://site/' })

  constructor() {
    const { sockets } = this
    this.document.body.innerHTML = '<div id="app"></div>'
    const window = this.#window
    const globals = {
      window,
      document: window.document,
      location: window.location,
      origin: window.location.origin,
      navigator: window.navigator,
      Element: window.Element,
      HTMLElement: window.HTMLElement,
      SVGElement: window.SVGElement,
      addEventListener: window.addEventListener.bind(window),
      removeEventListener: window.removeEventListener.bind(window),
      WebSocket: class extends FakeSocket {
        constructor(url: string, protocols: string[]) {
          super(url, protocols)
          sockets.push(this)
        }
      },
      fetch: async () => {
        this.requests++
        return new Response('{"token": "t", "session": "s"}')
      },
      IS_REACT_ACT_ENVIRONMENT: true,
    }
    for (const [name, value] of Object.entries(globals)) {
      Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
    }
  }

  get document() {
    return this.#window.document
  }

  /** The WebSockets that are not closed. */
  get alive(): FakeSocket[] {
    return this.sockets.filter((socket) => socket.alive)
  }

  /** The newest WebSocket. */
  get last(): FakeSocket {
    const socket = this.sockets.at(-1)
    if (!socket) throw new Error('no WebSocket has been made')
    return socket
  }

  /** The texts of the elements that `selector` finds. */
  text(selector: string): string[] {
    return [...this.document.querySelectorAll(selector)].map(({ textContent }) => textContent ?? '')
  }

  close(): Promise<void> {
    return this.#window.happyDOM.close()
  }
}
