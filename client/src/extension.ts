import type { Sink } from './transport'

/** What an extension does with its connection. */
export interface Wire {
  /** Emit an event of the connection: in shared mode every tab gets it. */
  readonly emit: Sink
  /** Send a control message now. False, and nothing is kept, where no odac.v1 server would get it. */
  control(kind: string, ...values: unknown[]): boolean
}

/**
 * A part of odac.v1 in a file of its own: the control messages that it takes, and what it does at the turning points of
 * its connection. One is made for each `Connection`, and lives as long, over all of its WebSockets. In shared mode that
 * is in the hub.
 */
export interface Extension {
  /** Called with the values of a control message of their kind. Several extensions may take one kind, such as `hello`. */
  readonly handlers: Readonly<Record<string, (...values: never[]) => void>>
  /** A further subprotocol to offer in the next handshake. */
  offer?(): string | undefined
  /** The WebSocket of an odac.v1 server has opened: the place to send what must come first. The hello is still to come. */
  accepted?(): void
  /** The server has let the connection in. The queue has not been sent yet, nor has `open` been emitted. */
  opened?(): void
  /** A message of the application has come in, and has not been emitted yet. */
  received?(payload: unknown): void
  /** The connection, or an attempt at one, is over; `final` says that no other follows. `close` has not been emitted yet. */
  closed?(code: number, final: boolean): void
  /** A tab has come to a connection that was open before: `emit` tells this tab alone. */
  joined?(emit: Sink): void
}

/** Makes the extension of one connection. */
export type MakeExtension = (wire: Wire) => Extension
