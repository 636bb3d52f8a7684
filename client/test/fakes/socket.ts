const MARK = String.fromCharCode(0x1e)

/** A WebSocket; the test is its server. */
export class FakeSocket {
  readyState = 0
  protocol = ''
  binaryType = 'blob'
  onopen: (() => void) | null = null
  onmessage: ((event: { data: unknown }) => void) | null = null
  onerror: (() => void) | null = null
  onclose: ((event: { code: number; reason: string }) => void) | null = null
  /** What the page has sent. */
  readonly sent: unknown[] = []
  /** What `close` was called with, once it was. */
  closed: [number | undefined, string | undefined] | undefined

  constructor(
    readonly url: string,
    readonly protocols: string[],
    /** Runs the callbacks of the page, which may be frozen or have crashed. */
    private readonly run: (callback: () => void) => void = (callback) => callback(),
  ) {}

  get token(): string | undefined {
    return this.protocols.find((name) => name.startsWith('odac-token-'))?.slice('odac-token-'.length)
  }

  /** Whether neither side has begun to close the connection. */
  get alive(): boolean {
    return this.readyState < 2
  }

  send(data: unknown): void {
    if (this.readyState === 0) throw new DOMException('still connecting', 'InvalidStateError')
    if (this.readyState === 1) this.sent.push(data)
  }

  close(code?: number, reason?: string): void {
    if (code !== undefined && code !== 1000 && (code < 3000 || code > 4999)) {
      throw new DOMException(`the code ${code} is not for pages`, 'InvalidAccessError')
    }
    this.closed ??= [code, reason]
    if (this.readyState < 2) this.readyState = 2
  }

  /** The handshake succeeds. */
  accept(protocol = 'odac.v1'): this {
    this.readyState = 1
    this.protocol = protocol
    this.run(() => this.onopen?.())
    return this
  }

  control(...message: unknown[]): this {
    return this.receive(MARK + JSON.stringify(message))
  }

  /** The server admits the connection. */
  hello(ping = 25): this {
    return this.control('hello', { id: 'c1', ping, version: 1 })
  }

  receive(data: unknown): this {
    this.run(() => this.onmessage?.({ data }))
    return this
  }

  /** The server's close frame and the end of the connection. */
  end(code = 1006, reason = ''): this {
    this.readyState = 3
    this.run(() => this.onclose?.({ code, reason }))
    return this
  }

  /** The attempt fails, as it does when no server listens. */
  fail(): this {
    this.readyState = 3
    this.run(() => {
      this.onerror?.()
      this.onclose?.({ code: 1006, reason: '' })
    })
    return this
  }
}
