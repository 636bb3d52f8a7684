import type { OdacPresence } from '../api'
import type { MakeExtension } from '../extension'
import { Rosters } from '../presence'
import { type Place, Positions, type Resumption, resuming } from '../recovery'
import type { Sink } from '../transport'

/** How long, in milliseconds, and how many events are kept for tabs that come over from the previous hub. */
const KEPT_FOR = 10_000
const KEPT = 1_000

/** The kinds of control messages about rooms. */
const KINDS = ['room', 'at', 'past', 'live', 'gap', 'left', 'here', 'diff']

/**
 * Resume each room at the lowest position of any tab, so that no tab misses a message. A tab that is further on drops
 * the messages that it has had; a tab whose position belongs to another client or log notices that by itself.
 */
const seed = (positions: Positions, resumptions: readonly Resumption[]): void => {
  const { places } = positions
  places.clear()
  positions.client = resumptions[0]?.[0]
  for (const [client, rooms] of resumptions) {
    for (const [room, ...place] of client === positions.client ? rooms : []) {
      const known = places.get(room)
      if (!known || place[1] < known[1]) places.set(room, place)
    }
  }
}

/**
 * Keeps what the hub's connection has heard about rooms, for tabs that join later, and resumes the rooms that the
 * previous hub was in: `resumptions` returns the positions that its tabs have brought.
 */
export const remembering =
  (resumptions: () => readonly Resumption[]): MakeExtension =>
  (wire) => {
    const positions = new Positions(() => {})
    const rosters = new Rosters()
    /** The last presence event of each room, by the room's number. */
    const news = new Map<number, OdacPresence>()
    /** The hello of the connection, and when it arrived. */
    let hello: { client?: string } | undefined
    let since = 0

    /** The previous hub's client id, and every event since this hub has resumed as that client. */
    let client: string | undefined
    let recent: Parameters<Sink>[] | undefined

    const keep = (...event: Parameters<Sink>): void => {
      if (Date.now() - since > KEPT_FOR || (recent?.length ?? 0) >= KEPT) recent = undefined
      recent?.push(event)
    }
    const hear = (kind: string, number: number, ...values: unknown[]): void => {
      keep('control', kind, number, ...values)
      positions.receive(kind, number, ...values)
      const presence = rosters.receive(kind, number, ...values)
      if (presence) news.set(number, presence)
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
          since = Date.now()
          positions.greeted(facts.client)
        },
        ...Object.fromEntries(KINDS.map((kind) => [kind, (...values: [number]) => hear(kind, ...values)])),
      },
      onReceived: (payload) => {
        keep('message', payload)
        positions.arrived()
      },
      onClosed: (code) => {
        positions.lost(code)
        rosters.lost()
        news.clear()
        recent = undefined
      },
      onTab: (emit, memory) => {
        const age = Date.now() - since
        emit('control', 'hello', hello, age)
        if (recent && age <= KEPT_FOR && (memory as Resumption | undefined)?.[0] === client) {
          // Replay every event since; the tab drops the messages that it has had.
          for (const event of recent) emit(...event)
          return
        }
        for (const [number, room] of positions.numbers) {
          // A tab with a lower position than this has missed messages.
          emit('control', 'room', number, room, ...(positions.places.get(room) as Place), 1)
          if (!positions.recovering.has(number)) emit('control', 'live', number, 0)
        }
        for (const message of positions.expected) emit('control', 'at', ...message)
        for (const [number, { room, users, total }] of news) {
          const people = total && !users.length ? null : users.map(({ key, data }) => [key, data])
          emit('control', 'here', number, people, total, room)
        }
      },
    }
  }
