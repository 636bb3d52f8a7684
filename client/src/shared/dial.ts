import type { Dial, Line } from './link'
import type { Port } from './protocol'

/** The part of a `SharedWorker` that is used. */
export interface Worker {
  readonly port: Port
  onerror: ((event: never) => void) | null
}

/** A way to the hub in a SharedWorker, or, where there is none or it cannot be loaded, the `next` way. */
export const dialWorker =
  (start: () => Worker, next: Dial | undefined): Dial =>
  (attach, lost, fail) => {
    let line: Line | undefined
    let closed = false
    const fallBack = (): void => {
      line?.close()
      if (closed) return
      line = next?.(attach, lost, fail)
      if (!line) fail()
    }
    try {
      const worker = start()
      line = worker.port
      worker.onerror = fallBack
      attach(worker.port)
    } catch {
      // Not supported, or forbidden. Later, as an event would be: the caller has yet to get its line.
      queueMicrotask(fallBack)
    }
    return {
      close: () => {
        closed = true
        line?.close()
      },
    }
  }
