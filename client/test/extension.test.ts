// When the hooks of an extension are called.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Extension, MakeExtension, Wire } from '../src/extension'
import { settle } from './fakes/clock'
import { FakeEnvironment } from './fakes/environment'
import { Harness } from './harness'
import { Bench } from './shared/harness'

const MARK = String.fromCharCode(0x1e)

/** A connection with one extension, whose calls are recorded among the connection's events. */
const watched = (extension: (wire: Wire, note: (...call: unknown[]) => void) => Partial<Extension>) => {
  const env = new FakeEnvironment()
  let harness!: Harness
  let wire!: Wire
  const make: MakeExtension = (given) => {
    wire = given
    return { handlers: {}, ...extension(given, (...call) => harness.log.events.push(call)) }
  }
  harness = new Harness({}, env, [make])
  return { harness, env, log: harness.log, wire }
}

test('a control message goes to the handler of its kind, with its values; malformed ones are ignored', async () => {
  const { harness, env, log } = watched((_, note) => ({ handlers: { seen: (...values) => note('seen', ...values) } }))
  await harness.open()
  env.last.control('seen', 1, { a: [] }).control('seen').control('other', 1).control('toString').control()
  env.last.receive(MARK + '{').receive(MARK + '[["seen"]]')
  assert.deepEqual(log.take(), [['open'], ['seen', 1, { a: [] }], ['seen']])
})

test('an extension gets the hello before the connection opens, and both before the queue is sent', async () => {
  const { harness, env, log } = watched((wire, note) => ({
    handlers: { hello: (facts: { id: string }) => note('hello', facts.id) },
    onOpened: () => note('opened', wire.control('first'), env.last.sent.length),
  }))
  harness.connection.send('queued')
  await harness.open()
  assert.deepEqual(log.take(), [['hello', 'c1'], ['opened', true, 1], ['open']])
  assert.deepEqual(env.last.sent, [MARK + '["first"]', 'queued'])
})

test('onAccepted may send before the hello, to an odac.v1 server only', async () => {
  const { harness, env } = watched((wire) => ({ onAccepted: () => void wire.control('resume', [['room', 1]]) }))
  await settle()
  env.last.accept()
  assert.deepEqual(env.last.sent, [MARK + '["resume",[["room",1]]]'])
  env.last.end()
  await env.clock.advance(3000)
  env.last.accept('')
  assert.deepEqual([env.last.sent, harness.connection.state], [[], 1])
})

test("an extension's subprotocol is offered between odac.v1 and the token, in each handshake that has one", async () => {
  let offered: string | undefined = 'odac.more'
  const { harness, env } = watched(() => ({ offer: () => offered }))
  await harness.open()
  assert.deepEqual(env.last.protocols, ['odac.v1', 'odac.more', 'odac-token-t1'])
  offered = undefined
  env.last.end()
  await env.clock.advance(3000)
  assert.deepEqual(env.last.protocols, ['odac.v1', 'odac-token-t2'])
})

test('onReceived is called before a message is emitted, and not for control messages', async () => {
  const { harness, env, log } = watched((_, note) => ({ onReceived: (payload) => note('received', payload) }))
  await harness.open()
  env.last.receive('a').control('ping').receive(MARK + MARK + 'b')
  assert.deepEqual(log.take().slice(1), [
    ['received', 'a'],
    ['message', 'a'],
    ['received', MARK + 'b'],
    ['message', MARK + 'b'],
  ])
})

test('onClosed is called before each close event, with whether it is final', async () => {
  const { harness, env, log } = watched((_, note) => ({ onClosed: (code, final) => note('closed', code, final) }))
  await harness.open()
  env.last.end(1012)
  await env.clock.advance(3000)
  await harness.open()
  env.last.end(4001)
  assert.deepEqual(log.events.filter(([name]) => String(name).startsWith('close')), [
    ['closed', 1012, false],
    ['close', 1012, ''],
    ['closed', 4001, true],
    ['close', 4001, ''],
  ])
})

test('control returns false where no odac.v1 server is connected', async () => {
  const { harness, env, wire } = watched(() => ({}))
  assert.equal(wire.control('early'), false)
  await settle()
  env.last.accept('')
  assert.equal(wire.control('to a plain server'), false)
  env.last.end()
  await env.clock.advance(3000)
  await harness.open()
  env.last.readyState = 2
  assert.deepEqual([wire.control('late'), env.last.sent], [false, []])
})

test('in shared mode every tab gets what an extension emits, and only the new tab what onTab emits', async () => {
  const bench = new Bench('worker', [
    (wire) => ({
      handlers: { note: (text: string) => wire.emit('error', new Error(text)) },
      onTab: (emit) => emit('error', new Error('for the late')),
    }),
  ])
  const [first, second] = await bench.opened(2)
  assert.deepEqual([first?.log.names, second?.log.names], [['open'], ['open', 'error']])
  bench.only.control('note', 'for all')
  await settle()
  const reported = [first, second].map((member) => member?.log.of('error').map(([error]) => String(error)))
  assert.deepEqual(reported, [['Error: for all'], ['Error: for the late', 'Error: for all']])
})

test('in shared mode a control message of any tab is sent over the one connection', async () => {
  const bench = new Bench('worker')
  const [first, second] = await bench.opened(2)
  assert.deepEqual([first?.link.control('a', 1), second?.link.control('b')], [true, true])
  await settle()
  assert.deepEqual(bench.only.sent, [MARK + '["a",1]', MARK + '["b"]'])
  bench.only.end()
  await settle()
  assert.equal(second?.link.control('c'), false)
})
