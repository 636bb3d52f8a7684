// The client's use of the browser.
import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { Window } from 'happy-dom'
import { browserEnvironment } from '../src/environment'
import { settle } from './fakes/clock'

const { document } = globalThis
let requests: { url: string; init: RequestInit; answer: (response: Response) => void; refuse: (error: Error) => void }[] = []
const realFetch = globalThis.fetch

beforeEach(() => {
  requests = []
  globalThis.fetch = ((url: string, init: RequestInit) =>
    new Promise((answer, refuse) => requests.push({ url, init, answer, refuse }))) as typeof fetch
})

afterEach(() => {
  globalThis.fetch = realFetch
  globalThis.document = document
})

const json = (content: unknown, status = 200): Response => new Response(JSON.stringify(content), { status })

test('the token request has the cookie, and no cache', async () => {
  const credentials = browserEnvironment('http://site/odac').fetchCredentials()
  await settle()
  assert.equal(requests[0]?.url, 'http://site/odac/token')
  const { credentials: mode, cache, signal } = requests[0]?.init ?? {}
  assert.deepEqual([mode, cache], ['same-origin', 'no-store'])
  assert.ok(signal instanceof AbortSignal, 'an answer that never comes is given up')
  requests[0]?.answer(json({ token: 't', session: 's' }))
  assert.deepEqual(await credentials, { token: 't', session: 's' })
})

test('an app without a token endpoint has no credentials', async () => {
  const credentials = browserEnvironment('http://site/odac').fetchCredentials()
  await settle()
  requests[0]?.answer(json({}, 404))
  assert.deepEqual(await credentials, {})
})

for (const status of [403, 429, 500, 502, 503]) {
  test(`${status} is an error`, async () => {
    const credentials = browserEnvironment('http://site/odac').fetchCredentials()
    await settle()
    requests[0]?.answer(json({ token: 'not this one' }, status))
    await assert.rejects(credentials, new RegExp(`Odac: http://site/odac/token answered ${status}$`))
  })
}

for (const [what, body] of [
  ['a page', '<!doctype html><title>Log in</title>'],
  ['null', 'null'],
] as const) {
  test(`${what} instead of JSON is an error that says so`, async () => {
    const credentials = browserEnvironment('http://site/odac').fetchCredentials()
    await settle()
    requests[0]?.answer(new Response(body))
    await assert.rejects(credentials, /Odac: http:\/\/site\/odac\/token answered 200 without JSON/)
  })
}

test('requests are sent one at a time, so that a first visit makes one session, also after a failure', async () => {
  const all = ['odac', 'rt', 'live'].map((prefix) => browserEnvironment(`http://site/${prefix}`).fetchCredentials())
  await settle()
  assert.equal(requests.length, 1)
  requests[0]?.refuse(new TypeError('Failed to fetch'))
  await assert.rejects(
    all[0] as Promise<unknown>,
    /^Error: Odac: http:\/\/site\/odac\/token cannot be reached: is the server running.*TypeError: Failed to fetch$/,
  )
  await settle()
  assert.equal(requests.length, 2)
  requests[1]?.answer(json({ token: '2' }))
  await settle()
  requests[2]?.answer(json({ token: '3' }))
  assert.deepEqual(await Promise.all(all.slice(1)), [{ token: '2' }, { token: '3' }])
})

test('callers share the request that is not sent yet, so that many sockets wait for two responses at most', async () => {
  const env = browserEnvironment('http://site/odac')
  const first = env.fetchCredentials()
  await settle()
  const later = Array.from({ length: 11 }, () => browserEnvironment('http://site/odac').fetchCredentials())
  await settle()
  assert.equal(requests.length, 1)
  requests[0]?.answer(json({ token: '1' }))
  await settle()
  assert.equal(requests.length, 2)
  requests[1]?.answer(json({ token: '2' }))
  assert.deepEqual([await first, ...(await Promise.all(later))], [{ token: '1' }, ...Array(11).fill({ token: '2' })])
})

test('a request without a response is aborted after 10 s, in browsers without AbortSignal.timeout too', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const { timeout } = AbortSignal
  Object.assign(AbortSignal, { timeout: undefined })
  try {
    const env = browserEnvironment('http://site/odac')
    const hanging = env.fetchCredentials()
    await settle()
    const next = env.fetchCredentials()
    requests[0]?.init.signal?.addEventListener('abort', () => requests[0]?.refuse(requests[0].init.signal?.reason as Error))
    context.mock.timers.tick(9_999)
    await settle()
    assert.equal(requests.length, 1)
    context.mock.timers.tick(1)
    await assert.rejects(hanging, /Odac: http:\/\/site\/odac\/token did not answer in time/)
    await settle()
    requests[1]?.answer(json({ token: '2' }))
    assert.deepEqual(await next, { token: '2' })
  } finally {
    Object.assign(AbortSignal, { timeout })
  }
})

test("the page's token is used once", () => {
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
