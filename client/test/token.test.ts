// Which token is sent with the handshake, and what follows when it is refused.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { settle } from './fakes/clock'
import { FakeEnvironment } from './fakes/environment'
import { Harness, opened } from './harness'

test('odac.v1 is offered first, the token beside it', async () => {
  const { env } = await opened()
  assert.deepEqual(env.last.protocols, ['odac.v1', 'odac-token-t1'])
})

test('token: false offers odac.v1 alone and requests no token', async () => {
  const env = new FakeEnvironment()
  env.pageToken = 'page'
  await opened({ token: false }, env)
  assert.deepEqual(env.last.protocols, ['odac.v1'])
  assert.deepEqual([env.requests, env.pageToken], [0, 'page'])
})

test("the page's token is used once, then each attempt fetches a fresh one", async () => {
  const env = new FakeEnvironment()
  env.pageToken = 'page'
  const harness = await opened({}, env)
  assert.deepEqual([env.last.token, env.requests], ['page', 0])
  env.last.end()
  await env.clock.advance(3000)
  await harness.open()
  assert.equal(env.last.token, 't1')
  env.last.end()
  await env.clock.advance(4500)
  assert.equal(env.last.token, 't2')
})

test('if the endpoint does not answer, the last token that the server sent is used', async () => {
  const env = new FakeEnvironment()
  const harness = await opened({}, env)
  env.last.control('token', 'sent-1').control('token', 'sent-2')
  env.answer = async () => {
    throw new Error('down')
  }
  env.last.end()
  await env.clock.advance(3000)
  assert.equal(env.last.token, 'sent-2')
  // A fetched token is preferred, because it is newer.
  env.answer = async () => ({ token: 'fetched' })
  env.last.fail()
  await env.clock.advance(4500)
  assert.equal(env.last.token, 'fetched')
  assert.deepEqual(harness.log.of('error').length, 1)
})

test('a token that the server sent is dropped when one is refused, so that a new one is fetched', async () => {
  const env = new FakeEnvironment()
  await opened({}, env)
  env.last.control('token', 'stale')
  env.answer = async () => {
    throw new Error('down')
  }
  env.last.end()
  await env.clock.advance(3000)
  env.last.accept().end(4002)
  await env.clock.advance(0)
  assert.equal(env.sockets.length, 2)
  env.answer = async () => ({ token: 'fetched' })
  await env.clock.advance(30_000)
  assert.equal(env.last.token, 'fetched')
})

test('a token that the server sent is used until the endpoint answers', async () => {
  const env = new FakeEnvironment()
  await opened({}, env)
  env.last.control('token', 'sent').control('drain', 0)
  env.answer = async () => {
    throw new Error('down')
  }
  env.last.end(1001)
  await env.clock.advance(0)
  env.last.fail()
  await env.clock.advance(4500)
  assert.deepEqual([env.sockets.length, env.last.token], [3, 'sent'])
})

test('an endpoint that does not answer ends the attempt with an error', async () => {
  const env = new FakeEnvironment()
  const down = new TypeError('Failed to fetch')
  env.answer = async () => {
    throw down
  }
  const { log } = new Harness({ maxReconnectAttempts: 1 }, env)
  await settle()
  assert.deepEqual(log.take(), [['error', down], ['close', 1006, ''], ['reconnecting', 1, 3000]])
  await env.clock.advance(3000)
  assert.deepEqual(log.names, ['error', 'close', 'error'])
  assert.equal(env.sockets.length, 0)
})

test('the error for an endpoint without a token says what to do', async () => {
  const env = new FakeEnvironment()
  env.answer = async () => ({})
  const { log } = new Harness({}, env)
  await settle()
  assert.match(String(log.of('error')[0]?.[0]), /no token; is the prefix right\? Else use token: false/)
})

test('an endpoint that never answers ends the attempt after its time limit', async () => {
  const env = new FakeEnvironment()
  env.answer = (count) => (count === 1 ? new Promise(() => {}) : Promise.resolve({ token: 'second' }))
  const { log } = new Harness({}, env)
  await env.clock.advance(20_000)
  assert.deepEqual(log.take()[0], ['close', 1006, 'the server did not answer in time'])
  await env.clock.advance(3000)
  assert.equal(env.last.token, 'second')
})

test('4002 fetches one new token at once, and a second 4002 ends the retries', async () => {
  const env = new FakeEnvironment()
  env.pageToken = 'stale'
  const { connection, log } = new Harness({}, env)
  connection.send('kept')
  await settle()
  env.last.accept().end(4002, 'the token has expired')
  assert.deepEqual(log.take(), [['close', 4002, 'the token has expired'], ['reconnecting', 1, 0]])
  await env.clock.advance(0)
  assert.equal(env.last.token, 't1')
  assert.equal(env.sockets.length, 2)
  env.last.accept().end(4002)
  await env.clock.advance(600_000)
  const [[, error], ...rest] = log.take() as [[string, Error], ...unknown[]]
  assert.match(error.message, /two tokens refused: do browser and proxies keep the session cookie\?/)
  assert.deepEqual(rest, [['close', 4002, '']])
  assert.deepEqual([env.sockets.length, connection.ended], [2, true])
})

