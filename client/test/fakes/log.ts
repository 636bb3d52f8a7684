import type { Sink } from '../../src/transport'

/** Records events as they come. */
export class Log {
  readonly events: unknown[][] = []
  /** The control messages for the page. */
  readonly controls: unknown[][] = []

  readonly sink: Sink = (event, ...args) => {
    // Control messages for the page are not events.
    if (event === 'control') this.controls.push(args)
    else if (event) this.events.push([event, ...args])
  }

  /** The names, in order. */
  get names(): unknown[] {
    return this.events.map(([name]) => name)
  }

  /** What the events `name` came with. */
  of(name: string): unknown[][] {
    return this.events.filter(([other]) => other === name).map(([, ...args]) => args)
  }

  /** What has happened since the last call. */
  take(): unknown[][] {
    return this.events.splice(0)
  }
}
