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
/** Milliseconds from the start of an attempt until the server's hello, and from `close()` until its close frame. */
const PATIENCE = 20_000

/** The kinds of control messages that are not passed on to the page. */
const INNER = /^(ping|pong|token|drain)$/

/** Every option, filled in. */
export interface Settings {
  readonly autoReconnect: boolean
  readonly reconnectDelay: number
  readonly maxReconnectAttempts: number
  readonly token: boolean
  /** Returns the bearer token, which is sent before anything else. */
  readonly auth?: (() => string | Promise<string>) | undefined
}

/** One connection to the server: one WebSocket at a time, its token, its retries and its queue. */
export class Connection extends Transport implements Wire {
  readonly #env: Environment
  readonly #url: string
  readonly #settings: Settings
  readonly #liveness: Liveness
  readonly #extensions: readonly Extension[]

  #socket: WebSocket | undefined
  /** Counts the attempts, so that a response to an abandoned one is ignored. */
  #turn = 0
  #timer = 0
  #retries = 0
  /** Whether a token has been refused since a connection last stayed open. */
  #refused = false
  /** The last token that the server sent over a connection. */
  #spare: string | undefined
  /** The delay that a draining server asked for, in milliseconds. */
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

  /** A tab has joined this open connection with the positions `memory`: bring it up to date through `emit`. */
  joined(emit: Sink, memory?: unknown): void {
    emit('open')
    this.#each((extension) => extension.onTab?.(emit, memory))
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
    const turn = this.#turn
    this.setState(CONNECTING)
    this.#after(PATIENCE, () => this.#lost(ABNORMAL, 'the server did not answer in time'))
    try {
      // The caller has not attached its listeners yet, or closes the connection at once, as React does in strict mode.
      await undefined
      const token = turn === this.#turn ? await this.#token() : undefined
      const bearer = turn === this.#turn ? await this.#settings.auth?.() : undefined
      if (turn === this.#turn) this.#dial(token, bearer)
    } catch (error) {
      if (turn === this.#turn) this.emit('error', error)
      // A listener may have closed this.
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
    // Only odac.v1 servers send a hello, once the connection has passed all gates.
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
   * Pass a control message to the handlers of its kind, and to the page unless the kind is the connection's alone.
   * Unknown kinds come from a newer server, and are ignored.
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

  /** The connection, or the attempt at one, has ended: emit `close`, and schedule a retry if there is to be one. */
  #lost(code: number, reason: string): void {
    const { autoReconnect, reconnectDelay, maxReconnectAttempts, token } = this.#settings
    const wait = this.#drain
    this.#drop()
    // Without `setState`: the event `close` implies it.
    this.state = CLOSED
    // A refused token is not a lost connection: try once more with a new one, even without autoReconnect.
    const refused = code === INVALID_TOKEN && token
    const refetch = refused && !this.#refused
    this.#refused ||= refused
    // The spare token may have been the refused one. An attempt without a response leaves it as it is.
    if (refetch) this.#spare = undefined
    this.ended ||= !refetch && !(autoReconnect && isRetryable(code))
    if (this.ended) this.queue.take()
    const turn = this.#turn
    if (refused && !refetch) this.fail('two tokens refused: do browser and proxies keep the session cookie?')
    this.#each((extension) => extension.onClosed?.(code, this.ended))
    this.emit('close', code, reason)
    // A listener may have closed this, or have begun the next attempt.
    if (this.ended || turn !== this.#turn) return
    // Attempts without a network are not counted, else an hour without one would use up all of them.
    const online = this.#env.online()
    if (!refetch && online && this.#retries >= maxReconnectAttempts) {
      this.fail(`gave up after ${this.#retries} attempts`)
      return
    }
    this.#retries += +online
    // Without a network, the event `online` starts the next attempt; the slow retry is for a server on this machine.
    const [attempt, first] = online ? [this.#retries, reconnectDelay] : [1, LONGEST]
    const delay = refetch ? 0 : (wait ?? backoff(attempt, first, this.#env.random()))
    this.#after(delay, () => void this.#connect())
    this.emit('reconnecting', this.#retries || 1, delay)
  }

  /** Abandon the WebSocket, the timer and the attempt. */
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
