import type { OdacEvents } from './api'
import { backoff } from './backoff'
import { ABNORMAL, GOING_AWAY, INVALID_TOKEN, isRetryable, NORMAL } from './close-codes'
import { control, fromWire, type Payload, toWire } from './codec'
import type { Environment } from './environment'
import { Liveness } from './liveness'
import { SendQueue } from './queue'

export const CONNECTING = 0
export const OPEN = 1
export const CLOSING = 2
export const CLOSED = 3

const PROTOCOL = 'odac.v1'

/** A connection that stayed open for this long was a good one: the count of retries begins anew. */
const STABLE = 5_000
/** From the start of an attempt until the server's hello, and from `close()` until the peer's. */
const PATIENCE = 20_000

/** Every option, filled in. */
export interface Settings {
  readonly autoReconnect: boolean
  readonly reconnectDelay: number
  readonly maxReconnectAttempts: number
  readonly token: boolean
}

/** Where a connection's events go. The message is still the payload; `state` says that only the state has changed. */
export type Sink = (event: keyof OdacEvents | 'state', ...args: unknown[]) => void

/** What a socket for the page stands on: a connection of its own, or its share of one. */
export interface Transport {
  readonly state: number
  send(payload: Payload): boolean
  close(code?: number, reason?: string): void
  /** Try now what would be tried later: the network is back, or the page is looked at again. */
  wake(): void
  /** Let go of everything until `wake`: the page goes away, into the back/forward cache if `persisted`. */
  suspend(persisted: boolean): void
}

/** One connection to the server: a WebSocket at a time, its token, its retries and what waits to be sent. */
export class Connection implements Transport {
  state = CONNECTING

  readonly #env: Environment
  readonly #url: string
  readonly #settings: Settings
  readonly #emit: Sink
  readonly #queue = new SendQueue()
  readonly #liveness: Liveness

  #socket: WebSocket | undefined
  /** Counts the attempts, so that the answer to an abandoned one is recognised. */
  #turn = 0
  #timer = 0
  /** Closed for good. */
  #ended = false
  #retries = 0
  /** A token has been refused since the last good connection. */
  #refused = false
  /** The last token that the server sent over a connection. */
  #spare: string | undefined
  /** What a draining server asked to wait. */
  #drain: number | undefined

