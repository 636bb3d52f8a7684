import type { OdacPerson, OdacPresence } from './api'

type Pair = [key: string, data: unknown]

const persons = (pairs: Iterable<Pair>): OdacPerson[] => [...pairs].map(([key, data]) => ({ key, data }))

/**
 * The people of each room, as the server's control messages tell it. They are kept while the connection is away, so
 * that coming back tells only what has changed.
 */
export class Rosters {
  readonly #rooms = new Map<unknown, Map<string, unknown>>()
  /** The server's numbers of the rooms, on this connection. */
  readonly #numbers = new Map<number, unknown>()

  /** The connection is gone; the next one has other numbers. */
  lost(): void {
    this.#numbers.clear()
  }

  /** Take a control message; return what there is to tell, or undefined where it is no news of people. */
  receive(kind: string, number: number, people?: unknown, ...values: unknown[]): OdacPresence | undefined {
    const here = kind === 'here'
    if (!(here || kind === 'diff') || !(people === null || Array.isArray(people))) return undefined
    const [total, room, left] = here ? values : [values[1], this.#numbers.get(number), values[0]]
    if (typeof room !== 'string') return undefined
    this.#numbers.set(number, room)
    const before = this.#rooms.get(room) ?? new Map<string, unknown>()
    // Without a list there are too many in the room, and the total alone is told.
    const pairs = (people ?? []) as Pair[]
    const now = new Map(here || !people ? pairs : [...before, ...pairs])
    for (const key of (left ?? []) as string[]) now.delete(key)
    this.#rooms.set(room, now)
    return {
      room,
      users: persons(now),
      joined: persons([...now].filter(([key, data]) => !before.has(key) || differ(before.get(key), data))),
      left: persons([...before].filter(([key]) => people && !now.has(key))),
      total: total as number,
    }
  }
}

const differ = (one: unknown, other: unknown): boolean =>
  one !== other && JSON.stringify(one) !== JSON.stringify(other)
