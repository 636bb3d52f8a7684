import { backoff, LONGEST } from './backoff'
import { ABNORMAL, GOING_AWAY, INVALID_TOKEN, isRetryable, NORMAL } from './close-codes'
import { control, fromWire, type Payload, toWire } from './codec'
import type { Environment } from './environment'
import type { Extension, MakeExtension, Wire } from './extension'
import { Liveness } from './liveness'
import { CLOSED, CLOSING, CONNECTING, OPEN, type Sink, Transport } from './transport'

const PROTOCOL = 'odac.v1'

/** A connection that stayed open for this long was a good one: the count of retries begins anew. */
const STABLE = 5_000
/** From the start of an attempt until the server's hello, and from `close()` until the peer's. */
const PATIENCE = 20_000

/** The kinds of control messages of which a page hears nothing. */
const INNER = /^(ping|pong|token|drain)$/

/** Every option, filled in. */
export interface Settings {
  readonly autoReconnect: boolean
  readonly reconnectDelay: number
  readonly maxReconnectAttempts: number
  readonly token: boolean
  /** Gives the bearer token that is sent first. */
  readonly auth?: (() => string | Promise<string>) | undefined
}

/** One connection to the server: a WebSocket at a time, its token, its retries and what waits to be sent. */
export class Connection extends Transport implements Wire {
  readonly #env: Environment
  readonly #url: string
  readonly #settings: Settings
  readonly #liveness: Liveness
  readonly #extensions: readonly Extension[]

  #socket: WebSocket | undefined
  /** Counts the attempts, so that the answer to an abandoned one is recognised. */
  #turn = 0
  #timer = 0
  #retries = 0
  /** A token has been refused since the last good connection. */
  #refused = false
  /** The last token that the server sent over a connection. */
  #spare: string | undefined
  /** What a draining server asked to wait. */
  #drain: number | undefined

  /** The control messages that every connection needs. */
  readonly #handlers: Extension['handlers'] = {
    hello: (facts?: { ping?: number }) => this.#welcome((facts?.ping ?? 0) * 1000),
    ping: () => this.control('pong'),
    token: (token: string) => (this.#spare = token),
    drain: (delay: number) => (this.#drain = delay),
  }

  constructor(
    env: Environment,
    url: string,
    settings: Settings,
    emit: Sink,
    extensions: readonly MakeExtension[] = [],
  ) {
    super(emit)
    this.#env = env
    this.#url = url
    this.#settings = settings
    this.#liveness = new Liveness(
      env,
      () => this.control('ping'),
      () => this.#lost(ABNORMAL, 'no sign of life from the server'),
    )
    // The connection's own kinds come last: before it opens, all extensions have heard the hello.
    this.#extensions = [...extensions.map((make) => make(this)), { handlers: this.#handlers }]
    void this.#connect()
  }

  override close(code = NORMAL, reason = ''): void {
    if (this.ended) return
    const open = this.state === OPEN
    if (open) this.#socket?.close(code, reason)
    this.ended = true
    this.queue.take()
    if (open) {
      this.setState(CLOSING)
      this.#after(PATIENCE, () => this.#lost(ABNORMAL, 'the server did not confirm the close'))
    } else {
      this.#lost(code, reason)
    }
  }

  override wake(): void {
    if (this.state === CLOSED && !this.ended) void this.#connect()
    else this.probe()
  }

  override probe(): void {
    if (this.state === OPEN) this.#liveness.probe()
  }

  override suspend(persisted: boolean | undefined): void {
    // A page that goes for good is closed by the browser, with a better code than a script may use. What comes for a
    // frozen page waits for it.
    if (this.ended || !persisted) return
    const { state } = this
    this.#drop()
    this.setState(CLOSED)
    if (state === OPEN) this.emit('close', GOING_AWAY, '')
  }

  override control(kind: string, ...values: unknown[]): boolean {
    const socket = this.#socket
    if (socket?.readyState !== OPEN || socket.protocol !== PROTOCOL) return false
    socket.send(control(kind, ...values))
    return true
  }

  /** Tell a tab that has come to this open connection, through `emit`, what the others know. It knows `memory`. */
  joined(emit: Sink, memory?: unknown): void {
    emit('open')
    this.#each((extension) => extension.onTab?.(emit, memory))
  }

  protected override transmit(payload: Payload): boolean {
    const socket = this.#socket as WebSocket
    // After the peer's close frame a WebSocket swallows silently what it gets.
    if (socket.readyState !== OPEN) return false
    socket.send(socket.protocol === PROTOCOL ? toWire(payload) : payload)
    return true
  }

