import { warnUnknown } from './unknown'
import type { OdacAnswer, OdacCallOptions } from './api'

/** How many calls from the server may run at the same time. */
const MAX_RUNNING = 16

/** A call without an answer so far. */
interface PendingCall {
  readonly call: readonly [name: string, args: unknown]
  readonly due: number
  readonly retry: boolean | undefined
  /** Whether it was sent over the connection that is open now. */
  sent?: boolean
  /** When it was first sent, and the origin in the hello of that connection. */
  first?: number
  origin?: string | undefined
  readonly settle: (error: unknown, value?: unknown) => void
}

const callError = (code: string, text?: string): Error =>
  Object.assign(new Error(text || code), { name: 'OdacCallError', code })

/** The calls of one socket, over all its connections, and the answers to the server's calls. */
export class Calls {
  readonly #control: (kind: string, ...values: unknown[]) => boolean
  readonly #pending = new Map<number, PendingCall>()
  readonly #answers = new Map<string, OdacAnswer>()
  readonly #running = new Map<number, AbortController>()
  // Random, because tabs that share a connection must not use the same ids.
  #id = Math.floor(Math.random() * 2 ** 31) * 2 ** 21
  #open = false
  #hello = false
  #ended = false
  #origin: string | undefined
  /** When the hello arrived; both sides measure time from it. */
  #helloAt = 0

  /** `control` sends a control message, and returns false where that is impossible now. */
  constructor(control: (kind: string, ...values: unknown[]) => boolean) {
    this.#control = control
  }

  call(name: string, args: unknown, options: OdacCallOptions = {}): Promise<unknown> {
    WARN: for (const option in options) warnUnknown('option', option, 'timeout retry signal')
    const { timeout = 10_000, retry, signal } = options
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      if (this.#ended) throw callError('cancelled')
      // Copied now, so that later changes have no effect; throws now for what has no JSON form.
      const copy: unknown = JSON.parse(JSON.stringify(args ?? null))
      const id = ++this.#id
      const abandon = (error: unknown): void => {
        if (pending.sent) this.#control('cancel', id)
        pending.settle(error)
      }
      const abort = (): void => abandon(signal?.reason)
      const timer = setTimeout(() => abandon(callError('timeout')), timeout)
      const pending: PendingCall = {
        call: [name, copy],
        due: Date.now() + timeout,
        retry,
        settle: (error, value) => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', abort)
          this.#pending.delete(id)
          error ? reject(error as Error) : resolve(value)
        },
      }
      signal?.addEventListener('abort', abort)
      this.#pending.set(id, pending)
      this.#flush()
    })
  }

  answer(name: string, answer: OdacAnswer): void {
    this.#answers.set(name, answer)
  }

  /** The connection is open, and the queued messages have been sent. */
  opened(): void {
    this.#open = true
    this.#flush()
  }

  /** The connection is closed; if `ended`, for good. */
  lost(ended: boolean): void {
    this.#open = this.#hello = false
    this.#ended = ended
    for (const pending of this.#pending.values()) {
      const { sent, retry } = pending
      pending.sent = false
      if (ended || (sent && !retry)) {
        pending.settle(callError(sent ? 'interrupted' : 'cancelled', 'the connection is closed'))
      }
    }
    for (const controller of this.#running.values()) controller.abort()
    this.#running.clear()
  }

  /** The server's hello arrived `age` milliseconds ago. `origin` is undefined where the route answers no calls. */
  onHello(origin: string | undefined, age: number): void {
    this.#hello = true
    this.#origin = origin
    this.#helloAt = Date.now() - age
    this.#flush()
  }

  /** Take a control message from the server. */
  receive(kind: string, id: unknown, ...values: unknown[]): void {
    const [first, second] = values
    if (kind === 'call') {
      void this.#reply(id as number, ...(values as [string, unknown]))
    } else if (kind === 'cancel') {
      this.#running.get(id as number)?.abort()
    } else {
      const error = kind === 'fail' && callError(first as string, second as string)
      this.#pending.get(id as number)?.settle(error, first)
    }
  }

  #flush(): void {
    if (!this.#open || !this.#hello) return
    for (const [id, pending] of this.#pending) {
      if (pending.sent) continue
      const now = Date.now()
      if (!pending.first) pending.origin = this.#origin
      const retry = pending.retry && [pending.origin ?? '', pending.first ? Math.max(now - pending.first, 1) : 0]
      pending.sent = this.#control('call', id, ...pending.call, now - this.#helloAt, pending.due - now, retry)
      if (pending.sent) pending.first ??= now
    }
  }

  async #reply(id: number, name: string, args: unknown, at?: number | null, left?: number | null): Promise<void> {
    const controller = new AbortController()
    try {
      const answer = this.#answers.get(name)
      if (!answer) throw callError('unknown')
      if (this.#running.size >= MAX_RUNNING) throw callError('busy')
      // It arrived after the deadline of the server.
      if (at != null && left != null && Date.now() - this.#helloAt - at >= left) throw callError('timeout')
      this.#running.set(id, controller)
      const value = await answer(args, { signal: controller.signal })
      // Throws for what has no JSON form.
      if (!controller.signal.aborted) this.#control('reply', id, JSON.parse(JSON.stringify(value ?? null)))
    } catch (error) {
      const { code, message } = (error ?? {}) as { code?: unknown; message?: string }
      const refused = typeof code === 'string'
      if (!controller.signal.aborted) this.#control('fail', id, refused ? code : 'internal', refused ? message : '')
      // Reported in the console: the server does not get the reason.
      if (!refused) setTimeout(() => { throw error })
    }
    this.#running.delete(id)
  }
}
