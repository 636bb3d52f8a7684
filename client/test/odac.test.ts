// Addresses: of connections, and of what the app serves.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { prefixOf, resolve, resolvePrefix } from '../src/addresses'
import type { OdacOptions } from '../src/api'
import { createOdac } from '../src/odac'
import type * as Share from '../src/shared/share'
import { settle } from './fakes/clock'
import { FakeSocket } from './fakes/socket'
import { clientRoot } from './vectors'

for (const [path, base, url] of [
  ['/chat', 'http://site/', 'ws://site/chat'],
  ['/chat', 'https://site:8443/a/b?c#d', 'wss://site:8443/chat'],
  ['chat?x=1', 'http://site/rooms/', 'ws://site/rooms/chat?x=1'],
  ['/chat#part', 'http://site/', 'ws://site/chat'],
  ['//other/chat', 'https://site/', 'wss://other/chat'],
  ['ws://other/chat', 'http://site/', 'ws://other/chat'],
  ['wss://other/chat', 'http://site/', 'wss://other/chat'],
  // As with `WebSocket`: the browser decides whether a secure page may connect, and allows servers on this machine.
  ['ws://localhost:8000/chat', 'https://site/', 'ws://localhost:8000/chat'],
  ['http://localhost:8000/chat', 'https://site/', 'ws://localhost:8000/chat'],
  ['http://other/chat', 'http://site/', 'ws://other/chat'],
  ['https://other/chat', 'http://site/', 'wss://other/chat'],
  // A page that was opened with a name and a password.
  ['/chat', 'https://user:pass@site/', 'wss://site/chat'],
  ['ws://user:pass@other/chat', 'http://site/', 'ws://user:pass@other/chat'],
  // A page from a blob belongs to the site whose script made it.
  ['/chat', 'blob:http://site:8000/7b1f', 'ws://site:8000/chat'],
  ['chat', 'blob:https://site/7b1f', 'wss://site/chat'],
] as const) {
  test(`${path} on ${base} is ${url}`, () => assert.equal(resolve(path, base).href, url))
}

test('an invalid address is refused at once', () => assert.throws(() => resolve('ws://', 'http://site/')))

for (const [prefix, base, folder] of [
  ['/odac', 'http://site/page', 'http://site/odac'],
  ['/odac/', 'http://site/page', 'http://site/odac'],
  ['/', 'http://site/page', 'http://site'],
  ['rt/odac', 'http://site/below/page', 'http://site/below/rt/odac'],
  ['https://app.site/odac//', 'https://site/', 'https://app.site/odac'],
  ['/odac', 'http://user:pass@site/', 'http://site/odac'],
  ['http://user:pass@site/rt', 'http://user:pass@site/', 'http://site/rt'],
  ['/odac', 'blob:http://site:8000/7b1f', 'http://site:8000/odac'],
] as const) {
  test(`the prefix ${prefix} on ${base} is ${folder}`, () => assert.equal(resolvePrefix(prefix, base), folder))
}

for (const [script, prefix] of [
  ['http://site/odac/odac.js', 'http://site/odac'],
  ['https://site/rt/odac/odac.mjs', 'https://site/rt/odac'],
  ['https://site/live/odac.js?v=1', 'https://site/live'],
  ['https://site/odac.js#x', 'https://site'],
  // In a bundle or a package folder, its address says nothing about where the app is.
  ['https://site/assets/index-4f3a.js', '/odac'],
  ['https://site/node_modules/odac-client/dist/index.js', '/odac'],
  ['file:///home/user/odac/odac.mjs', '/odac'],
  ['https://site/notodac.js', '/odac'],
  ['', '/odac'],
  [undefined, '/odac'],
] as const) {
  test(`a script from ${script} has the prefix ${prefix}`, () => assert.equal(prefixOf(script), prefix))
}

/** For tests without a shared connection. */
const shareNothing = (): Promise<never> => assert.fail('nothing is shared here')

const globals = (page: string, document: object = {}) => {
  const made = { sockets: [] as FakeSocket[], workers: [] as string[], requests: [] as string[] }
  const target = new EventTarget()
  const values = {
    addEventListener: target.addEventListener.bind(target),
    removeEventListener: target.removeEventListener.bind(target),
    location: new URL(page),
    navigator: { onLine: true },
    origin: new URL(page).origin,
    document: { querySelector: () => null, baseURI: page, ...document },
    fetch: async (url: string) => {
      made.requests.push(url)
      return new Response('{"token": "t", "session": "s"}')
    },
    WebSocket: class extends FakeSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols)
        made.sockets.push(this)
      }
    },
    SharedWorker: class {
      port = { postMessage: () => {}, close: () => {}, onmessage: null }
      onerror = null
      constructor(url: string) {
        made.workers.push(url)
      }
    },
  }
  for (const [name, value] of Object.entries(values)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
  }
  return made
}

