// The people in a client's rooms, by the test vectors shared with the Python client.
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
      const reported = control && rosters.receive(...(control as [string, number]))
      const found = reported && [reported.room, ...lists(reported).map(pairs), reported.total]
      assert.deepEqual(found, tells, `step ${index}`)
    })
  })
}
