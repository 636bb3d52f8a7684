// A client's positions in rooms with history: what it keeps, sends after a reconnect, and emits.
import assert from 'node:assert/strict'
import { afterEach, beforeEach, mock, test } from 'node:test'
import type { OdacRecovery } from '../src/api'
import { Connection } from '../src/connection'
import { byteLength } from '../src/queue'
import { Positions, resuming } from '../src/recovery'
import { type Page, Socket } from '../src/socket'
import { settle } from './fakes/clock'
import { FakeEnvironment } from './fakes/environment'
import { DEFAULTS } from './harness'
import { recoveryVectors } from './vectors'

const MARK = String.fromCharCode(0x1e)

beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }))
afterEach(() => mock.timers.reset())

for (const { why, steps } of recoveryVectors.cases) {
  test(`vector: ${why}`, () => {
    const reported: unknown[] = []
    const positions = new Positions(({ room, recovered, count }) => reported.push([room, recovered, count]))
    steps.forEach((step, index) => {
      const [kind, ...values] = step.control ?? []
      // The hello marks a new connection.
      if (kind === 'hello') positions.onHello((values[0] as { client?: string }).client)
      else if (kind) positions.receive(kind, ...(values as [number]))
      if (step.message) positions.arrived()
      if (step.close) positions.lost(step.close)
      if (step.overdue) mock.timers.tick(10_000)
      assert.deepEqual(reported.splice(0), step.tells ?? [], `step ${index}`)
      if ('resume' in step) assert.deepEqual(positions.resumption() ?? null, step.resume, `step ${index}`)
    })
  })
}

const filled = (rooms: number, name: (n: number) => string): Positions => {
  const positions = new Positions(() => {})
  positions.onHello('S1')
  for (let n = 0; n < rooms; n++) positions.receive('room', n, name(n), 'E', n, 'T', 0)
  return positions
}

test('at most the newest 128 positions and 64 KiB are sent', () => {
  const [, rooms] = filled(130, (n) => `r${n}`).resumption() ?? assert.fail()
  assert.deepEqual([rooms.length, rooms[0]?.[0], rooms.at(-1)?.[0]], [128, 'r2', 'r129'])
  // Each of these characters is three bytes.
  const long = filled(128, (n) => '€'.repeat(400) + n).resumption() ?? assert.fail()
  assert.ok(byteLength(MARK + JSON.stringify(['resume', ...long])) <= 64 * 1024)
  assert.ok(long[1].length >= 30)
  assert.match(String(long[1].at(-1)?.[0]), /127$/)
})

test('the 10 seconds count from the last hello, and not while there is no connection', () => {
  const reported: OdacRecovery[] = []
  const positions = new Positions((recovery) => reported.push(recovery))
  positions.onHello('S1')
  positions.receive('room', 1, 'chat', 'E', 1, 'T', 0)
  positions.lost(1006)
  positions.onHello('S2')
  mock.timers.tick(9_999)
  positions.lost(1006)
  mock.timers.tick(60_000)
  positions.onHello('S3')
  mock.timers.tick(9_999)
  assert.deepEqual(reported, [])
  mock.timers.tick(1)
  assert.deepEqual(reported, [{ room: 'chat', recovered: false, count: 0 }])
})

test('a message that the page already had, as in a tab that was further on than the others, is dropped and not counted', () => {
  const reported: OdacRecovery[] = []
  const positions = new Positions((recovery) => reported.push(recovery))
  positions.onHello('S1')
  positions.receive('room', 1, 'chat', 'E', 7, 'T', 0)
  positions.onHello('S2')
  positions.receive('room', 2, 'chat', 'E', 5, 'T', 1)
  positions.receive('at', 2, 6, 7, 8)
  assert.deepEqual([positions.arrived(), positions.arrived(), positions.arrived()], [false, false, true])
  positions.receive('live', 2, 3)
  assert.deepEqual(reported, [{ room: 'chat', recovered: true, count: 1 }])
})

for (const [why, epoch, offset] of [
  ['that was behind', 'E', 4],
  ['of another log', 'F', 5],
] as const) {
  test(`a tab ${why} gets recovered: false`, () => {
    const reported: OdacRecovery[] = []
    const positions = new Positions((recovery) => reported.push(recovery))
    positions.receive('room', 1, 'chat', epoch, offset, 'T', 0)
    positions.onHello('S2')
    positions.receive('room', 2, 'chat', 'E', 5, 'T', 1)
    positions.receive('live', 2, 0)
    assert.deepEqual(reported, [{ room: 'chat', recovered: false, count: 0 }])
  })
}