test('the queue is not sent before a token is accepted', async () => {
  const env = new FakeEnvironment()
  env.pageToken = 'stale'
  const harness = new Harness({}, env)
  harness.connection.send('kept')
  await settle()
  env.last.accept().end(4002)
  await env.clock.advance(0)
  await harness.open()
  assert.deepEqual(env.last.sent, ['kept'])
})

for (const settings of [{ autoReconnect: false }, { maxReconnectAttempts: 0 }]) {
  test(`4002 fetches once even with ${JSON.stringify(settings)}: nothing was connected yet`, async () => {
    const env = new FakeEnvironment()
    await opened(settings, env)
    env.last.end(4002)
    await env.clock.advance(0)
    assert.equal(env.sockets.length, 2)
  })
}

test('after a connection that stayed open, a refused token is fetched again', async () => {
  const env = new FakeEnvironment()
  const harness = await opened({}, env)
  env.last.end(4002)
  await env.clock.advance(0)
  await harness.open()
  await env.clock.advance(5000)
  env.last.end(4002)
  await env.clock.advance(0)
  assert.equal(env.sockets.length, 3)
})

test('a server that sends hello before it refuses the token is not retried without end', async () => {
  const env = new FakeEnvironment()
  const harness = await opened({}, env)
  env.last.end(4002)
  await env.clock.advance(0)
  await harness.open()
  env.last.end(4002)
  await env.clock.advance(600_000)
  assert.equal(env.sockets.length, 2)
})

test('with token: false 4002 is final', async () => {
  const env = new FakeEnvironment()
  const { connection } = await opened({ token: false }, env)
  env.last.end(4002)
  assert.equal(connection.ended, true)
})

for (const [what, fail] of [
  ['the token endpoint fails', (env: FakeEnvironment) => (env.answer = async () => Promise.reject(new Error('500')))],
  ['the address is refused', (env: FakeEnvironment) => (env.refusal = new DOMException('insecure', 'SecurityError'))],
] as const) {
  test(`where ${what}, an error listener that closes gets one close`, async () => {
    const env = new FakeEnvironment()
    fail(env)
    const { connection, log, clock } = new Harness({}, env)
    const { sink } = log
    Object.assign(connection, {
      emit: (event: 'error', ...args: unknown[]) => {
        sink(event, ...args)
        if (event === 'error') connection.close(4000)
      },
    })
    await clock.advance(60_000)
    assert.deepEqual(log.names, ['error', 'close'])
    assert.deepEqual(log.of('close'), [[4000, '']])
    assert.equal(clock.pending, 0)
  })
}

test('a refused token and an error listener that closes make one close', async () => {
  const env = new FakeEnvironment()
  const { connection, log } = new Harness({}, env)
  const { sink } = log
  Object.assign(connection, {
    emit: (event: 'error', ...args: unknown[]) => {
      sink(event, ...args)
      if (event === 'error') connection.close(4000)
    },
  })
  await settle()
  env.last.accept().end(4002)
  await env.clock.advance(0)
  env.last.accept().end(4002)
  assert.deepEqual(log.of('close'), [[4002, ''], [4002, '']])
})

test("closed at once, as in strict mode, a connection requests no token and leaves the page's token", async () => {
  const env = new FakeEnvironment()
  env.pageToken = 'page'
  const { connection } = new Harness({}, env)
  connection.close()
  await settle()
  assert.deepEqual([env.requests, env.pageToken, env.sockets.length], [0, 'page', 0])
  await opened({}, env)
  assert.equal(env.last.token, 'page')
})

test('a bearer token is requested for each attempt, announced in the handshake, and sent before anything else', async () => {
  const env = new FakeEnvironment()
  let number = 0
  const auth = async (): Promise<string> => 'bearer-' + ++number
  const harness = new Harness({ token: false, auth }, env)
  await settle()
  assert.deepEqual(env.last.protocols, ['odac.v1', 'odac.auth'])
  env.last.accept()
  assert.deepEqual(env.last.sent, ['\x1e["auth","bearer-1"]'])
  env.last.hello().end(1012)
  await env.clock.advance(3000)
  env.last.accept()
  assert.deepEqual(env.last.sent, ['\x1e["auth","bearer-2"]'])
  assert.deepEqual(harness.log.of('error'), [])
})

test('an auth function that throws is an error, and the next attempt calls it again', async () => {
  const env = new FakeEnvironment()
  let number = 0
  const auth = (): string => {
    if (++number === 1) throw new Error('nobody is logged in')
    return 'bearer'
  }
  const harness = new Harness({ token: false, auth }, env)
  await settle()
  assert.match(String(harness.log.of('error')), /nobody is logged in/)
  await env.clock.advance(3000)
  assert.deepEqual(env.last.protocols, ['odac.v1', 'odac.auth'])
})
