import type { OdacEvents } from './api'
import { NORMAL } from './close-codes'
import type { Payload } from './codec'
import { SendQueue } from './queue'

export const CONNECTING = 0
export const OPEN = 1
export const CLOSING = 2
export const CLOSED = 3

/**
 * Where events go. A message is still the payload; without a name, only the state has changed; `control` is a control
 * message that is the page's matter, and no event of its.
 */
export type Sink = (event: keyof OdacEvents | 'control' | '', ...args: unknown[]) => void

/**
 * What a socket for the page stands on: a connection of its own, or its share of one. This class itself only queues: it
 * stands in while the code of the other is loaded.
 */
export class Transport {
  state = CONNECTING
  /** Closed for good. */
  ended = false

  readonly queue = new SendQueue()
  readonly emit: Sink

  constructor(emit: Sink) {
    this.emit = emit
  }

  /** Send now, or keep for later. False if neither is possible, which is an `error` event too. */
  send(payload: Payload): boolean {
    const sent = this.state === OPEN && this.transmit(payload)
    if (sent || (!this.ended && this.queue.add(payload))) return true
    this.fail('message refused: ' + (this.ended ? 'the connection is closed' : 'the send queue is full'))
    return false
  }

  /** Send a control message now. False, and nothing is kept, where no odac.v1 server would get it. */
  control(_kind: string, ..._values: unknown[]): boolean {
    return false
  }

  /** End it for good and drop what is queued. */
  close(code = NORMAL, reason = ''): void {
    if (this.ended) return
    this.ended = true
    this.queue.take()
    this.setState(CLOSED)
    this.emit('close', code, reason)
  }

  /** Try now what would be tried later: the network is back, or the page is looked at again. */
  wake(): void {}

  /** Find out now whether the connection is still good: the network has gone. */
  probe(): void {}

  /**
   * Let go of everything until `wake`: the page goes away, into the back/forward cache if `persisted`. Undefined: it
   * stays, but is frozen.
   */
  suspend(_persisted: boolean | undefined): void {}

  /** Whether the payload could be handed over. */
  protected transmit(_payload: Payload): boolean {
    return false
  }

  /** Open: what has waited goes first. */
  protected opened(): void {
    // The event tells it: nobody may send before what has waited.
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
