import { backoff, LONGEST } from './backoff'
import { ABNORMAL, GOING_AWAY, INVALID_TOKEN, isRetryable, NORMAL } from './close-codes'
import { control, fromWire, type Payload, toWire } from './codec'
import type { Environment } from './environment'
import type { Extension, MakeExtension, Wire } from './extension'
import { Liveness } from './liveness'
import { CLOSED, CLOSING, CONNECTING, OPEN, type Sink, Transport } from './transport'

const PROTOCOL = 'odac.v1'

/** Milliseconds that a connection has to stay open before the count of retries starts again at 0. */
const STABLE = 5_000
/** Milliseconds allowed from the start of an attempt to the server's hello, and from `close()` to its close frame. */
const TIMEOUT = 20_000

/** The kinds of control messages that only the connection handles. */
const NOT_FOR_PAGE = /^(ping|pong|token|drain)$/

/** The options of a connection, with defaults filled in. */
export interface Settings {
  readonly autoReconnect: boolean
  readonly reconnectDelay: number
  readonly maxReconnectAttempts: number
  readonly token: boolean
  /** Returns the bearer token, which is the first thing that is sent. */
  readonly auth?: (() => string | Promise<string>) | undefined
}

/** One connection to the server: one WebSocket after the other, with the token, the retries and the queue. */
export class Connection extends Transport implements Wire {
  readonly #env: Environment
  readonly #url: string
  readonly #settings: Settings
  readonly #liveness: Liveness
  readonly #extensions: readonly Extension[]

  #socket: WebSocket | undefined
  /** A number for the current attempt, changed when it ends, so that a response to an earlier one is ignored. */
  #currentAttempt = 0
  #timer = 0
  #retries = 0
  /** Whether a token has been refused since a connection last stayed open. */
  #refused = false
  /** The last token that the server sent over a connection. */
  #spareToken: string | undefined
  /** The delay that a draining server asked for, in milliseconds. */
  #drainDelay: number | undefined

  /** The control messages that every connection needs. */
  readonly #handlers: Extension['handlers'] = {
    hello: (facts?: { ping?: number }) => this.#admitted((facts?.ping ?? 0) * 1000),
    ping: () => this.control('pong'),
    token: (token: string) => (this.#spareToken = token),
    drain: (delay: number) => (this.#drainDelay = delay),
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
      () => this.#lost(ABNORMAL, 'the server did not answer a ping'),
    )
    // The connection's own handlers come last, so that all extensions get the hello before the connection opens.
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
      this.#after(TIMEOUT, () => this.#lost(ABNORMAL, 'the server did not confirm the close'))
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
    // When a page is unloaded, the browser closes its WebSockets, with a code that scripts may not use. While a page is
    // frozen, the browser keeps its events until it resumes.
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

  /** A tab with the positions `resumption` has joined this open connection: bring it up to date through `emit`. */
  tabJoined(emit: Sink, resumption?: unknown): void {
    emit('open')
    this.#callExtensions((extension) => extension.onTab?.(emit, resumption))
  }

  protected override transmit(payload: Payload): boolean {
    const socket = this.#socket as WebSocket
    // After the peer's close frame, `WebSocket.send` drops the data without an error.
    if (socket.readyState !== OPEN) return false
    socket.send(socket.protocol === PROTOCOL ? toWire(payload) : payload)
    return true
  }

  async #connect(): Promise<void> {
    this.#drop()
    const attempt = this.#currentAttempt
    this.setState(CONNECTING)
    this.#after(TIMEOUT, () => this.#lost(ABNORMAL, 'the server did not answer in time'))
    try {
      // The caller has not attached its listeners yet, or closes the connection at once, as React does in strict mode.
      await undefined
      const token = attempt === this.#currentAttempt ? await this.#token() : undefined
      const bearer = attempt === this.#currentAttempt ? await this.#settings.auth?.() : undefined
      if (attempt === this.#currentAttempt) this.#openSocket(token, bearer)
    } catch (error) {
      if (attempt === this.#currentAttempt) this.emit('error', error)
      // A listener may have closed the connection.
      if (attempt === this.#currentAttempt) this.#lost(ABNORMAL, '')
    }
  }

  async #token(): Promise<string | undefined> {
    const { token: sendsToken } = this.#settings
    const page = sendsToken && this.#env.takePageToken()
    if (page) return page
    if (!sendsToken && !this.#env.identified) return undefined
    let token: string | undefined
    try {
      token = (await this.#env.fetchCredentials()).token
    } catch (error) {
      if (!sendsToken || !this.#spareToken) throw error
    }
    if (!sendsToken) return undefined
    token ||= this.#spareToken
    if (!token) throw new Error('Odac: the token endpoint gave no token; is the prefix right? Else use token: false')
    return token
  }

  #openSocket(token: string | undefined, bearer: string | undefined): void {
    const further = this.#extensions.map((extension) => extension.offer?.())
    const offered = [PROTOCOL, ...further, bearer && 'odac.auth', token && 'odac-token-' + token]
    const offers = offered.filter(Boolean) as string[]
    const socket = this.#env.socket(this.#url, offers)
    this.#socket = socket
    socket.binaryType = 'arraybuffer'
    // Only odac.v1 servers send a hello, once they have admitted the connection.
    socket.onopen = () => {
      if (socket.protocol === PROTOCOL) {
        if (bearer) this.control('auth', bearer)
        this.#callExtensions((extension) => extension.onAccepted?.())
      } else this.#admitted(0)
    }
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      this.#liveness.received()
      const message = socket.protocol === PROTOCOL ? fromWire(data) : data
      if (Array.isArray(message)) this.#dispatch(message as [unknown, ...never[]])
      else {
        this.#callExtensions((extension) => extension.onReceived?.(message))
        this.emit('message', message)
      }
    }
    socket.onerror = () => this.fail(`the connection to ${this.#url} failed`)
    socket.onclose = ({ code, reason }) => this.#lost(code, reason)
  }

  /**
   * Pass a control message to the handlers of its kind, and to the page unless only the connection handles it.
   * Unknown kinds come from a newer server, and are ignored.
   */
  #dispatch([kind, ...values]: [kind: unknown, ...values: never[]]): void {
    if (typeof kind !== 'string') return
    if (!NOT_FOR_PAGE.test(kind)) this.emit('control', kind, ...values)
    this.#callExtensions(({ handlers }) => {
      if (Object.hasOwn(handlers, kind)) handlers[kind]?.(...values)
    })
  }

