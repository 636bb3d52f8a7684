import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createContext, runInContext } from 'node:vm'
import { control, decode, encode, fromWire, toWire } from '../src/codec'
import { vectors } from './vectors'

const MARK = String.fromCharCode(0x1e)

const bytes = (payload: unknown): number[] => [...new Uint8Array(payload as ArrayBuffer)]

for (const { why, application, wire } of vectors.escaping) {
  test(`escaping: ${why}`, () => {
    assert.equal(toWire(application), wire)
    assert.equal(fromWire(wire), application)
  })
}

for (const { why, text, kind, values } of vectors.control) {
  test(`control: ${why}`, () => assert.deepEqual(fromWire(text), [kind, ...values]))
}

for (const { why, text } of vectors.malformed_control) {
  test(`malformed control: ${why}`, () => {
    const message = fromWire(text)
    assert.ok(Array.isArray(message), 'it must not reach the application')
    assert.notEqual(typeof message[0], 'string')
  })
}

test('an encoded control message is decoded as one', () => {
  assert.deepEqual(fromWire(control('pong')), ['pong'])
})

for (const data of [{ a: [1, null] }, [], 0, -1.5, true, false, null]) {
  test(`${JSON.stringify(data)} is sent as JSON`, () => {
    assert.equal(encode(data), JSON.stringify(data))
    assert.deepEqual(decode(encode(data)), data)
  })
}

test('a string is sent as it is', () => assert.equal(encode('hello'), 'hello'))

for (const data of [undefined, () => 1, Symbol('s')]) {
  test(`${typeof data} is refused`, () => assert.throws(() => encode(data), /Odac: \w+ has no JSON form/))
}

test("a typed array is sent as its own bytes, not as numbers, and not as its whole buffer", () => {
  const whole = new Uint8Array([9, 9, 1, 2, 3, 4, 9, 9])
  assert.deepEqual(bytes(encode(new Uint16Array(whole.buffer, 2, 2))), [1, 2, 3, 4])
  assert.deepEqual(bytes(encode(new DataView(whole.buffer, 2, 3))), [1, 2, 3])
  assert.deepEqual(bytes(encode(whole.buffer)), [...whole])
  assert.deepEqual(bytes(encode(new Float64Array([1]))), [0, 0, 0, 0, 0, 0, 240, 63])
})

test('a view of shared memory is copied into ordinary memory, which a WebSocket needs', () => {
  const shared = new Uint8Array(new SharedArrayBuffer(2))
  shared.set([7, 8])
  const payload = encode(shared)
  assert.ok(payload instanceof ArrayBuffer)
  assert.deepEqual(bytes(payload), [7, 8])
})

test('a change after encoding does not change the message', () => {
  const view = new Uint8Array([1])
  const payloads = [encode(view), encode(view.buffer)]
  view[0] = 2
  for (const payload of payloads) assert.deepEqual(bytes(payload), [1])
})

test('half of a surrogate pair becomes U+FFFD, as in text that a WebSocket sends: the server would close for it', () => {
  const half = '12345😀'.slice(0, 6)
  assert.equal(encode({ text: half, [half]: ['\udc00'] }), '{"text":"12345\ufffd","12345\ufffd":["\ufffd"]}')
  assert.equal(control('call', half), MARK + '["call","12345\ufffd"]')
  // An escaped backslash before `ud8…` is not half of a pair.
  for (const data of ['😀', '\\ud83d', '\\\\ud83d', '\\', '\n\ud83d\ude00\u001f']) {
    assert.deepEqual(decode(encode([data])), [data])
  }
  assert.deepEqual(decode(encode(['\\\ud83d'])), ['\\\ufffd'])
})

test('objects of the classes of another window or frame are recognized', () => {
  const frame = createContext({})
  for (const source of ['new Uint8Array([1, 2]).buffer', 'new Uint8Array([0, 1, 2]).subarray(1)', 'new DataView(new Uint8Array([1, 2]).buffer)']) {
    const payload = encode(runInContext(source, frame))
    assert.ok(payload instanceof ArrayBuffer, source)
    assert.deepEqual(bytes(payload), [1, 2])
  }
  // The Blob class of another frame.
  class Blob {
    readonly [Symbol.toStringTag] = 'Blob'
    readonly size = 3
  }
  const blob = new Blob()
  assert.equal(encode(blob), blob)
  const file = new File(['x'], 'x.txt')
  assert.equal(encode(file), file)
})

test('a SharedArrayBuffer is sent as its bytes', () => {
  const shared = new SharedArrayBuffer(2)
  new Uint8Array(shared).set([7, 8])
  assert.deepEqual(bytes(encode(shared)), [7, 8])
})

test('a Blob stays one', () => {
  const blob = new Blob(['x'])
  assert.equal(encode(blob), blob)
})

test('text that is not JSON is decoded as text, binary as it is', () => {
  assert.equal(decode('hello'), 'hello')
  assert.equal(decode('{"a":'), '{"a":')
  assert.equal(decode(''), '')
  const buffer = new ArrayBuffer(1)
  assert.equal(decode(buffer), buffer)
})

test('__proto__ in JSON is a key like any other', () => {
  const data = decode('{"__proto__": {"admin": true}}') as Record<string, unknown>
  assert.equal(data['admin'], undefined)
  assert.deepEqual(Object.keys(data), ['__proto__'])
})
