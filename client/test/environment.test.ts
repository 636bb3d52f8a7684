// What the client asks of the browser itself.
import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { Window } from 'happy-dom'
import { browserEnvironment } from '../src/environment'
import { settle } from './fakes/clock'

const { document } = globalThis
let asked: { url: string; init: RequestInit; answer: (response: Response) => void; refuse: (error: Error) => void }[] = []
const realFetch = globalThis.fetch

beforeEach(() => {
  asked = []
  globalThis.fetch = ((url: string, init: RequestInit) =>
    new Promise((answer, refuse) => asked.push({ url, init, answer, refuse }))) as typeof fetch
})

afterEach(() => {
  globalThis.fetch = realFetch
  globalThis.document = document
})

const json = (content: unknown, status = 200): Response => new Response(JSON.stringify(content), { status })

test('the token endpoint is asked with the cookie, and no cache', async () => {
  const credentials = browserEnvironment('http://site/odac').fetchCredentials()
  await settle()
  assert.equal(asked[0]?.url, 'http://site/odac/token')
  const { credentials: mode, cache, signal } = asked[0]?.init ?? {}
  assert.deepEqual([mode, cache], ['same-origin', 'no-store'])
  assert.ok(signal instanceof AbortSignal, 'an answer that never comes is given up')
  asked[0]?.answer(json({ token: 't', session: 's' }))
  assert.deepEqual(await credentials, { token: 't', session: 's' })
})

test('an app without a token endpoint has no credentials', async () => {
  const credentials = browserEnvironment('http://site/odac').fetchCredentials()
  await settle()
  asked[0]?.answer(json({}, 404))
  assert.deepEqual(await credentials, {})
})

for (const status of [403, 429, 500, 502, 503]) {
  test(`${status} is an error, which a retry may outlive`, async () => {
    const credentials = browserEnvironment('http://site/odac').fetchCredentials()
    await settle()
    asked[0]?.answer(json({ token: 'not this one' }, status))
    await assert.rejects(credentials, new RegExp(`Odac: http://site/odac/token answered ${status}$`))
  })
}

for (const [what, body] of [
  ['a page', '<!doctype html><title>Log in</title>'],
  ['null', 'null'],
] as const) {
  test(`${what} where JSON is due is an error that says so`, async () => {
    const credentials = browserEnvironment('http://site/odac').fetchCredentials()
    await settle()
    asked[0]?.answer(new Response(body))
    await assert.rejects(credentials, /Odac: http:\/\/site\/odac\/token answered 200 without JSON/)
  })
}

test('questions are asked one after the other, so that a first visit makes one session, also after a failure', async () => {
  const all = ['odac', 'rt', 'live'].map((prefix) => browserEnvironment(`http://site/${prefix}`).fetchCredentials())
  await settle()
  assert.equal(asked.length, 1)
  asked[0]?.refuse(new TypeError('Failed to fetch'))
  await assert.rejects(
    all[0] as Promise<unknown>,
    /^Error: Odac: http:\/\/site\/odac\/token cannot be reached: is the server running.*TypeError: Failed to fetch$/,
  )
  await settle()
  assert.equal(asked.length, 2)
  asked[1]?.answer(json({ token: '2' }))
  await settle()
  asked[2]?.answer(json({ token: '3' }))
  assert.deepEqual(await Promise.all(all.slice(1)), [{ token: '2' }, { token: '3' }])
})

test('all who come until a question is asked share its answer, so that many sockets wait for two answers at most', async () => {
  const env = browserEnvironment('http://site/odac')
  const first = env.fetchCredentials()
  await settle()
  const later = Array.from({ length: 11 }, () => browserEnvironment('http://site/odac').fetchCredentials())
  await settle()
  assert.equal(asked.length, 1)
  asked[0]?.answer(json({ token: '1' }))
  await settle()
  assert.equal(asked.length, 2)
  asked[1]?.answer(json({ token: '2' }))
  assert.deepEqual([await first, ...(await Promise.all(later))], [{ token: '1' }, ...Array(11).fill({ token: '2' })])
})

test('a question without an answer is given up after 10 s, in browsers without AbortSignal.timeout too', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const { timeout } = AbortSignal
  Object.assign(AbortSignal, { timeout: undefined })
  try {
    const env = browserEnvironment('http://site/odac')
    const hanging = env.fetchCredentials()
    await settle()
    const next = env.fetchCredentials()
    asked[0]?.init.signal?.addEventListener('abort', () => asked[0]?.refuse(asked[0].init.signal?.reason as Error))
    context.mock.timers.tick(9_999)
    await settle()
    assert.equal(asked.length, 1)
    context.mock.timers.tick(1)
    await assert.rejects(hanging, /Odac: http:\/\/site\/odac\/token did not answer in time/)
    await settle()
    asked[1]?.answer(json({ token: '2' }))
    assert.deepEqual(await next, { token: '2' })
  } finally {
    Object.assign(AbortSignal, { timeout })
  }
})

test("the page's token serves once", () => {
  const window = new Window({ url: 'http://site/' })
  window.document.head.innerHTML = '<meta name="odac-token" content="abc"><meta name="other" content="kept">'
  globalThis.document = window.document as unknown as Document
  const env = browserEnvironment('/odac')
  assert.equal(env.takePageToken(), 'abc')
  assert.equal(env.takePageToken(), undefined)
  assert.equal(window.document.querySelectorAll('meta').length, 1)
  window.document.head.innerHTML = '<meta name="odac-token" content="">'
  assert.equal(env.takePageToken(), undefined)
  void window.happyDOM.close()
})
