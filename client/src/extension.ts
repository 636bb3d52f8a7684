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
 * its connection. One is made for each `Connection`, and lives as long, over all of its WebSockets: in shared mode in
 * the hub.
 */
export interface Extension {
  /** Called with the values of a control message of their kind. Several extensions may take one, such as `hello`. */
  readonly handlers: Readonly<Record<string, (...values: never[]) => void>>
  /** A further subprotocol to offer in the next handshake. */
  offer?(): string | undefined
  /** The WebSocket of an odac.v1 server has opened, and the hello is to come: the place to send what must be first. */
  onAccepted?(): void
  /** The server has let the connection in. The queue has not been sent yet, nor has `open` been emitted. */
  onOpened?(): void
  /** A message of the application has come in, and has not been emitted yet. */
  onReceived?(payload: unknown): void
  /** The connection, or an attempt at one, is over; no other follows if `final`. `close` has not been emitted yet. */
  onClosed?(code: number, final: boolean): void
  /** A tab has come to a connection that was open before: `emit` tells this tab alone, which has brought `memory`. */
  onTab?(emit: Sink, memory: unknown): void
}

/** Makes the extension of one connection. */
export type MakeExtension = (wire: Wire) => Extension
