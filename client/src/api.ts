/** The options of `Odac.ws`. Every field has a default. */
export interface OdacOptions {
  /** Connect again when the connection is lost. Default: true. */
  autoReconnect?: boolean | undefined
  /** The wait before the first retry, in milliseconds; each further one waits 1.5 times as long. Default: 3000. */
  reconnectDelay?: number | undefined
  /**
   * How many retries in a row, counted since a connection last stayed open for 5 seconds; null: no limit. Default: 10.
   */
  maxReconnectAttempts?: number | null | undefined
  /** One connection for all tabs of this origin, path, options and session. Default: false. */
  shared?: boolean | undefined
  /** Send a token with the handshake. Turn it off for routes that are declared with `token=False`. Default: true. */
  token?: boolean | undefined
  /**
   * Returns the bearer token that the app reads as `request.bearer`; called for each attempt to connect. It is
   * sent over the connection, never in the URL. A connection with it is not shared.
   */
  auth?: (() => string | Promise<string>) | undefined
  /**
   * Where the app serves its token endpoint and worker. Default: the folder that the script came from, or `/odac`
   * when the client is part of a bundle.
   */
  prefix?: string | undefined
}

/** Names of rooms; `odac types` writes those that the app has rules for. */
export interface OdacRooms {
  /** Rooms that keep a history. */
  history: string
  /** Rooms with presence: members see the people in them. */
  presence: string
}

/** Whether the messages that were missed without a connection have arrived. */
export interface OdacRecovery<Room extends string = string> {
  /** The room's name; null for the user's inbox. */
  readonly room: Room | null
  /** True: every missed message has arrived, once and in order. False: some may be missing; load the state again. */
  readonly recovered: boolean
  /** The number of missed messages that have arrived. */
  readonly count: number
}

/** A person in a room. */
export interface OdacPerson {
  /** The same for this person in this room, on every server. */
  readonly key: string
  /** The data that the person's newest connection joined with. */
  readonly data: unknown
}

/** The people in a room, and what has changed. */
export interface OdacPresence<Room extends string = string> {
  readonly room: Room
  /** All people in the room; empty above its limit, where only `total` is sent. */
  readonly users: readonly OdacPerson[]
  /** People who are new. */
  readonly joined: readonly OdacPerson[]
  /** People who were here before, and whose data has changed. */
  readonly changed: readonly OdacPerson[]
  /** People who have left, with their last data. */
  readonly left: readonly OdacPerson[]
  /** The number of people in the room. */
  readonly total: number
}

/** The error in a message that the server's route has refused. */
export interface OdacInvalid {
  /** The field's place in the message, such as `moves[0].x`; empty for the message as a whole. */
  readonly field: string
  /** What is wrong, for people. */
  readonly reason: string
}

/** Every event and what its listeners are called with. */
export interface OdacEvents<Message = unknown, Rooms extends OdacRooms = OdacRooms> {
  /** The server has admitted this connection. */
  open: []
  /** A message: what JSON text says, other text as a string, binary as an `ArrayBuffer`. */
  message: [data: Message]
  /** A connection, or an attempt at one, has ended. */
  close: [code: number, reason: string]
  /** Something went wrong. If it has ended the connection, there is a `close`, too. */
  error: [error: Error]
  /** A retry is scheduled: its number, and the delay in milliseconds. */
  reconnecting: [attempt: number, delay: number]
  /** The browser has lost its network. A ping checks the connection, which is dropped without an answer in 10 s. */
  offline: []
  /** `state` has changed. Comes before the event that says why. */
  state: [state: number]
  /** In a room with history: the missed messages have arrived, or some may be missing. */
  recover: [recovery: OdacRecovery<Rooms['history']>]
  /** The people in a room: first on joining, then at each change. */
  presence: [presence: OdacPresence<Rooms['presence']>]
  /**
   * On routes with `on_invalid="answer"`: the server has dropped a message that does not fit the route's types. Without
   * a listener, the first one is a warning in the console. On a shared connection every tab gets the event.
   */
  invalid: [invalid: OdacInvalid]
}

/** What `send` takes. Strings are sent as they are, buffers and blobs as binary, everything else as JSON. */
export type OdacData = string | number | boolean | null | object

/** The options of `call`. */
export interface OdacCallOptions {
  /** Milliseconds until the call fails with `timeout`, including the time without a connection. Default: 10000. */
  timeout?: number | undefined
  /** Send the call again if the connection is lost before the answer arrives. It is executed at most once. */
  retry?: boolean | undefined
  /** Aborting it cancels the call. */
  signal?: AbortSignal | undefined
}

/**
 * A call has failed: with a `code` from the app, or `unknown`, `invalid`, `busy`, `timeout`, `cancelled`,
 * `interrupted` (it is not known whether the call was executed) or `internal`.
 */
export interface OdacCallError extends Error {
  readonly name: 'OdacCallError'
  readonly code: string
}

/** Answers a call from the server; an Error with a string `code` refuses it. `signal` aborts if it is cancelled. */
export type OdacAnswer<Arguments = unknown> = (args: Arguments, context: { signal: AbortSignal }) => unknown

/** The methods of a socket that do not depend on the types of messages and calls. */
export interface OdacBaseSocket<Message = unknown, Rooms extends OdacRooms = OdacRooms> {
  /** Whether a message sent now goes out at once. */
  readonly connected: boolean
  /** A `WebSocket.readyState`: 0 connecting, 1 open, 2 closing, 3 closed or waiting for the next attempt. */
  readonly state: number
  /** Answer the server's `odac.ws.call(name, …)`; a later function replaces an earlier one. */
  answer<Arguments = unknown>(name: string, answer: OdacAnswer<Arguments>): this
  /**
   * Connect now, without waiting for the next retry, even if the client has given up. If the connection is open, the
   * client pings the server, and reconnects if no answer comes. After `close` this does nothing.
   */
  reconnect(): void
  /** Close the connection for good and drop the queue. */
  close(code?: number, reason?: string): void
  /** Call `listener` at each `event`, after the listeners that were added before. */
  on<Name extends keyof OdacEvents>(event: Name, listener: (...args: OdacEvents<Message, Rooms>[Name]) => void): this
  /** Remove `listener`, or every listener of `event`. */
  off<Name extends keyof OdacEvents>(event: Name, listener?: (...args: OdacEvents<Message, Rooms>[Name]) => void): this
}

/** A connection that reconnects, with one WebSocket after the other. */
export interface OdacSocket<Message = unknown, Rooms extends OdacRooms = OdacRooms>
  extends OdacBaseSocket<Message, Rooms> {
  /**
   * Send a message, or keep it until the connection is open.
   *
   * @returns false when it was refused: the queue is full, or the connection is closed for good.
   * @throws TypeError when `data` has no JSON form.
   */
  send(data: OdacData): boolean
  /**
   * Ask the server, and wait for its answer. Rejects with an `OdacCallError`, or the reason of an aborted `signal`.
   *
   * @param name the name registered with `@route.answer(name)`.
   */
  call<Answer = unknown>(name: string, args?: unknown, options?: OdacCallOptions): Promise<Answer>
}

/** The global `Odac`, and the export of that name. */
export interface OdacNamespace {
  /**
   * Open a connection.
   *
   * @param path a path of this site (`/chat`), or a full `ws:`, `wss:`, `http:` or `https:` URL.
   */
  ws<Message = unknown>(path: string, options?: OdacOptions): OdacSocket<Message>
}