test('Odac.ws connects to the path, with the token of the app that the script came from', async () => {
  const made = globals('https://site/page')
  const ws = createOdac('https://site/rt/odac/odac.js', shareNothing).ws('/rt/chat')
  assert.deepEqual([ws.state, ws.connected], [0, false])
  await settle()
  assert.deepEqual(made.requests, ['https://site/rt/odac/token'])
  assert.equal(made.sockets[0]?.url, 'wss://site/rt/chat')
  ws.close()
})

test('an option that is undefined has its default', async () => {
  const made = globals('http://site/')
  const ws = createOdac(undefined, shareNothing).ws('/chat', { token: undefined, prefix: undefined } as never)
  await settle()
  assert.deepEqual(made.requests, ['http://site/odac/token'])
  assert.equal(made.sockets[0]?.token, 't')
  ws.close()
})

for (const [url, offered] of [
  ['wss://other/chat', ['odac.v1']],
  ['ws://chat.site/', ['odac.v1']],
  // Cookies are sent to any port of the host, and so is a token.
  ['ws://site:8000/chat', ['odac.v1', 'odac-token-t']],
] as const) {
  test(`a connection to ${url} offers ${offered}: no other host gets this site's token`, async () => {
    const made = globals('http://site/')
    const ws = createOdac(undefined, shareNothing).ws(url)
    await settle()
    assert.deepEqual(made.sockets.map(({ protocols }) => protocols), [offered])
    assert.equal(made.requests.length, offered.length - 1)
    ws.close()
  })
}

test('the option prefix replaces the folder of the script', async () => {
  const made = globals('http://site/')
  const ws = createOdac(undefined, shareNothing).ws('/chat', { prefix: '/live' })
  await settle()
  assert.deepEqual(made.requests, ['http://site/live/token'])
  ws.close()
})

const { version } = JSON.parse(readFileSync(join(clientRoot, 'package.json'), 'utf8')) as { version: string }
const load = (): Promise<typeof Share> => import('../src/shared/share')

test('shared: the worker is loaded from the app, one for each version of the client', async () => {
  const made = globals('http://site/')
  const bases: string[] = []
  const ws = createOdac('http://site/live/odac.js', (base) => (bases.push(base), load())).ws('/chat', { shared: true })
  await settle()
  await settle()
  assert.deepEqual(bases, ['http://site/live'])
  assert.deepEqual([made.workers, made.sockets], [[`http://site/live/odac-worker.js?${version}`], []])
  ws.close()
})

for (const [why, loadShared] of [
  ['cannot be loaded', () => Promise.reject(new TypeError('Failed to fetch dynamically imported module'))],
  ['is of another version', async () => ({ ...(await load()), version: '0.0.1' })],
] as const) {
  test(`where the module for shared connections ${why}, the page has its own connection, and keeps its queue`, async () => {
    const made = globals('http://site/')
    const ws = createOdac(undefined, loadShared as () => Promise<typeof Share>).ws('/chat', { shared: true })
    const errors: string[] = []
    ws.on('error', ({ message }) => errors.push(message))
    assert.deepEqual([ws.state, ws.send('kept')], [0, true])
    await settle()
    await settle()
    // Another version is normal during a deployment; any other failure is reported.
    assert.deepEqual(errors, why.includes('version') ? [] : ['Odac: not shared: TypeError: Failed to fetch dynamically imported module'])
    made.sockets[0]?.accept().hello()
    assert.deepEqual([made.workers, made.sockets.map(({ sent }) => sent)], [[], [['kept']]])
    ws.close()
  })
}

test('closed while the module for shared connections is loading, the socket stays closed', async () => {
  const made = globals('http://site/')
  const ws = createOdac(undefined, load).ws('/chat', { shared: true })
  const received: unknown[] = []
  ws.on('close', (...args) => received.push(args)).on('state', (state) => received.push(state))
  ws.send('dropped')
  ws.close(3000, 'enough')
  await settle()
  await settle()
  assert.deepEqual(received, [3, [3000, 'enough']])
  assert.deepEqual([made.workers, made.sockets, ws.send('late')], [[], [], false])
})