  async #connect(): Promise<void> {
    this.#drop()
    const turn = this.#turn
    this.setState(CONNECTING)
    this.#after(PATIENCE, () => this.#lost(ABNORMAL, 'the server did not answer in time'))
    try {
      // Whoever creates a connection has yet to attach the listeners, or closes it in the same breath, as React does.
      await undefined
      const token = turn === this.#turn ? await this.#token() : undefined
      const bearer = turn === this.#turn ? await this.#settings.auth?.() : undefined
      if (turn === this.#turn) this.#dial(token, bearer)
    } catch (error) {
      if (turn === this.#turn) this.emit('error', error)
      // A listener may have closed it.
      if (turn === this.#turn) this.#lost(ABNORMAL, '')
    }
  }

  async #token(): Promise<string | undefined> {
    const { token: wanted } = this.#settings
    const page = wanted && this.#env.takePageToken()
    if (page) return page
    if (!wanted && !this.#env.identified) return undefined
    let token: string | undefined
    try {
      token = (await this.#env.fetchCredentials()).token
    } catch (error) {
      if (!wanted || !this.#spare) throw error
    }
    if (!wanted) return undefined
    token ||= this.#spare
    if (!token) throw new Error('Odac: the token endpoint gave no token; is the prefix right? Else use token: false')
    return token
  }

  #dial(token: string | undefined, bearer: string | undefined): void {
    const further = this.#extensions.map((extension) => extension.offer?.())
    const offered = [PROTOCOL, ...further, bearer && 'odac.auth', token && 'odac-token-' + token]
    const offers = offered.filter(Boolean) as string[]
    const socket = this.#env.socket(this.#url, offers)
    this.#socket = socket
    socket.binaryType = 'arraybuffer'
    // Only odac.v1 servers say hello, and they say it when the handshake's gates have let the connection in.
    socket.onopen = () => {
      if (socket.protocol === PROTOCOL) {
        if (bearer) this.control('auth', bearer)
        this.#each((extension) => extension.onAccepted?.())
      } else this.#welcome(0)
    }
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      this.#liveness.heard()
      const message = socket.protocol === PROTOCOL ? fromWire(data) : data
      if (Array.isArray(message)) this.#dispatch(message as [unknown, ...never[]])
      else {
        this.#each((extension) => extension.onReceived?.(message))
        this.emit('message', message)
      }
    }
    socket.onerror = () => this.fail(`the connection to ${this.#url} failed`)
    socket.onclose = ({ code, reason }) => this.#lost(code, reason)
  }

  /**
   * Give a control message to whatever takes its kind, and what is not this connection's alone to the page. Unknown
   * kinds are a newer server's.
   */
  #dispatch([kind, ...values]: [kind: unknown, ...values: never[]]): void {
    if (typeof kind !== 'string') return
    if (!INNER.test(kind)) this.emit('control', kind, ...values)
    this.#each(({ handlers }) => {
      if (Object.hasOwn(handlers, kind)) handlers[kind]?.(...values)
    })
  }

  #each(call: (extension: Extension) => void): void {
    this.#extensions.forEach(call)
  }

  #welcome(silence: number): void {
    if (this.state !== CONNECTING) return
    this.#after(STABLE, () => {
      this.#retries = 0
      this.#refused = false
    })
    if (silence) this.#liveness.start(silence)
    this.#each((extension) => extension.onOpened?.())
    this.opened()
  }

  /** The connection, or the attempt at one, is over: say so, and see whether there is a next one. */
  #lost(code: number, reason: string): void {
    const { autoReconnect, reconnectDelay, maxReconnectAttempts, token } = this.#settings
    const wait = this.#drain
    this.#drop()
    // The event tells it.
    this.state = CLOSED
    // A refused token is not a lost connection: one more attempt with a fresh one, whatever autoReconnect says.
    const refused = code === INVALID_TOKEN && token
    const refetch = refused && !this.#refused
    this.#refused ||= refused
    // It may have been this one. An attempt that nobody answered says nothing against it.
    if (refetch) this.#spare = undefined
    this.ended ||= !refetch && !(autoReconnect && isRetryable(code))
    if (this.ended) this.queue.take()
    const turn = this.#turn
    if (refused && !refetch) this.fail('two tokens refused: do the browser and each proxy keep the session cookie?')
    this.#each((extension) => extension.onClosed?.(code, this.ended))
    this.emit('close', code, reason)
    // A listener may have closed, or have woken, the connection.
    if (this.ended || turn !== this.#turn) return
    // No attempt counts without a network, else an hour in a tunnel would use them all up.
    const online = this.#env.online()
    if (!refetch && online && this.#retries >= maxReconnectAttempts) {
      this.fail(`gave up after ${this.#retries} attempts`)
      return
    }
    this.#retries += +online
    // Without a network the `online` event says when; the slow retry is for a server on this very machine.
    const [attempt, first] = online ? [this.#retries, reconnectDelay] : [1, LONGEST]
    const delay = refetch ? 0 : (wait ?? backoff(attempt, first, this.#env.random()))
    this.#after(delay, () => void this.#connect())
    this.emit('reconnecting', this.#retries || 1, delay)
  }

  /** Forget the WebSocket and everything that was to follow from it. */
  #drop(): void {
    this.#turn++
    this.#env.clearTimeout(this.#timer)
    this.#liveness.stop()
    this.#drain = undefined
    const socket = this.#socket
    this.#socket = undefined
    if (socket) {
      socket.onopen = socket.onmessage = socket.onerror = socket.onclose = null
      socket.close()
    }
  }

  #after(milliseconds: number, callback: () => void): void {
    this.#env.clearTimeout(this.#timer)
    this.#timer = this.#env.setTimeout(callback, milliseconds)
  }
}