  #callExtensions(call: (extension: Extension) => void): void {
    this.#extensions.forEach(call)
  }

  #admitted(pingInterval: number): void {
    if (this.state !== CONNECTING) return
    this.#after(STABLE, () => {
      this.#retries = 0
      this.#refused = false
    })
    if (pingInterval) this.#liveness.start(pingInterval)
    this.#callExtensions((extension) => extension.onOpened?.())
    this.opened()
  }

  /** The connection, or the attempt at one, has ended: emit `close`, and schedule a retry if there is to be one. */
  #lost(code: number, reason: string): void {
    const { autoReconnect, reconnectDelay, maxReconnectAttempts, token } = this.#settings
    const drainDelay = this.#drainDelay
    this.#drop()
    // Without `setState`: the event `close` implies it.
    this.state = CLOSED
    // A refused token is not a lost connection: try once more with a new one, even without autoReconnect.
    const refused = code === INVALID_TOKEN && token
    const retryWithNewToken = refused && !this.#refused
    this.#refused ||= refused
    // The spare token may have been the refused one. An attempt without a response leaves it as it is.
    if (retryWithNewToken) this.#spareToken = undefined
    this.ended ||= !retryWithNewToken && !(autoReconnect && isRetryable(code))
    if (this.ended) this.queue.take()
    const attempt = this.#currentAttempt
    if (refused && !retryWithNewToken) this.fail('two tokens refused: do browser and proxies keep the session cookie?')
    this.#callExtensions((extension) => extension.onClosed?.(code, this.ended))
    this.emit('close', code, reason)
    // A listener may have closed the connection, or have begun the next attempt.
    if (this.ended || attempt !== this.#currentAttempt) return
    // Attempts without a network are not counted: an hour without one would use up all of them.
    const online = this.#env.online()
    if (!retryWithNewToken && online && this.#retries >= maxReconnectAttempts) {
      this.fail(`gave up after ${this.#retries} attempts`)
      return
    }
    this.#retries += +online
    // Without a network, the event `online` starts the next attempt; the slow retry is for a server on this machine.
    const [retry, shortest] = online ? [this.#retries, reconnectDelay] : [1, LONGEST]
    const delay = retryWithNewToken ? 0 : (drainDelay ?? backoff(retry, shortest, this.#env.random()))
    this.#after(delay, () => void this.#connect())
    this.emit('reconnecting', this.#retries || 1, delay)
  }

  /** End the attempt: drop its WebSocket and its timer. */
  #drop(): void {
    this.#currentAttempt++
    this.#env.clearTimeout(this.#timer)
    this.#liveness.stop()
    this.#drainDelay = undefined
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
