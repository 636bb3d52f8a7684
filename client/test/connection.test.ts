// Opening, sending, receiving and closing.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { settle } from './fakes/clock'
import { FakeEnvironment } from './fakes/environment'
import { Harness, opened } from './harness'

const MARK = String.fromCharCode(0x1e)

test('open is emitted at the hello, not at the handshake, so that a refused connection was never open', async () => {
  const { connection, env, log } = new Harness()
  assert.equal(connection.state, 0)
  await settle()
  env.last.accept()
  assert.deepEqual([connection.state, log.names], [0, []])
  env.last.hello()
  assert.deepEqual([connection.state, log.names], [1, ['open']])
  assert.equal(env.last.binaryType, 'arraybuffer')
})

test('a connection to a server without odac.v1 opens at the handshake, and no text is a control message', async () => {
  const { connection, env, log } = new Harness()
  await settle()
  env.last.accept('')
  assert.equal(connection.state, 1)
  env.last.receive(MARK + '["ping"]')
  assert.deepEqual(log.of('message'), [[MARK + '["ping"]']])
  connection.send(MARK + 'x')
  assert.deepEqual(env.last.sent, [MARK + 'x'])
})

test('over odac.v1, text that looks like a control message is escaped, in both directions', async () => {
  const { connection, socket, log } = await opened()
  connection.send(MARK + '["ping"]')
  assert.deepEqual(socket.sent, [MARK + MARK + '["ping"]'])
  socket.receive(MARK + MARK + 'x')
  assert.deepEqual(log.of('message'), [[MARK + 'x']])
})

test('a ping is answered, a second hello, unknown kinds and malformed messages are ignored', async () => {
  const { connection, socket, log } = await opened()
  socket.control('ping')
  assert.deepEqual(socket.sent, [MARK + '["pong"]'])
  socket.hello().control('later', { a: 1 }).control().receive(MARK + '{').control('__proto__')
  assert.deepEqual(log.names, ['open'])
  assert.equal(connection.state, 1)
})

test('messages sent before the connection is open are queued and sent in order', async () => {
  const harness = new Harness()
  const { connection, log } = harness
  const buffer = new ArrayBuffer(1)
  assert.ok(connection.send('1') && connection.send(buffer) && connection.send(MARK))
  await settle()
  harness.socket.accept()
  assert.deepEqual(harness.socket.sent, [])
  harness.socket.hello()
  assert.deepEqual(harness.socket.sent, ['1', buffer, MARK + MARK])
  assert.deepEqual(log.names, ['open'])
})

test('the queue is kept during an outage, in order, and nothing is sent twice', async () => {
  const harness = await opened()
  const { connection, clock } = harness
  connection.send('before')
  const first = harness.socket.end()
  connection.send('a')
  connection.send('b')
  await clock.advance(3000)
  connection.send('c')
  await harness.open()
  connection.send('d')
  assert.deepEqual(first.sent, ['before'])
  assert.deepEqual(harness.socket.sent, ['a', 'b', 'c', 'd'])
})

test('a message sent after the peer began to close is kept for the next connection', async () => {
  const harness = await opened()
  const { connection, clock, socket } = harness
  // `WebSocket.send` would drop it without an error.
  socket.readyState = 2
  assert.equal(connection.send('late'), true)
  socket.end(1001)
  await clock.advance(3000)
  await harness.open()
  assert.deepEqual(harness.socket.sent, ['late'])
})

test('a hello that comes together with a close frame does not lose the queue', async () => {
  const harness = new Harness()
  harness.connection.send('kept')
  await settle()
  harness.socket.accept()
  harness.socket.readyState = 2
  harness.socket.hello().end(1012)
  await harness.clock.advance(3000)
  await harness.open()
  assert.deepEqual(harness.socket.sent, ['kept'])
})

test('past the bounds of the queue, send returns false and emits an error', async () => {
  const { connection, log } = new Harness()
  for (let n = 0; n < 256; n++) assert.equal(connection.send('x'), true)
  assert.equal(connection.send('x'), false)
  assert.match(String(log.of('error')[0]?.[0]), /send queue is full/)
  assert.equal(connection.ended, false)
})

test('close on an open connection waits for the peer, and is final', async () => {
  const { connection, socket, log, clock, env } = await opened()
  connection.close()
  assert.deepEqual([connection.state, socket.closed], [2, [1000, '']])
  assert.deepEqual(log.names, ['open'])
  connection.close()
  socket.end(1000)
  assert.equal(connection.state, 3)
  assert.deepEqual(log.take().slice(1), [['close', 1000, '']])
  assert.equal(connection.send('x'), false)
  assert.match(String(log.of('error')[0]?.[0]), /the connection is closed/)
  connection.wake()
  await clock.advance(600_000)
  assert.equal(env.sockets.length, 1)
  assert.equal(clock.pending, 0)
})

test('messages that arrive after close was called are still emitted', async () => {
  const { connection, socket, log } = await opened()
  connection.close()
  socket.receive('last')
  socket.end(1000)
  assert.deepEqual(log.names, ['open', 'message', 'close'])
})

test('close takes a code and a reason', async () => {
  const { connection, socket } = await opened()
  connection.close(3333, 'enough')
  assert.deepEqual(socket.closed, [3333, 'enough'])
})

test('a peer that does not confirm the close is dropped after 20 s', async () => {
  const { connection, log, clock } = await opened()
  connection.close()
  await clock.advance(19_999)
  assert.equal(connection.state, 2)
  await clock.advance(1)
  assert.deepEqual([connection.state, log.of('close')], [3, [[1006, 'the server did not confirm the close']]])
})

for (const [when, prepare] of [
  ['before anything happened', async () => {}],
  ['while the token is fetched', async () => settle()],
  ['during the handshake', async () => settle()],
  [
    'between handshake and hello',
    async ({ env }: Harness) => {
      await settle()
      env.last.accept()
    },
  ],
  [
    'during the wait for a retry',
    async ({ env }: Harness) => {
      await settle()
      env.last.fail()
    },
  ],
] as const) {
  test(`close ${when} ends the connection for good`, async () => {
    const env = new FakeEnvironment()
    if (when.includes('token')) env.answer = () => new Promise(() => {})
    const harness = new Harness({}, env)
    const { connection, log, clock } = harness
    connection.send('dropped')
    await prepare(harness)
    const sockets = env.sockets.length
    log.take()
    connection.close()
    assert.equal(connection.state, 3)
    await clock.advance(600_000)
    assert.deepEqual(log.take(), [['close', 1000, '']])
    assert.equal(env.sockets.length, sockets)
    assert.ok(env.sockets.every(({ alive }) => !alive))
    assert.equal(clock.pending, 0)
  })
}

test('a token that arrives after close is ignored', async () => {
  const env = new FakeEnvironment()
  let answer: (credentials: { token: string }) => void = () => {}
  env.answer = () => new Promise((resolve) => (answer = resolve))
  const { connection } = new Harness({}, env)
  await settle()
  connection.close()
  answer({ token: 't' })
  await settle()
  assert.equal(env.sockets.length, 0)
})

test('close within a close listener stops the retries', async () => {
  const harness = await opened()
  const { connection, env, clock, log } = harness
  const { sink } = log
  Object.assign(connection, {
    emit: (event: 'close', ...args: unknown[]) => {
      sink(event, ...args)
      if (event === 'close' && args[0] === 1006) connection.close()
    },
  })
  harness.socket.end()
  await clock.advance(600_000)
  assert.deepEqual(log.take(), [['open'], ['close', 1006, ''], ['close', 1000, '']])
  assert.equal(env.sockets.length, 1)
})
