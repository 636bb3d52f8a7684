// Who is in the rooms of a client, by the vectors that the Python client's tests read too.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OdacPerson, OdacPresence } from '../src/api'
import { Rosters } from '../src/presence'
import { presenceVectors } from './vectors'

const pairs = (people: readonly OdacPerson[]): unknown[] => people.map(({ key, data }) => [key, data])

const lists = ({ users, joined, changed, left }: OdacPresence) => [users, joined, changed, left]

for (const { why, steps } of presenceVectors.cases) {
  test(why, () => {
    const rosters = new Rosters()
    steps.forEach(({ control, lost, tells }, index) => {
      if (lost) rosters.lost()
      const told = control && rosters.receive(...(control as [string, number]))
      const found = told && [told.room, ...lists(told).map(pairs), told.total]
      assert.deepEqual(found, tells, `step ${index}`)
    })
  })
}
