import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backoff } from '../src/backoff'
import { vectors } from './vectors'

test('delays agree with the shared vectors', () => {
  assert.ok(vectors.reconnect_delays.cases.length > 10)
  for (const { reconnectDelay, attempt, factor, delay } of vectors.reconnect_delays.cases) {
    // The vectors count attempts from 0, and name the factor rather than the random number that it is made of.
    const actual = backoff(attempt + 1, reconnectDelay, factor * 2 - 1)
    assert.ok(Math.abs(actual - delay) <= 0.5, `${actual} is not ${delay}`)
  }
})

test('a thousand clients spread over half of the delay', () => {
  const delays = Array.from({ length: 1000 }, () => backoff(1, 3000, Math.random()))
  assert.ok(Math.min(...delays) >= 1500 && Math.max(...delays) <= 3000)
  for (let from = 1500; from < 3000; from += 300) {
    const count = delays.filter((delay) => delay >= from && delay < from + 300).length
    assert.ok(count > 100, `only ${count} of 1000 between ${from} and ${from + 300} ms`)
  }
})
