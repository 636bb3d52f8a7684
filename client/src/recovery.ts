import type { OdacRecovery } from './api'
import { isRefusal } from './close-codes'
import { control } from './codec'
import type { MakeExtension } from './extension'
import { byteLength } from './queue'

/** A room's name, or null for the user's own inbox. */
type Room = string | null

/** A position in a room's log: after the message with this `offset`. */
export type Position = [epoch: string | null, offset: number, ticket: string]

/** The values of a `resume` message. */
export type Resumption = readonly [client: string, rooms: (readonly [room: Room, ...position: Position])[]]

/** Limits of one `resume`; further rooms are not recovered, and `recover` says so. */
const MAX_ROOMS = 128
const MAX_BYTES = 64 * 1024
/** Milliseconds from the hello until the server has to have named a room again; else it is not recovered. */
const ROOMS_TIMEOUT = 10_000

/**
 * The positions of one client in rooms with history, over all its connections, from the server's control messages and
 * the messages that have arrived.
 */
export class Positions {
  /** The client id, signed by the server. */
  client: string | undefined
  readonly byRoom = new Map<Room, Position>()
  /** The server's numbers of the rooms, on this connection. */
  readonly numbers = new Map<number, Room>()
  /** Rooms whose missed messages are arriving, with how many of these the page already had. */
  readonly recovering = new Map<number, number>()
  /** The room and the offset of each of the next messages. */
  expected: [number: number, offset: number][] = []

  readonly #emit: (recovery: OdacRecovery) => void
  /** Rooms of an earlier connection that the server has not named on this one yet. */
  #unnamed = new Set<Room>()
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(emit: (recovery: OdacRecovery) => void) {
    this.#emit = emit
  }

  /** The values of the next `resume`; undefined if there is no room to resume. */
  resumption(): Resumption | undefined {
    const { client } = this
    if (!client) return undefined
    let rooms = [...this.byRoom].slice(-MAX_ROOMS).map(([room, position]) => [room, ...position] as const)
    while (byteLength(control('resume', client, rooms)) > MAX_BYTES) rooms = rooms.slice((rooms.length >> 2) + 1)
    return rooms[0] && [client, rooms]
  }

  /** Take the server's hello, with the client id that it has signed. */
  onHello(client: string | undefined): void {
    this.lost()
    this.client = client
    this.#unnamed = new Set(this.byRoom.keys())
    if (this.#unnamed.size) this.#timer = setTimeout(() => this.#overdue(), ROOMS_TIMEOUT)
  }

  /** The connection is closed: drop what belongs to it, and every position if the user may have changed. */
  lost(code?: number): void {
    clearTimeout(this.#timer)
    this.numbers.clear()
    this.recovering.clear()
    this.expected = []
    if (isRefusal(code)) {
      this.byRoom.clear()
      this.client = undefined
    }
  }

  /** A message has arrived: advance the position of its room. False if the page already had the message. */
  arrived(): boolean {
    const next = this.expected.shift()
    return !next || this.#advance(...next)
  }

  /** Take a control message. Malformed and unknown ones are ignored. */
  receive(kind: string, number: number, ...values: unknown[]): void {
    const [first, second, third] = values as never[]
    if (kind === 'at' && values.every(Number.isInteger)) {
      this.expected.push(...values.map((offset): [number, number] => [number, offset as number]))
    }
    if (kind === 'room') this.#enter(number, ...(values as [Room, ...Position, number]))
    const room = this.numbers.get(number)
    if (room === undefined) return
    if (kind === 'past') this.#advance(number, first!)
    if (kind === 'live') {
      const seen = this.recovering.get(number)
      if (this.recovering.delete(number)) this.#report(room, true, first! - seen!)
    }
    if (kind === 'gap') {
      this.recovering.delete(number)
      this.byRoom.set(room, [first!, second!, third!])
      this.#report(room, false)
    }
    if (kind === 'left') {
      this.numbers.delete(number)
      this.recovering.delete(number)
      this.byRoom.delete(room)
    }
  }

  #enter(number: number, room: Room, epoch: string | null, offset: number, ticket: string, status: number): void {
    if (typeof ticket !== 'string') return
    const known = this.byRoom.get(room)
    let recovered = status !== 2
    if (this.#unnamed.delete(room) && !status) recovered = false
    if (status === 1) {
      // In shared mode, another hub may have taken over, and the tabs may have different positions.
      recovered = known?.[0] === epoch && known[1] >= offset
      if (recovered) {
        this.recovering.set(number, 0)
        offset = known![1]
      }
    }
    this.numbers.set(number, room)
    // Inserted again, so that the newest room is the last.
    this.byRoom.delete(room)
    this.byRoom.set(room, [epoch, offset, ticket])
    if (!recovered) this.#report(room, false)
  }

  #advance(number: number, offset: number): boolean {
    const position = this.byRoom.get(this.numbers.get(number)!)
    if (!position) return true
    if (offset <= position[1]) {
      if (this.recovering.has(number)) this.recovering.set(number, this.recovering.get(number)! + 1)
      return false
    }
    position[1] = offset
    return true
  }

  #overdue(): void {
    for (const room of this.#unnamed) {
      this.byRoom.delete(room)
      this.#report(room, false)
    }
    this.#unnamed.clear()
  }

  #report(room: Room, recovered: boolean, count = 0): void {
    this.#emit({ room, recovered, count })
  }
}

/** Sends `resume` with the positions, to resume the rooms with history. */
export const resuming =
  (positions: Pick<Positions, 'resumption'>): MakeExtension =>
  (wire) => ({
    handlers: {},
    offer: () => positions.resumption() && 'odac.resume',
    onAccepted: () => {
      const resumption = positions.resumption()
      if (resumption) wire.control('resume', ...resumption)
    },
  })
