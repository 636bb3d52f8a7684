import type { OdacPresence } from '../api'
import type { MakeExtension } from '../extension'
import { Rosters } from '../presence'
import { type Position, Positions, type Resumption, resuming } from '../recovery'
import type { Sink } from '../transport'

/** For how many milliseconds, and how many, events are kept for tabs that come from the previous hub. */
const RECENT_TIME = 10_000
const MAX_RECENT = 1_000

/** The kinds of control messages about rooms. */
const KINDS = ['room', 'at', 'past', 'live', 'gap', 'left', 'here', 'diff']

/**
 * Resume each room at the lowest position of any tab, so that no tab misses a message. A tab that is further on drops
 * the messages that it already has; a tab whose position belongs to another client or log notices that by itself.
 */
const seed = (positions: Positions, resumptions: readonly Resumption[]): void => {
  const { byRoom } = positions
  byRoom.clear()
  positions.client = resumptions[0]?.[0]
  for (const [client, rooms] of resumptions) {
    for (const [room, ...position] of client === positions.client ? rooms : []) {
      const known = byRoom.get(room)
      if (!known || position[1] < known[1]) byRoom.set(room, position)
    }
  }
}

/**
 * Keeps the state of the rooms that the hub's connection is in, for tabs that join later, and resumes the rooms of the
 * previous hub: `resumptions` returns the positions that its tabs have sent.
 */
export const roomState =
  (resumptions: () => readonly Resumption[]): MakeExtension =>
  (wire) => {
    const positions = new Positions(() => {})
    const rosters = new Rosters()
    /** The last presence event of each room, by the room's number. */
    const presences = new Map<number, OdacPresence>()
    /** The hello of the connection, and when it arrived. */
    let hello: { client?: string } | undefined
    let helloAt = 0

    /** The previous hub's client id, and every event since this hub has resumed as that client. */
    let client: string | undefined
    let recent: Parameters<Sink>[] | undefined

    const keep = (...event: Parameters<Sink>): void => {
      if (Date.now() - helloAt > RECENT_TIME || (recent?.length ?? 0) >= MAX_RECENT) recent = undefined
      recent?.push(event)
    }
    const receive = (kind: string, number: number, ...values: unknown[]): void => {
      keep('control', kind, number, ...values)
      positions.receive(kind, number, ...values)
      const presence = rosters.receive(kind, number, ...values)
      if (presence) presences.set(number, presence)
    }
    const resumption = (): Resumption | undefined => {
      if (!hello) {
        seed(positions, resumptions())
        client = positions.client
      }
      return positions.resumption()
    }
    return {
      ...resuming({ resumption })(wire),
      handlers: {
        hello: (facts: { client?: string } = {}) => {
          if (!hello && client) recent = []
          hello = facts
          helloAt = Date.now()
          positions.onHello(facts.client)
        },
        ...Object.fromEntries(KINDS.map((kind) => [kind, (...values: [number]) => receive(kind, ...values)])),
      },
      onReceived: (payload) => {
        keep('message', payload)
        positions.arrived()
      },
      onClosed: (code) => {
        positions.lost(code)
        rosters.lost()
        presences.clear()
        recent = undefined
      },
      onTab: (emit, tabResumption) => {
        const age = Date.now() - helloAt
        emit('control', 'hello', hello, age)
        if (recent && age <= RECENT_TIME && (tabResumption as Resumption | undefined)?.[0] === client) {
          // Replay every event since; the tab drops the messages that it already has.
          for (const event of recent) emit(...event)
          return
        }
        for (const [number, room] of positions.numbers) {
          // A tab with a lower position than this has missed messages.
          emit('control', 'room', number, room, ...(positions.byRoom.get(room) as Position), 1)
          if (!positions.recovering.has(number)) emit('control', 'live', number, 0)
        }
        for (const message of positions.expected) emit('control', 'at', ...message)
        for (const [number, { room, users, total }] of presences) {
          const people = total && !users.length ? null : users.map(({ key, data }) => [key, data])
          emit('control', 'here', number, people, total, room)
        }
      },
    }
  }
