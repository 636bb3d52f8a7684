import type { OdacPerson, OdacPresence } from './api'

type Pair = [key: string, data: unknown]

const persons = (pairs: Iterable<Pair>, wanted: (pair: Pair) => unknown = Boolean): OdacPerson[] =>
  [...pairs].filter(wanted).map(([key, data]) => ({ key, data }))

/**
 * The people in each room, from the server's control messages. They are kept while there is no connection, so that the
 * event after a reconnect has only what has changed.
 */
export class Rosters {
  readonly #rooms = new Map<unknown, Map<string, unknown>>()
  /** The server's numbers of the rooms, on this connection. */
  readonly #numbers = new Map<number, unknown>()

  /** The connection is closed; the next one has other numbers. */
  lost(): void {
    this.#numbers.clear()
  }

  /** Take a control message; return the event `presence`, or undefined if the message is not about people. */
  receive(kind: string, number: number, people?: unknown, ...values: unknown[]): OdacPresence | undefined {
    const here = kind === 'here'
    if (!(here || kind === 'diff') || !(people === null || Array.isArray(people))) return undefined
    const [total, room, left] = here ? values : [values[1], this.#numbers.get(number), values[0]]
    if (typeof room !== 'string') return undefined
    this.#numbers.set(number, room)
    const before = this.#rooms.get(room) ?? new Map<string, unknown>()
    // No list: the room has too many people, and the message has the total alone.
    const pairs = (people ?? []) as Pair[]
    const now = new Map(here || !people ? pairs : [...before, ...pairs])
    for (const key of (left ?? []) as string[]) now.delete(key)
    this.#rooms.set(room, now)
    return {
      room,
      users: persons(now),
      joined: persons(now, ([key]) => !before.has(key)),
      changed: persons(
        now,
        ([key, data]) => before.has(key) && JSON.stringify(before.get(key)) !== JSON.stringify(data),
      ),
      left: persons(before, ([key]) => people && !now.has(key)),
      total: total as number,
    }
  }
}