test("a connection to another host is never shared: its session cannot be known", async () => {
  const made = globals('http://site/')
  const ws = createOdac(undefined, shareNothing).ws('wss://other/chat', { shared: true, token: false })
  await settle()
  assert.deepEqual([made.workers, made.sockets.map(({ url }) => url)], [[], ['wss://other/chat']])
  ws.close()
})

test("paths are relative to <base href>, as the browser's own addresses are", async () => {
  const made = globals('http://site/a/page', { baseURI: 'http://site/rooms/' })
  const ws = createOdac(undefined, shareNothing).ws('tea')
  await settle()
  assert.deepEqual([made.sockets[0]?.url, made.requests], ['ws://site/rooms/tea', ['http://site/odac/token']])
  ws.close()
})

test('about:srcdoc has the cookies and the base of the page around it, and sends its token', async () => {
  const made = globals('http://site/', { baseURI: 'http://site/page' })
  Object.assign(globalThis, { location: { href: 'about:srcdoc', host: '', hostname: '' } })
  const ws = createOdac(undefined, shareNothing).ws('/chat')
  await settle()
  assert.deepEqual(made.sockets[0]?.protocols, ['odac.v1', 'odac-token-t'])
  ws.close()
})

test('a worker has no document, and connects', async () => {
  const made = globals('http://site/workers/one.js')
  Object.assign(globalThis, { document: undefined })
  const ws = createOdac(undefined, shareNothing).ws('/chat')
  await settle()
  assert.deepEqual([made.sockets[0]?.url, made.sockets[0]?.token], ['ws://site/chat', 't'])
  ws.close()
})

for (const [options, delays] of [
  [{}, [3000, 4500, 6750]],
  [{ reconnectDelay: NaN, maxReconnectAttempts: NaN }, [3000, 4500, 6750]],
  [{ reconnectDelay: -1, maxReconnectAttempts: -1 }, [3000, 4500, 6750]],
  [{ reconnectDelay: null, maxReconnectAttempts: null }, [3000, 4500, 6750]],
  [{ reconnectDelay: Infinity }, [3000, 4500, 6750]],
  [{ reconnectDelay: 10, maxReconnectAttempts: 2 }, [10, 15]],
  [{ reconnectDelay: 0 }, [0, 0, 0]],
] as const) {
  test(`the options ${inspect(options)} make it retry after ${delays} ms`, async (context) => {
    const made = globals('http://site/')
    context.mock.timers.enable({ apis: ['setTimeout'] })
    context.mock.method(Math, 'random', () => 1)
    const ws = createOdac(undefined, shareNothing).ws('/chat', { token: false, ...options } as OdacOptions)
    const planned: number[] = []
    ws.on('reconnecting', (_, delay) => planned.push(delay))
    for (let attempt = 0; attempt < 3; attempt++) {
      await settle()
      if (made.sockets[attempt]?.readyState === 0) made.sockets[attempt]?.fail()
      context.mock.timers.tick(planned.at(-1) ?? 0)
    }
    assert.deepEqual(planned, delays)
    ws.close()
  })
}

test('with maxReconnectAttempts: null the retries have no end', async (context) => {
  const made = globals('http://site/')
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const ws = createOdac(undefined, shareNothing).ws('/chat', { token: false, maxReconnectAttempts: null })
  const errors: string[] = []
  ws.on('error', ({ message }) => errors.push(message))
  for (let attempt = 0; attempt < 30; attempt++) {
    await settle()
    made.sockets[attempt]?.fail()
    context.mock.timers.tick(30_000)
  }
  assert.equal(made.sockets.length, 30)
  assert.ok(errors.every((message) => !message.includes('gave up')))
  ws.close()
})

test('Odac.ws warns about an unknown option, and lists the known ones', (context) => {
  const warn = context.mock.method(console, 'warn', () => {})
  globals('http://site/')
  const { ws } = createOdac(undefined, shareNothing)
  // The compiler requires every name.
  const known: Required<OdacOptions> = {
    autoReconnect: false,
    reconnectDelay: 1,
    maxReconnectAttempts: 1,
    shared: false,
    token: false,
    auth: undefined,
    prefix: '/odac',
  }
  ws('/chat', known).close()
  assert.equal(warn.mock.callCount(), 0)
  ws('/chat', { ...known, recconect: true } as OdacOptions).close()
  const [[text]] = warn.mock.calls.map(({ arguments: given }) => given) as [[string]]
  const [said, names] = text.split('; known: ')
  assert.deepEqual([warn.mock.callCount(), said], [1, 'Odac: unknown option recconect'])
  assert.deepEqual(names?.split(' ').sort(), Object.keys(known).sort())
})
