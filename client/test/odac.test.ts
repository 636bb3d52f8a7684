// Addresses: of connections, and of what the app serves.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { prefixOf, resolve } from '../src/odac'

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