  constructor(env: Environment, url: string, settings: Settings, emit: Sink) {
    this.#env = env
    this.#url = url
    this.#settings = settings
    this.#emit = emit
    this.#liveness = new Liveness(
      env,
      () => this.#socket?.send(control('ping')),
      () => this.#lost(ABNORMAL, 'no sign of life from the server'),
    )
    void this.#connect()
  }

  send(payload: Payload): boolean {
    // A WebSocket swallows silently what it gets after the peer's close frame: keep that.
    if (this.state === OPEN && this.#socket?.readyState === OPEN) {
      this.#transmit(payload)
      return true
    }
    if (!this.#ended && this.#queue.add(payload)) return true
    this.#fail(this.#ended ? 'message refused: the connection is closed' : 'message refused: the send queue is full')
    return false
  }

  close(code = NORMAL, reason = ''): void {
    if (this.#ended) return
    if (this.state === OPEN) this.#socket?.close(code, reason)
    this.#ended = true
    this.#queue.take()
    if (this.state === OPEN) {
      this.#setState(CLOSING)
      this.#after(PATIENCE, () => this.#lost(ABNORMAL, 'the server did not confirm the close'))
    } else {
      this.#lost(code, reason)
    }
  }

  wake(): void {
    if (this.state === OPEN) this.#liveness.probe()
    else if (this.state === CLOSED && !this.#ended) void this.#connect()
  }

  suspend(persisted: boolean): void {
    // A page that goes for good is closed by the browser, with a better code than a script may use.
    if (this.#ended || !persisted) return
    const { state } = this
    this.#drop()
    if (state === OPEN) this.#emit('close', GOING_AWAY, '')
  }

  async #connect(): Promise<void> {
    this.#drop()
    const turn = this.#turn
    this.#setState(CONNECTING)
    this.#after(PATIENCE, () => this.#lost(ABNORMAL, 'the server did not answer in time'))
    try {
      const token = await this.#token()
      if (turn === this.#turn) this.#dial(token)
    } catch (error) {
      if (turn !== this.#turn) return
      this.#emit('error', error)
      this.#lost(ABNORMAL, '')
    }
  }

  async #token(): Promise<string | undefined> {
    // Awaited in any case: whoever creates a connection has yet to attach the listeners.
    await undefined
    if (!this.#settings.token) return undefined
    const page = this.#env.takePageToken()
    if (page) return page
    try {
      const { token } = await this.#env.fetchCredentials()
      if (token) return token
    } catch (error) {
      if (!this.#spare) throw error
    }
    if (!this.#spare) throw new Error('Odac: the token endpoint gave no token; is the prefix right? Else use token: false')
    return this.#spare
  }

  #dial(token: string | undefined): void {
    const socket = this.#env.socket(this.#url, token ? [PROTOCOL, 'odac-token-' + token] : [PROTOCOL])
    this.#socket = socket
    socket.binaryType = 'arraybuffer'
    // Only odac.v1 servers say hello, and they say it when the handshake's gates have let the connection in.
    socket.onopen = () => {
      if (socket.protocol !== PROTOCOL) this.#opened(0)
    }
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      this.#liveness.heard()
      const message = socket.protocol === PROTOCOL ? fromWire(data) : data
      if (Array.isArray(message)) this.#control(message as unknown[])
      else this.#emit('message', message)
    }
    socket.onerror = () => this.#fail(`the connection to ${this.#url} failed`)
    socket.onclose = ({ code, reason }) => this.#lost(code, reason)
  }

  #control([kind, value]: unknown[]): void {
    if (kind === 'hello') this.#opened(((value as { ping?: number } | undefined)?.ping ?? 0) * 1000)
    else if (kind === 'ping') this.#socket?.send(control('pong'))
    else if (kind === 'token') this.#spare = value as string
    else if (kind === 'drain') this.#drain = value as number
  }

  #opened(silence: number): void {
    if (this.state !== CONNECTING) return
    this.#after(STABLE, () => {
      this.#retries = 0
      this.#refused = false
    })
    if (silence) this.#liveness.start(silence)
    this.#setState(OPEN)
    for (const payload of this.#queue.take()) this.#transmit(payload)
    this.#emit('open')
  }

  #transmit(payload: Payload): void {
    const socket = this.#socket as WebSocket
    socket.send(socket.protocol === PROTOCOL ? toWire(payload) : payload)
  }

  /** The connection, or the attempt at one, is over: say so, and see whether there is a next one. */
  #lost(code: number, reason: string): void {
    const settings = this.#settings
    const wait = this.#drain
    this.#drop()
    // A refused token is not a lost connection: one more attempt with a fresh one, whatever autoReconnect says.
    const refetch = code === INVALID_TOKEN && settings.token && !this.#refused
    this.#refused ||= refetch
    this.#ended ||= !refetch && !(settings.autoReconnect && isRetryable(code))
    if (this.#ended) this.#queue.take()
    this.#emit('close', code, reason)
    if (this.#ended || this.state !== CLOSED) return
    // No attempt counts without a network, else an hour in a tunnel would use them all up.
    const count = +this.#env.online()
    if (!refetch && count && this.#retries >= settings.maxReconnectAttempts) {
      this.#fail(`gave up after ${this.#retries} attempts`)
      return
    }
    this.#retries += count
    // Without a network the `online` event says when; the slow retry is for a server on this very machine.
    const delay = refetch ? 0 : (wait ?? backoff(count ? this.#retries : 99, settings.reconnectDelay, this.#env.random()))
    this.#after(delay, () => void this.#connect())
    this.#emit('reconnecting', this.#retries || 1, delay)
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
    this.#setState(CLOSED)
  }

  #after(milliseconds: number, callback: () => void): void {
    this.#env.clearTimeout(this.#timer)
    this.#timer = this.#env.setTimeout(callback, milliseconds)
  }

  #setState(state: number): void {
    if (this.state === state) return
    this.state = state
    this.#emit('state')
  }

  #fail(message: string): void {
    this.#emit('error', new Error('Odac: ' + message))
  }
}
