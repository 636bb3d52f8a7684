import type { Dial, Line } from './link'
import type { Port } from './protocol'

/** The part of `SharedWorker` that is used. */
export interface Worker {
  readonly port: Port
  onerror: ((event: never) => void) | null
}

/** Dials the hub in a SharedWorker; where that cannot be had or loaded, dials `next`. */
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
      // Not supported, or not allowed. In a microtask, because the caller has not got its line yet.
      queueMicrotask(fallBack)
    }
    return {
      close: () => {
        closed = true
        line?.close()
      },
    }
  }
