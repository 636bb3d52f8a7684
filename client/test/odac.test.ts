// Addresses: of connections, and of what the app serves.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createOdac, prefixOf, resolve } from '../src/odac'
import { settle } from './fakes/clock'
import { FakeSocket } from './fakes/socket'
import { clientRoot } from './vectors'

for (const [path, page, url] of [
  ['/chat', 'http://site/', 'ws://site/chat'],
  ['/chat', 'https://site:8443/a/b?c#d', 'wss://site:8443/chat'],
  ['chat?x=1', 'http://site/rooms/', 'ws://site/rooms/chat?x=1'],
  ['/chat#part', 'http://site/', 'ws://site/chat'],
  ['//other/chat', 'https://site/', 'wss://other/chat'],
  ['ws://other/chat', 'http://site/', 'ws://other/chat'],
  ['wss://other/chat', 'http://site/', 'wss://other/chat'],
  ['ws://other/chat', 'https://site/', 'wss://other/chat'],
  ['http://other/chat', 'http://site/', 'ws://other/chat'],
  ['https://other/chat', 'http://site/', 'wss://other/chat'],
] as const) {
  test(`${path} on ${page} is ${url}`, () => assert.equal(resolve(path, page).href, url))
}

test('an address that is none is refused at once', () => assert.throws(() => resolve('ws://', 'http://site/')))

for (const [script, prefix] of [
  ['http://site/odac/odac.js', 'http://site/odac'],
  ['https://site/rt/odac/odac.mjs', 'https://site/rt/odac'],
  ['https://site/live/odac.js?v=1', 'https://site/live'],
  ['https://site/odac.js#x', 'https://site'],
  // Part of somebody's bundle, or of a package folder: it says nothing about where the app is.
  ['https://site/assets/index-4f3a.js', '/odac'],
  ['https://site/node_modules/odac-client/dist/index.js', '/odac'],
  ['file:///home/user/odac/odac.mjs', '/odac'],
  ['https://site/notodac.js', '/odac'],
  ['', '/odac'],
  [undefined, '/odac'],
] as const) {
  test(`a script from ${script} has its app at ${prefix}`, () => assert.equal(prefixOf(script), prefix))
}

const globals = (page: string) => {
  const made = { sockets: [] as FakeSocket[], workers: [] as string[], asked: [] as string[] }
  const target = Object.assign(new EventTarget(), { document: { visibilityState: 'visible' } })
  const values = {
    window: target,
    location: new URL(page),
    navigator: { onLine: true },
    document: { querySelector: () => null },
    fetch: async (url: string) => {
      made.asked.push(url)
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
  const ws = createOdac('https://site/rt/odac/odac.js').ws('/rt/chat')
  assert.deepEqual([ws.state, ws.connected], [0, false])
  await settle()
  assert.deepEqual(made.asked, ['https://site/rt/odac/token'])
  assert.equal(made.sockets[0]?.url, 'wss://site/rt/chat')
  ws.close()
})

test('an option that is undefined has its default', async () => {
  const made = globals('http://site/')
  const ws = createOdac(undefined).ws('/chat', { token: undefined, prefix: undefined } as never)
  await settle()
  assert.deepEqual(made.asked, ['http://site/odac/token'])
  assert.equal(made.sockets[0]?.token, 't')
  ws.close()
})

for (const [url, offered] of [
  ['wss://other/chat', ['odac.v1']],
  ['ws://chat.site/', ['odac.v1']],
  // Cookies go to any port, so that a token does its work there.
  ['ws://site:8000/chat', ['odac.v1', 'odac-token-t']],
] as const) {
  test(`a connection to ${url} offers ${offered}: no other host gets this site's token`, async () => {
    const made = globals('http://site/')
    const ws = createOdac(undefined).ws(url)
    await settle()
    assert.deepEqual(made.sockets.map(({ protocols }) => protocols), [offered])
    assert.equal(made.asked.length, offered.length - 1)
    ws.close()
  })
}

test('prefix says where the app is', async () => {
  const made = globals('http://site/')
  const ws = createOdac(undefined).ws('/chat', { prefix: '/live' })
  await settle()
  assert.deepEqual(made.asked, ['http://site/live/token'])
  ws.close()
})

test('shared: the worker comes from the app, one for each version of the client', async () => {
  const made = globals('http://site/')
  const ws = createOdac('http://site/live/odac.js').ws('/chat', { shared: true })
  await settle()
  const { version } = JSON.parse(readFileSync(join(clientRoot, 'package.json'), 'utf8')) as { version: string }
  assert.deepEqual([made.workers, made.sockets], [[`http://site/live/odac-worker.js?${version}`], []])
  ws.close()
})

test("another host's connection is never shared: whose session it is there cannot be known", async () => {
  const made = globals('http://site/')
  const ws = createOdac(undefined).ws('wss://other/chat', { shared: true, token: false })
  await settle()
  assert.deepEqual([made.workers, made.sockets.map(({ url }) => url)], [[], ['wss://other/chat']])
  ws.close()
})
