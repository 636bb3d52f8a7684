// When the client retries.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { settle } from './fakes/clock'
import { FakeEnvironment } from './fakes/environment'
import { Harness, opened } from './harness'
import { vectors } from './vectors'

for (const { code, then } of vectors.close_codes) {
  test(`after ${code}: ${then}`, async () => {
    const { env, socket, connection, clock, log } = await opened()
    socket.end(code, 'why')
    assert.deepEqual(log.of('close'), [[code, 'why']])
    assert.equal(connection.ended, then === 'stay')
    assert.equal(log.names.includes('reconnecting'), then !== 'stay')
    await clock.advance(then === 'fresh-token-once' ? 0 : 3000)
    assert.equal(env.sockets.length, then === 'stay' ? 1 : 2)
    if (then === 'stay') assert.equal(clock.pending, 0)
  })
}

test('autoReconnect: false stays closed', async () => {
  const { env, socket, connection, clock } = await opened({ autoReconnect: false })
  socket.end()
  assert.equal(connection.ended, true)
  await clock.advance(600_000)
  assert.equal(env.sockets.length, 1)
})

test('each delay is 1.5 times the last, at most 30 s, and reported', async () => {
  const { env, clock, log } = await opened({ maxReconnectAttempts: 9 })
  env.last.end()
  for (const _ of Array(9)) {
    const [attempt, delay] = log.of('reconnecting').at(-1) as [number, number]
    const before = env.sockets.length
    await clock.advance(delay - 1)
    assert.equal(env.sockets.length, before)
    await clock.advance(1)
    assert.equal(env.sockets.length, before + 1)
    assert.equal(attempt, before)
    env.last.fail()
  }
  const delays = log.of('reconnecting').map(([, delay]) => delay)
  assert.deepEqual(delays, [3000, 4500, 6750, 10125, 15188, 22781, 30000, 30000, 30000])
})

test('delays are scaled by a random factor from a half up', async () => {
  const env = new FakeEnvironment()
  env.randomness = 0
  const { log } = await opened({}, env)
  env.last.end()
  assert.deepEqual(log.of('reconnecting'), [[1, 1500]])
})

test('after the last attempt there is an error, and the queue is kept', async () => {
  const harness = await opened({ maxReconnectAttempts: 2 })
  const { env, clock, log, connection } = harness
  env.last.end()
  await clock.advance(3000)
  env.last.fail()
  await clock.advance(4500)
  log.take()
  env.last.fail()
  assert.deepEqual(log.names, ['error', 'close', 'error'])
  assert.match(String(log.of('error')[1]?.[0]), /gave up after 2 attempts/)
  assert.deepEqual([connection.state, connection.send('kept'), clock.pending], [3, true, 0])
  await clock.advance(600_000)
  assert.equal(env.sockets.length, 3)
  // When the page becomes visible again, there is one more attempt.
  connection.wake()
  await harness.open()
  assert.deepEqual(env.last.sent, ['kept'])
})

test('maxReconnectAttempts: 0 never retries', async () => {
  const { env, clock } = await opened({ maxReconnectAttempts: 0 })
  env.last.end()
  await clock.advance(600_000)
  assert.equal(env.sockets.length, 1)
})

test('the count of retries begins again after 5 s of an open connection, and not before', async () => {
  const harness = await opened()
  const { env, clock, log } = harness
  env.last.end()
  await clock.advance(3000)
  await harness.open()
  await clock.advance(4999)
  env.last.end()
  await clock.advance(4500)
  await harness.open()
  await clock.advance(5000)
  env.last.end()
  assert.deepEqual(log.of('reconnecting'), [
    [1, 3000],
    [2, 4500],
    [1, 3000],
  ])
})

test('a server that does not answer the handshake, or sends no hello, is dropped after 20 s', async () => {
  for (const accept of [false, true]) {
    const { env, clock, log } = new Harness()
    await settle()
    if (accept) env.last.accept()
    await clock.advance(20_000)
    assert.deepEqual(log.names, ['close', 'reconnecting'])
    assert.equal(env.last.alive, false)
  }
})

test('after a drain, the retry waits as long as the server asked, from the close on, without jitter', async () => {
  const { env, socket, clock, log } = await opened()
  env.randomness = 0
  socket.control('drain', 7000)
  await clock.advance(20_000)
  assert.deepEqual([env.sockets.length, log.names], [1, ['open']])
  socket.receive('still served').end(1001)
  assert.deepEqual(log.of('reconnecting'), [[1, 7000]])
  await clock.advance(6999)
  assert.equal(env.sockets.length, 1)
  await clock.advance(1)
  assert.equal(env.sockets.length, 2)
  // Once: the next delay is the ordinary one.
  env.last.fail()
  assert.deepEqual(log.of('reconnecting').at(-1), [2, 2250])
})

test('a drain of 0 ms reconnects at once', async () => {
  const { env, socket, clock } = await opened()
  socket.control('drain', 0).end(1001)
  await clock.advance(0)
  assert.equal(env.sockets.length, 2)
})

test('wake retries at once, and makes no attempt while one is under way or the connection is open', async () => {
  const harness = await opened()
  const { env, connection, clock, log } = harness
  env.last.end()
  connection.wake()
  await settle()
  assert.equal(env.sockets.length, 2)
  // While an attempt is under way there is nothing to do.
  connection.wake()
  await settle()
  assert.equal(env.sockets.length, 2)
  await harness.open()
  connection.wake()
  await clock.advance(0)
  assert.deepEqual([env.sockets.length, log.names], [2, ['open', 'close', 'reconnecting', 'open']])
})

test('wake in a close listener makes one attempt, not two', async () => {
  const { connection, socket, clock, env, log } = await opened()
  const { sink } = log
  Object.assign(connection, {
    emit: (event: 'close', ...args: unknown[]) => {
      sink(event, ...args)
      if (event === 'close') connection.wake()
    },
  })
  socket.end()
  await clock.advance(20_000 - 1)
  assert.deepEqual([env.sockets.length, log.names], [2, ['open', 'close']])
})

test('without a network, attempts are rare and not counted', async () => {
  const env = new FakeEnvironment()
  const { clock, log, connection } = await opened({ maxReconnectAttempts: 3 }, env)
  env.isOnline = false
  env.last.end()
  for (let n = 0; n < 20; n++) {
    await clock.advance(30_000)
    env.last.fail()
  }
  assert.equal(env.sockets.length, 21)
  assert.ok(log.of('reconnecting').every(([attempt, delay]) => attempt === 1 && delay === 30_000))
  env.isOnline = true
  connection.wake()
  await settle()
  env.last.fail()
  assert.deepEqual(log.of('reconnecting').at(-1), [1, 3000])
})

test('without a network, a delay of 0 does not retry without a pause', async () => {
  const env = new FakeEnvironment()
  const { log } = await opened({ reconnectDelay: 0 }, env)
  env.isOnline = false
  env.last.end()
  assert.deepEqual(log.of('reconnecting'), [[1, 30_000]])
})

test('an address that the browser refuses is an error, not an exception', async () => {
  const env = new FakeEnvironment()
  env.refusal = new DOMException('insecure', 'SecurityError')
  const { log } = new Harness({}, env)
  await settle()
  assert.deepEqual(log.events.slice(0, 2), [['error', env.refusal], ['close', 1006, '']])
})
