// No tab receives messages of another session, or sends its own in another.
import assert from 'node:assert/strict'
import { test as run } from 'node:test'
import { settle } from '../fakes/clock'
import { Bench, type Member, MODES } from './harness'

const test = (name: string, body: (bench: Bench) => Promise<void>): void => {
  for (const mode of MODES) run(`${mode}: ${name}`, () => body(new Bench(mode)))
}

test('a tab with a new session closes the connection of the old session, and all tabs join the new one', async (bench) => {
  const members = await bench.opened(2)
  const anns = bench.only
  bench.browser.session = 'bob'
  const bob = bench.join()
  await settle()
  assert.equal(anns.alive, false)
  anns.receive("ann's secret")
  await settle()
  await bench.accept()
  bench.only.receive("bob's")
  await settle()
  for (const { messages, log, link } of members) {
    assert.deepEqual(messages, ["bob's"])
    assert.deepEqual(log.of('close'), [[1001, '']])
    assert.equal(link.state, 1)
  }
  assert.deepEqual(bob.messages, ["bob's"])
  assert.deepEqual(bob.log.names, ['open', 'message'])
})

test('a new tab gets no events of the old connection until its session is known', async (bench) => {
  await bench.opened(1)
  const anns = bench.only
  bench.browser.session = 'bob'
  const bob = bench.join()
  // As long as the tab's session is not known, nothing arrives.
  for (let turn = 0; turn < 20; turn++) {
    if (anns.alive) anns.receive("ann's secret")
    await Promise.resolve()
  }
  await settle()
  assert.deepEqual(bob.messages, [])
  assert.notEqual(bob.link.state, 1)
})

test('while the session cannot be requested, no new tab joins an open connection', async (bench) => {
  const [first] = (await bench.opened(1)) as [Member]
  bench.browser.outage = new Error('down')
  const late = bench.join()
  await settle()
  bench.only.receive('x')
  await bench.clock.advance(10_000)
  assert.deepEqual([first.messages, late.messages, late.link.state], [['x'], [], 0])
  bench.browser.outage = undefined
  await bench.clock.advance(3000)
  assert.equal(late.link.state, 1)
  bench.only.receive('y')
  await settle()
  assert.deepEqual(late.messages, ['y'])
})

test('a tab that waits to join when the connection ends for good gets another connection', async (bench) => {
  const [first] = (await bench.opened(1)) as [Member]
  bench.browser.outage = new Error('down')
  const late = bench.join()
  await settle()
  bench.only.end(4001)
  await settle()
  bench.browser.outage = undefined
  await bench.clock.advance(10_000)
  await bench.accept()
  assert.deepEqual([first.link.ended, late.link.state, late.log.of('close').filter(([code]) => code === 4001)], [true, 1, []])
})

test('when a page logs out and is closed, the other tabs join the new session', async (bench) => {
  const [first, second] = (await bench.opened(2)) as [Member, Member]
  const anns = bench.only
  bench.browser.session = 'nobody'
  first.link.suspend(false)
  await settle()
  assert.equal(anns.alive, false)
  await bench.accept()
  assert.deepEqual([second.link.state, second.log.names], [1, ['open', 'close', 'open']])
})

test('the same when it closes its socket, or another tab becomes visible', async (bench) => {
  const [first, second, third] = (await bench.opened(3)) as [Member, Member, Member]
  bench.browser.session = 'nobody'
  const before = bench.only
  third.link.wake()
  await settle()
  assert.equal(before.alive, false)
  await bench.accept()
  bench.browser.session = 'bob'
  const nobodys = bench.only
  third.link.close()
  await settle()
  assert.equal(nobodys.alive, false)
  await bench.accept()
  assert.deepEqual([first.link.state, second.link.state], [1, 1])
})

test('an attempt notices a session that changed during an outage before it connects', async (bench) => {
  const members = await bench.opened(2)
  bench.only.end()
  await settle()
  bench.browser.session = 'bob'
  for (const { link } of members) link.send("ann's words")
  await bench.clock.advance(3000)
  await bench.accept()
  assert.deepEqual(bench.only.sent, [])
  for (const { log, link } of members) {
    assert.match(String(log.of('error')[0]?.[0]), /messages dropped: the session has changed/)
    assert.equal(link.state, 1)
  }
})

test('messages of one user are not sent as another, not even those already posted to the hub', async (bench) => {
  const [first] = (await bench.opened(1)) as [Member]
  const anns = bench.only
  bench.browser.session = 'bob'
  bench.join()
  // Sent in each state between the sessions.
  for (let turn = 0; turn < 60; turn++) {
    first.link.send(`ann's ${turn}`)
    await Promise.resolve()
  }
  await settle()
  await bench.accept()
  first.link.send("bob's")
  await settle()
  assert.deepEqual(bench.only.sent, ["bob's"])
  assert.ok(anns.sent.length > 0)
  assert.ok(first.log.of('error').length > 0)
})

test('messages queued before the first connection are sent, and a reconnect in the same session keeps the queue', async (bench) => {
  const members = await bench.opened(1)
  bench.only.end()
  await settle()
  members[0]?.link.send('kept')
  await bench.clock.advance(3000)
  await bench.accept()
  assert.deepEqual(bench.only.sent, ['kept'])
})

test('a new token in the same session keeps the connection', async (bench) => {
  const members = await bench.opened(2)
  for (let n = 0; n < 5; n++) members[0]?.link.wake()
  await settle()
  assert.equal(bench.browser.sockets.length, 1)
  for (const { log } of members) assert.deepEqual(log.names, ['open'])
})

test('many tabs that join at once cause two session requests, not one each', async (bench) => {
  await bench.opened(1)
  const before = bench.browser.requests
  for (let n = 0; n < 20; n++) bench.join()
  await settle()
  assert.ok(bench.browser.requests - before <= 3, `${bench.browser.requests - before} requests`)
})

test('where each response has another session, as without the cookie, requests are bounded and no tab shares', async (bench) => {
  const { browser } = bench
  const members = [bench.join(), bench.join()]
  for (const { link } of members) link.send('kept')
  const passTime = async (): Promise<void> => {
    for (let turn = 0; turn < 200; turn++) {
      browser.session = `nobody ${browser.random()}`
      // Without the cookie, no token belongs to a session.
      for (const socket of browser.open) if (socket.readyState === 0) socket.accept().end(4002)
      await bench.clock.advance(10)
    }
  }
  await passTime()
  assert.ok(browser.requests <= 40, `${browser.requests} requests`)
  for (const { unshared, link } of members) assert.deepEqual([unshared, link.ended], [['kept'], true])
  assert.deepEqual(browser.open, [])
  // A later tab does not start the requests again.
  const before = browser.requests
  const late = bench.join()
  await passTime()
  assert.deepEqual(late.unshared, [])
  assert.ok(browser.requests <= before + 20)
})
