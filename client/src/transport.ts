import type { OdacEvents } from './api'
import { NORMAL } from './close-codes'
import type { Payload } from './codec'
import { SendQueue } from './queue'

export const CONNECTING = 0
export const OPEN = 1
export const CLOSING = 2
export const CLOSED = 3

/**
 * Takes the events of a transport. A message is not decoded yet. An event without a name means that only the state has
 * changed; `control` is a control message for the page, which listeners do not get.
 */
export type Sink = (event: keyof OdacEvents | 'control' | '', ...args: unknown[]) => void

/**
 * What a socket sends through: its own connection, or a shared one. This base class only queues messages, and is used
 * while the code for shared connections is loaded.
 */
export class Transport {
  state = CONNECTING
  /** Whether it is closed for good. */
  ended = false

  readonly queue = new SendQueue()
  readonly emit: Sink

  constructor(emit: Sink) {
    this.emit = emit
  }

  /** Send now, or queue. False if neither is possible, in which case `error` is emitted. */
  send(payload: Payload): boolean {
    const sent = this.state === OPEN && this.transmit(payload)
    if (sent || (!this.ended && this.queue.add(payload))) return true
    this.fail('message refused: ' + (this.ended ? 'the connection is closed' : 'the send queue is full'))
    return false
  }

  /** Send a control message now. False, without queueing it, where no odac.v1 server is connected. */
  control(_kind: string, ..._values: unknown[]): boolean {
    return false
  }

  /** Close for good, and drop the queue. */
  close(code = NORMAL, reason = ''): void {
    if (this.ended) return
    this.ended = true
    this.queue.take()
    this.setState(CLOSED)
    this.emit('close', code, reason)
  }

  /** Retry or check the connection now: the network is back, or the page has become visible. */
  wake(): void {}

  /** Check the connection now: the network is lost. */
  probe(): void {}

  /**
   * Disconnect until `wake`: the page is being unloaded, into the back/forward cache if `persisted`, or is being frozen
   * if `persisted` is undefined.
   */
  suspend(_persisted: boolean | undefined): void {}

  /** Pass the payload on. False if that failed. */
  protected transmit(_payload: Payload): boolean {
    return false
  }

  /** The connection is open: send the queue, then emit `open`. */
  protected opened(): void {
    // Without `setState`: a listener of `state` must not send before the queue.
    this.state = OPEN
    for (const payload of this.queue.take()) this.transmit(payload) || this.queue.add(payload)
    this.emit('open')
  }

  protected setState(state: number): void {
    if (this.state === state) return
    this.state = state
    this.emit('')
  }

  fail(message: string): void {
    this.emit('error', new Error('Odac: ' + message))
  }
}
