// Shared by the hook for React and the composable for Vue.
import {
  Odac,
  type OdacData,
  type OdacOptions,
  type OdacPresence,
  type OdacRecovery,
  type OdacRooms,
  type OdacSocket,
} from './package'

/** What `useOdac` takes: the options of `Odac.ws`, which are compared by value, and listeners. */
export interface UseOdacOptions<Message = unknown, Rooms extends OdacRooms = OdacRooms> extends OdacOptions {
  /** Called with every message; `message` has only the last one. It may be another function each time. */
  onMessage?: ((data: Message) => void) | undefined
  /** Called with what the event `recover` comes with: where `recovered` is false, load the state again. */
  onRecover?: ((recovery: OdacRecovery<Rooms['history']>) => void) | undefined
}

/** What a component sees of its connection. */
export interface OdacView<Message = unknown, Rooms extends OdacRooms = OdacRooms, Socket = OdacSocket<Message, Rooms>> {
  /** What `Odac.ws` returned. Undefined without a path, before the component is mounted, and where a server renders. */
  readonly socket: Socket | undefined
  /** A `WebSocket.readyState`: 0 connecting, 1 open, 2 closing, 3 closed or waiting for the next attempt. */
  readonly state: number
  /** Whether a message sent now goes out at once. */
  readonly connected: boolean
  /** The last message of this connection. */
  readonly message: Message | undefined
  /** What the last event `recover` of this connection came with. */
  readonly recovery: OdacRecovery<Rooms['history']> | undefined
  /** What the last event `presence` of each room came with. A new map at each change. */
  readonly presence: ReadonlyMap<Rooms['presence'], OdacPresence<Rooms['presence']>>
}

/** Sends with `socket.send`; returns false while there is no socket. */
export type Send = (data: OdacData) => boolean

/** The view while there is no connection. */
export const IDLE: OdacView<never> = {
  socket: undefined,
  state: 3,
  connected: false,
  message: undefined,
  recovery: undefined,
  presence: /* @__PURE__ */ new Map(),
}

/** Equal keys need no other connection. JSON leaves out functions: those of the last render are called. */
export const keyOf = (path: string | null | undefined, options: OdacOptions): string | undefined =>
  path == null ? undefined : JSON.stringify([path, options])

/** Connect, call `show` with each change, and return a function that ends both. */
export const attach = <Message>(
  path: string,
  options: () => UseOdacOptions<Message>,
  show: (changes: Partial<OdacView<Message>>) => void,
): (() => void) => {
  const { onMessage: _, onRecover: __, auth, ...settings } = options()
  // The function of the last render, which has the newest token.
  const latestAuth = (): string | Promise<string> => options().auth?.() ?? ''
  const socket = Odac.ws<Message>(path, { ...settings, auth: auth && latestAuth })
  let ended = false
  let { presence } = IDLE
  socket
    .on('state', (state) => ended || show({ state, connected: socket.connected }))
    .on('message', (message) => {
      if (ended) return
      show({ message })
      options().onMessage?.(message)
    })
    .on('recover', (recovery) => {
      if (ended) return
      show({ recovery })
      options().onRecover?.(recovery)
    })
    .on('presence', (change) => {
      presence = new Map(presence).set(change.room, change)
      if (!ended) show({ presence })
    })
  show({ ...IDLE, socket, state: socket.state })
  return () => {
    ended = true
    socket.close()
  }
}
