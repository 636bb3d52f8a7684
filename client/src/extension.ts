import type { Sink } from './transport'

/** What an extension can do with its connection. */
export interface Wire {
  /** Emit an event of the connection: in shared mode every tab gets it. */
  readonly emit: Sink
  /** Send a control message now. False, without queueing it, where no odac.v1 server is connected. */
  control(kind: string, ...values: unknown[]): boolean
}

/**
 * A part of odac.v1 in a file of its own: handlers for control messages, and hooks for the events of a connection. Each
 * `Connection` has one, which it uses for all of its WebSockets; in shared mode it is in the hub.
 */
export interface Extension {
  /** Called with the values of a control message of their kind. Several extensions may take one, such as `hello`. */
  readonly handlers: Readonly<Record<string, (...values: never[]) => void>>
  /** A further subprotocol to offer in the next handshake. */
  offer?(): string | undefined
  /** A WebSocket to an odac.v1 server has opened, before its hello: send here what has to be the first message. */
  onAccepted?(): void
  /** The server has admitted the connection. The queue has not been sent yet, nor has `open` been emitted. */
  onOpened?(): void
  /** A message has arrived, and has not been emitted yet. */
  onReceived?(payload: unknown): void
  /** The connection, or an attempt at one, has ended, for good if `final`. `close` has not been emitted yet. */
  onClosed?(code: number, final: boolean): void
  /** A tab with the positions `resumption` has joined the open connection; `emit` reaches this tab alone. */
  onTab?(emit: Sink, resumption: unknown): void
}

/** Makes the extension of one connection. */
export type MakeExtension = (wire: Wire) => Extension
