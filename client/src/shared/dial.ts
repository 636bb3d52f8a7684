import type { Dial, HubConnection } from './link'
import type { Port } from './protocol'

/** The part of `SharedWorker` that is used. */
export interface Worker {
  readonly port: Port
  onerror: ((event: never) => void) | null
}

/** Dials the hub in a SharedWorker; where that is not supported or fails to load, dials `next`. */
export const dialWorker =
  (start: () => Worker, next: Dial | undefined): Dial =>
  (attach, lost, fail) => {
    let connection: HubConnection | undefined
    let closed = false
    const fallBack = (): void => {
      connection?.close()
      if (closed) return
      connection = next?.(attach, lost, fail)
      if (!connection) fail()
    }
    try {
      const worker = start()
      connection = worker.port
      worker.onerror = fallBack
      attach(worker.port)
    } catch {
      // Not supported, or not allowed. In a microtask, because the caller does not have the return value yet.
      queueMicrotask(fallBack)
    }
    return {
      close: () => {
        closed = true
        connection?.close()
      },
    }
  }
