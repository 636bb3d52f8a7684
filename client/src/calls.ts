import { warnUnknown } from './unknown'
import type { OdacAnswer, OdacCallOptions } from './api'

/** How many calls from the server are answered at the same time. */
const AT_A_TIME = 16

/** A call that waits for its answer. */
interface Asked {
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
  readonly #asked = new Map<number, Asked>()
  readonly #answers = new Map<string, OdacAnswer>()
  readonly #running = new Map<number, AbortController>()
  // Tabs that share a connection must not use the same ids.
  #id = Math.floor(Math.random() * 2 ** 31) * 2 ** 21
  #open = false
  #greeted = false
  #ended = false
  #origin: string | undefined
  /** When the hello arrived: both sides count time from there. */
  #since = 0

  /** `control` sends a control message, and returns false where that is impossible now. */
  constructor(control: (kind: string, ...values: unknown[]) => boolean) {
    this.#control = control
  }

  call(name: string, args: unknown, options: OdacCallOptions = {}): Promise<unknown> {
    WARN: for (const name in options) warnUnknown('option', name, 'timeout retry signal')
    const { timeout = 10_000, retry, signal } = options
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      if (this.#ended) throw callError('cancelled')
      // Copied now, so that later changes have no effect; throws now for what has no JSON form.
      const copy: unknown = JSON.parse(JSON.stringify(args ?? null))
      const id = ++this.#id
      const giveUp = (error: unknown): void => {
        if (asked.sent) this.#control('cancel', id)
        asked.settle(error)
      }
      const abort = (): void => giveUp(signal?.reason)
      const timer = setTimeout(() => giveUp(callError('timeout')), timeout)
      const asked: Asked = {
        call: [name, copy],
        due: Date.now() + timeout,
        retry,
        settle: (error, value) => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', abort)
          this.#asked.delete(id)
          error ? reject(error as Error) : resolve(value)
        },
      }
      signal?.addEventListener('abort', abort)
      this.#asked.set(id, asked)
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
    this.#open = this.#greeted = false
    this.#ended = ended
    for (const asked of this.#asked.values()) {
      const { sent, retry } = asked
      asked.sent = false
      if (ended || (sent && !retry)) {
        asked.settle(callError(sent ? 'interrupted' : 'cancelled', 'the connection is closed'))
      }
    }
    for (const controller of this.#running.values()) controller.abort()
    this.#running.clear()
  }

  /** The server's hello arrived `age` milliseconds ago. `origin` is undefined where the route answers no calls. */
  greeted(origin: string | undefined, age: number): void {
    this.#greeted = true
    this.#origin = origin
    this.#since = Date.now() - age
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
      this.#asked.get(id as number)?.settle(error, first)
    }
  }

  #flush(): void {
    if (!this.#open || !this.#greeted) return
    for (const [id, asked] of this.#asked) {
      if (asked.sent) continue
      const now = Date.now()
      if (!asked.first) asked.origin = this.#origin
      const retry = asked.retry && [asked.origin ?? '', asked.first ? Math.max(now - asked.first, 1) : 0]
      asked.sent = this.#control('call', id, ...asked.call, now - this.#since, asked.due - now, retry)
      if (asked.sent) asked.first ??= now
    }
  }

  async #reply(id: number, name: string, args: unknown, at?: number | null, left?: number | null): Promise<void> {
    const controller = new AbortController()
    try {
      const answer = this.#answers.get(name)
      if (!answer) throw callError('unknown')
      if (this.#running.size >= AT_A_TIME) throw callError('busy')
      // It arrived after the deadline of the server.
      if (at != null && left != null && Date.now() - this.#since - at >= left) throw callError('timeout')
      this.#running.set(id, controller)
      const value = await answer(args, { signal: controller.signal })
      // Throws for what has no JSON form.
      if (!controller.signal.aborted) this.#control('reply', id, JSON.parse(JSON.stringify(value ?? null)))
    } catch (error) {
      const { code, message } = (error ?? {}) as { code?: unknown; message?: string }
      const own = typeof code === 'string'
      if (!controller.signal.aborted) this.#control('fail', id, own ? code : 'internal', own ? message : '')
      // Reported in the console: the server does not get the reason.
      if (!own) setTimeout(() => { throw error })
    }
    this.#running.delete(id)
  }
}
