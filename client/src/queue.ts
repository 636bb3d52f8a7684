import type { Payload } from './codec'

const MAX_MESSAGES = 256
const MAX_BYTES = 1 << 20

export const byteLength = (payload: Payload): number =>
  typeof payload === 'string'
    ? new TextEncoder().encode(payload).length
    : 'size' in payload
      ? payload.size
      : payload.byteLength

/** Messages that wait for an open connection: in order, and bounded so that a long outage cannot fill the memory. */
export class SendQueue {
  #payloads: Payload[] = []
  #bytes = 0

  get length(): number {
    return this.#payloads.length
  }

  /** Whether `payload` found room. */
  add(payload: Payload): boolean {
    const bytes = this.#bytes + byteLength(payload)
    if (this.#payloads.length >= MAX_MESSAGES || bytes > MAX_BYTES) return false
    this.#bytes = bytes
    this.#payloads.push(payload)
    return true
  }

  /** Take everything out. */
  take(): Payload[] {
    const payloads = this.#payloads
    this.#payloads = []
    this.#bytes = 0
    return payloads
  }
}
