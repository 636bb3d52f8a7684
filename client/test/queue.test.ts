import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SendQueue } from '../src/queue'

test('256 messages, in order, and not one more', () => {
  const queue = new SendQueue()
  for (let n = 0; n < 256; n++) assert.equal(queue.add(String(n)), true)
  assert.equal(queue.add('too many'), false)
  assert.deepEqual(queue.take(), Array.from({ length: 256 }, (_, n) => String(n)))
  assert.equal(queue.add('again'), true)
})

const MIB = 1 << 20
for (const [name, make] of [
  ['ASCII', (size: number) => 'x'.repeat(size)],
  ['two-byte characters', (size: number) => 'é'.repeat(size / 2)],
  ['a buffer', (size: number) => new ArrayBuffer(size)],
  ['a Blob', (size: number) => new Blob([new Uint8Array(size)])],
] as const) {
  test(`1 MiB of ${name}, and not two bytes more`, () => {
    const queue = new SendQueue()
    assert.equal(queue.add(make(MIB + 2)), false)
    assert.equal(queue.add(make(MIB / 2)), true)
    assert.equal(queue.add(make(MIB / 2 + 2)), false)
    assert.equal(queue.add(make(MIB / 2)), true)
    assert.equal(queue.add(make(2)), false)
    assert.equal(queue.take().length, 2)
    assert.equal(queue.add(make(MIB)), true)
  })
}
