import type { OdacPresence } from '../api'
import type { MakeExtension } from '../extension'
import { Rosters } from '../presence'
import { type Place, Positions, type Resumption, resuming } from '../recovery'
import type { Sink } from '../transport'

/** How long, and for how many messages, what has come is kept for tabs that the hub before has left behind. */
const KEPT_FOR = 10_000
const KEPT = 1_000

/** The control messages of rooms. */
const KINDS = ['room', 'at', 'past', 'live', 'gap', 'left', 'here', 'diff']

/**
 * The place of each room from which every tab gets all that it has yet to have: the lowest that any knows of. A tab
 * that was further on drops what it has had; one whose place is of another client or another log notices it by itself.
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
 * What the hub's connection knows of rooms, for tabs that come later; and where it came back to after the end of the
 * hub before: `resumptions` are what the tabs have brought of it.
 */
export const remembering =
  (resumptions: () => readonly Resumption[]): MakeExtension =>
  (wire) => {
    const positions = new Positions(() => {})
    const rosters = new Rosters()
    /** The last news of each room, by its number. */
    const news = new Map<number, OdacPresence>()
    /** The hello of the connection, and when it came. */
    let hello: { client?: string } | undefined
    let since = 0

    /** The client that the hub before was, and all that has come since this one has come back as that. */
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
          // It is as if it had been there, and drops what it has had.
          for (const event of recent) emit(...event)
          return
        }
        for (const [number, room] of positions.numbers) {
          // All that came before this place: a tab that is not there has missed some.
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