/** A page's socket over a connection of its own. */
const page = () => {
  const env = new FakeEnvironment()
  const socket = new Socket(new EventTarget() as unknown as Page, (sink, _, positions) => {
    const extensions = [resuming(positions)]
    return new Connection(env, 'ws://site/chat', DEFAULTS, sink, extensions)
  })
  const log: unknown[] = []
  for (const name of ['open', 'message', 'close', 'recover', 'presence']) {
    socket.on(name, (...args: unknown[]) => log.push([name, ...args]))
  }
  const hello = (client?: string): void => void env.last.control('hello', { id: 'c.0', ping: 25, version: 1, client })
  return { env, socket, log, hello }
}

test('the first attempt offers nothing; a later one sends its positions first', async () => {
  const { env, log, hello } = page()
  await settle()
  env.last.accept()
  assert.deepEqual([env.last.protocols, env.last.sent], [['odac.v1', 'odac-token-t1'], []])
  hello('S1')
  env.last.control('room', 1, 'chat', 'E1', 0, 'T1', 0).control('at', 1, 1, 2).receive('"a"').end()
  await env.clock.advance(3000)
  assert.deepEqual(env.last.protocols, ['odac.v1', 'odac.resume', 'odac-token-t2'])
  env.last.accept()
  assert.deepEqual(env.last.sent, [MARK + '["resume","S1",[["chat","E1",1,"T1"]]]'])
  hello('S2')
  env.last.control('room', 5, 'chat', 'E1', 1, 'T2', 1).control('at', 5, 2).receive('"b"').control('live', 5, 1)
  assert.deepEqual(log, [
    ['open'],
    ['message', 'a'],
    ['close', 1006, ''],
    ['open'],
    ['message', 'b'],
    ['recover', { room: 'chat', recovered: true, count: 1 }],
  ])
})

test('the position is advanced before the listener gets the message: if the connection breaks there, it is not sent again', async () => {
  const { env, socket, hello } = page()
  await settle()
  env.last.accept()
  hello('S1')
  socket.on('message', () => env.last.end())
  env.last.control('room', 1, 'chat', 'E1', 0, 'T1', 0).control('at', 1, 1, 2).receive('"a"')
  await env.clock.advance(3000)
  env.last.accept()
  assert.deepEqual(env.last.sent, [MARK + '["resume","S1",[["chat","E1",1,"T1"]]]'])
})

test('a server that selects no subprotocol gets no resume', async () => {
  const { env, hello } = page()
  await settle()
  env.last.accept()
  hello('S1')
  env.last.control('room', 1, 'chat', 'E1', 0, 'T1', 0).end()
  await env.clock.advance(3000)
  env.last.accept('')
  assert.deepEqual(env.last.sent, [])
})

test('after 4001 or 4003 there is no attempt that could send the positions', async () => {
  for (const code of [4001, 4003]) {
    const { env, socket, hello } = page()
    await settle()
    env.last.accept()
    hello('S1')
    env.last.control('room', 1, 'chat', 'E1', 0, 'T1', 0).end(code)
    await env.clock.advance(60_000)
    assert.deepEqual([env.sockets.length, socket.state], [1, 3])
  }
})

test('after a reconnect, presence has only what changed meanwhile', async () => {
  const { env, log, hello } = page()
  await settle()
  env.last.accept()
  hello()
  env.last.control('here', 1, [['a', { name: 'Ada' }]], 1, 'tea').end()
  await env.clock.advance(3000)
  env.last.accept()
  hello()
  env.last.control('here', 4, [['a', { name: 'Ada' }], ['b', 2]], 2, 'tea')
  const [ada, bob] = [{ key: 'a', data: { name: 'Ada' } }, { key: 'b', data: 2 }]
  assert.deepEqual(log, [
    ['open'],
    ['presence', { room: 'tea', users: [ada], joined: [ada], changed: [], left: [], total: 1 }],
    ['close', 1006, ''],
    ['open'],
    ['presence', { room: 'tea', users: [ada, bob], joined: [bob], changed: [], left: [], total: 2 }],
  ])
})
