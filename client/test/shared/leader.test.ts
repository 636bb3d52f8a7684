// Election of the leading tab with Web Locks, and how other tabs find it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Locks } from '../../src/shared/protocol'
import { settle } from '../fakes/clock'
import { Bench, CHAT, Member } from './harness'

const LOBBY = 'odac election'

test('the first tab leads; when it is closed, the next one does', async () => {
  const bench = new Bench('leader')
  const [first, second, third] = (await bench.opened(3)) as [Member, Member, Member]
  assert.equal(bench.browser.locks.holder(LOBBY), first.tab)
  first.link.close()
  await bench.accept()
  assert.equal(bench.browser.locks.holder(LOBBY), second.tab)
  second.tab.crash()
  await bench.accept()
  assert.equal(bench.browser.locks.holder(LOBBY), third.tab)
  assert.equal(third.link.state, 1)
})

test('a leader is replaced after three missing answers, not sooner', async () => {
  const bench = new Bench('leader')
  const [first, second] = (await bench.opened(2)) as [Member, Member]
  first.tab.frozen = true
  await bench.pass(39_999)
  assert.equal(bench.browser.locks.holder(LOBBY), first.tab)
  await bench.pass(1)
  assert.equal(bench.browser.locks.holder(LOBBY), second.tab)
  bench.socket.accept().hello()
  await settle()
  assert.deepEqual(second.log.names, ['open', 'close', 'open'])
})

test('several tabs that replace a leader at the same time end with one leader', async () => {
  const bench = new Bench('leader')
  const [first, ...others] = (await bench.opened(4)) as [Member, Member, Member, Member]
  first.tab.frozen = true
  await bench.pass(40_000)
  for (let n = 0; n < 3; n++) {
    for (const socket of bench.browser.open) if (!socket.readyState) socket.accept().hello()
    await bench.pass(10_000)
  }
  // One connection of the frozen tab, one of the other tabs.
  assert.equal(bench.browser.open.length, 2)
  assert.deepEqual(
    others.map(({ link }) => link.state),
    [1, 1, 1],
  )
  bench.socket.receive('x')
  await settle()
  for (const { messages } of others) assert.deepEqual(messages, ['x'])
})

test('a leader of an earlier term that resumes is ignored', async () => {
  const bench = new Bench('leader')
  const [first, second] = (await bench.opened(2)) as [Member, Member]
  const stale = bench.only
  first.tab.frozen = true
  await bench.pass(40_000)
  bench.socket.accept().hello()
  await settle()
  // While it was frozen, a new tab asked it for its term, and it got messages.
  const newcomer = bench.join()
  await settle()
  stale.receive('stale')
  first.tab.resume()
  await bench.pass(20_000)
  assert.deepEqual(second.messages, [])
  assert.deepEqual(newcomer.messages, [])
  assert.equal(bench.only, bench.socket)
  assert.equal(stale.alive, false)
  bench.only.receive('x')
  await settle()
  for (const { messages } of [first, second, newcomer]) assert.equal(messages.at(-1), 'x')
})

test('a late announcement of an earlier term is ignored', async () => {
  const bench = new Bench('leader')
  const [first, second] = (await bench.opened(2)) as [Member, Member]
  const outsider = bench.browser.channel(bench.browser.tab(), LOBBY)
  for (const term of [1, bench.clock.time - 1000]) outsider.postMessage(term)
  await settle()
  bench.only.receive('x')
  await settle()
  for (const { messages, log } of [first, second]) {
    assert.deepEqual(messages, ['x'])
    assert.deepEqual(log.names, ['open', 'message'])
  }
})

test('a lock that is stolen before its callback has run makes no leader', async () => {
  const bench = new Bench('leader')
  const tab = bench.browser.tab()
  let granted: (() => unknown) | undefined
  let steal: ((error: Error) => void) | undefined
  const request = (name: string, ...rest: [() => unknown] | [object, () => unknown]): Promise<unknown> => {
    if (name !== LOBBY) return tab.locks.request(name, rest.at(-1) as never)
    granted ??= rest.at(-1) as () => unknown
    return new Promise((_, reject) => (steal ??= reject))
  }
  new Member(tab, bench.dialLeader(tab, { request } as unknown as Locks), CHAT, {})
  await settle()
  steal?.(new DOMException('stolen', 'AbortError'))
  await settle()
  assert.equal(granted?.(), undefined)
  await settle()
  assert.deepEqual(bench.browser.sockets, [])
})

test('a closed tab waits for no lock, whether it was the leader or not', async () => {
  const bench = new Bench('leader')
  const [first, second, third] = (await bench.opened(3)) as [Member, Member, Member]
  third.link.close()
  await settle()
  assert.equal(bench.browser.locks.waiting(third.tab), 0)
  first.link.suspend(true)
  await bench.accept()
  assert.equal(bench.browser.locks.waiting(first.tab), 0)
  assert.equal(second.link.state, 1)
})

test('where locks are not allowed, each tab has its own connection', async () => {
  const bench = new Bench('leader')
  const tab = bench.browser.tab()
  const forbidden = {
    request: () => Promise.reject(new DOMException('not here', 'SecurityError')),
  } as unknown as Locks
  const member = new Member(tab, bench.dialLeader(tab, forbidden), CHAT, {}, forbidden)
  member.link.send('kept')
  await settle()
  assert.deepEqual(member.unshared, ['kept'])
})
