import type { Payload } from './codec'

const MAX_MESSAGES = 256
const MAX_BYTES = 1 << 20

export const byteLength = (payload: Payload): number =>
  typeof payload === 'string'
    ? new TextEncoder().encode(payload).length
    : 'size' in payload
      ? payload.size
      : payload.byteLength

/** Messages to send when the connection opens, in order; bounded, so that a long outage cannot fill the memory. */
export class SendQueue {
  #payloads: Payload[] = []
  #bytes = 0

  /** Append `payload`. False if the queue is full. */
  add(payload: Payload): boolean {
    const bytes = this.#bytes + byteLength(payload)
    if (this.#payloads.length >= MAX_MESSAGES || bytes > MAX_BYTES) return false
    this.#bytes = bytes
    this.#payloads.push(payload)
    return true
  }

  /** Remove and return all messages. */
  take(): Payload[] {
    const payloads = this.#payloads
    this.#payloads = []
    this.#bytes = 0
    return payloads
  }
}
