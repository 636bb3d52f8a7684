// Connections that have died without a close, and pages that were asleep.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { settle } from './fakes/clock'
import { Harness, opened } from './harness'

const PING = String.fromCharCode(0x1e) + '["ping"]'

test('after a ping interval without data it sends a ping, and drops the connection 10 s later', async () => {
  const { clock, socket, log, env } = await opened()
  await clock.advance(24_999)
  assert.deepEqual(socket.sent, [])
  await clock.advance(1)
  assert.deepEqual(socket.sent, [PING])
  await clock.advance(9999)
  assert.deepEqual(log.names, ['open'])
  await clock.advance(1)
  assert.deepEqual(log.take().slice(1), [['close', 1006, 'the server did not answer a ping'], ['reconnecting', 1, 3000]])
  assert.equal(socket.alive, false)
  // Data from the dropped connection is ignored.
  socket.receive('ghost').end(1000)
  assert.deepEqual(log.take(), [])
  await clock.advance(3000)
  assert.equal(env.sockets.length, 2)
})

test('any data keeps the connection', async () => {
  const { clock, socket, log } = await opened()
  for (let n = 0; n < 40; n++) {
    await clock.advance(20_000)
    if (n % 2) socket.receive('x')
    else socket.control('later')
  }
  await clock.advance(20_000)
  assert.deepEqual(new Set(log.names), new Set(['open', 'message']))
  assert.deepEqual(socket.sent, [])
})

test('the answer to a ping keeps the connection', async () => {
  const { clock, socket, log } = await opened()
  for (let n = 0; n < 5; n++) {
    await clock.advance(25_000)
    assert.equal(socket.sent.length, n + 1)
    socket.control('pong')
    // The interval counts from the answer.
    await clock.advance(10_000)
    socket.control('later')
  }
  assert.deepEqual(log.names, ['open'])
})

test('a silence right after an answer is noticed as soon as any other', async () => {
  const { clock, socket, log } = await opened()
  await clock.advance(25_000)
  socket.control('pong')
  await clock.advance(34_999)
  assert.deepEqual(log.names, ['open'])
  await clock.advance(1)
  assert.deepEqual(log.of('close'), [[1006, 'the server did not answer a ping']])
})

test("the ping interval is that of the hello", async () => {
  const harness = await new Harness().open(1)
  await harness.clock.advance(1000 + 10_000)
  assert.deepEqual(harness.log.names, ['open', 'close', 'reconnecting'])
})

test('a server without a ping interval gets no pings', async () => {
  const { clock, env, log } = new Harness()
  await settle()
  env.last.accept('')
  await clock.advance(3_600_000)
  assert.deepEqual(log.names, ['open'])
  assert.equal(clock.pending, 0)
})

test('after the machine slept, a ping is sent before the connection is dropped', async () => {
  const { clock, socket, log } = await opened()
  clock.sleep(3_600_000)
  await clock.advance(25_000)
  assert.deepEqual(socket.sent, [PING])
  socket.receive('waiting all the time')
  await clock.advance(10_000)
  assert.deepEqual(log.names, ['open', 'message'])
})

test('a clock that is set back does not delay the check', async () => {
  const { clock, socket, log } = await opened()
  await clock.advance(1000)
  clock.setBack(3_600_000)
  await clock.advance(24_000)
  assert.deepEqual(socket.sent, [PING])
  // The same between a ping and its answer.
  clock.setBack(3_600_000)
  socket.control('pong')
  await clock.advance(10_000)
  assert.deepEqual(log.names, ['open'])
  await clock.advance(25_000 + 10_000)
  assert.deepEqual(log.names, ['open', 'close', 'reconnecting'])
})

test('wake sends a ping at once', async () => {
  const { clock, socket, log, connection } = await opened()
  connection.wake()
  assert.deepEqual(socket.sent, [PING])
  await clock.advance(10_000)
  assert.deepEqual(log.names, ['open', 'close', 'reconnecting'])
})

test('a connection is closed when its page enters the back/forward cache, and opened when it returns', async () => {
  const harness = await opened()
  const { clock, connection, log, env } = harness
  connection.suspend(true)
  assert.deepEqual([connection.state, env.last.alive, clock.pending], [3, false, 0])
  assert.deepEqual(log.take().slice(1), [['close', 1001, '']])
  assert.equal(connection.send('kept'), true)
  await clock.advance(600_000)
  assert.equal(env.sockets.length, 1)
  connection.wake()
  await harness.open()
  assert.deepEqual(log.take(), [['open']])
  assert.deepEqual(env.last.sent, ['kept'])
})

test('the same for an attempt, and for a scheduled retry', async () => {
  const waiting = await opened()
  waiting.socket.end()
  const connecting = new Harness()
  for (const { connection, clock, env } of [waiting, connecting]) {
    connection.suspend(true)
    await clock.advance(600_000)
    assert.equal(connection.state, 3)
    assert.ok(env.sockets.every(({ alive }) => !alive))
    const before = env.sockets.length
    connection.wake()
    await settle()
    assert.equal(env.sockets.length, before + 1)
  }
})

test('the connection of a page that is unloaded for good, or frozen, is left to the browser', async () => {
  for (const persisted of [false, undefined]) {
    const { connection, env } = await opened()
    connection.suspend(persisted)
    assert.deepEqual([connection.state, env.last.alive], [1, true])
  }
})

test('a closed connection stays closed when its page returns from the cache', async () => {
  const { connection, env, log } = await opened()
  connection.close()
  env.last.end(1000)
  log.take()
  connection.suspend(true)
  connection.wake()
  await settle()
  assert.deepEqual([env.sockets.length, log.take()], [1, []])
})

test('repeated wakes do not delay the end of a dead connection', async () => {
  const { connection, clock, socket, log } = await opened()
  for (let looks = 0; looks < 5; looks++) {
    connection.wake()
    await clock.advance(4_000)
  }
  assert.deepEqual(log.of('close'), [[1006, 'the server did not answer a ping']])
  assert.deepEqual(socket.sent, [PING])
})

test('after offline, a dead connection is dropped in 10 s, and there is no attempt without a network', async () => {
  const { connection, clock, env, log } = await opened()
  connection.probe()
  env.isOnline = false
  await clock.advance(10_000)
  assert.deepEqual(log.of('close'), [[1006, 'the server did not answer a ping']])
  connection.probe()
  await clock.advance(29_000)
  assert.equal(env.sockets.length, 1)
})
