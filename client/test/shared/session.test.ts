// Nobody receives, and nobody sends, what is another session's.
import assert from 'node:assert/strict'
import { test as run } from 'node:test'
import { settle } from '../fakes/clock'
import { Bench, type Member, MODES } from './harness'

const test = (name: string, body: (bench: Bench) => Promise<void>): void => {
  for (const mode of MODES) run(`${mode}: ${name}`, () => body(new Bench(mode)))
}

test('a tab of another session closes the connection of the old one, and all move', async (bench) => {
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

test('a new tab hears nothing of the old connection while the server is asked whose session it is', async (bench) => {
  await bench.opened(1)
  const anns = bench.only
  bench.browser.session = 'bob'
  const bob = bench.join()
  // In the middle of everything: as long as it is not known, nothing arrives.
  for (let turn = 0; turn < 20; turn++) {
    if (anns.alive) anns.receive("ann's secret")
    await Promise.resolve()
  }
  await settle()
  assert.deepEqual(bob.messages, [])
  assert.notEqual(bob.link.state, 1)
})

test('while the server cannot be asked, no new tab is let into a connection that is up', async (bench) => {
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

test('who waits to be let in when the connection ends for good gets another', async (bench) => {
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

test('a page that logs out and goes is enough for the others to move', async (bench) => {
  const [first, second] = (await bench.opened(2)) as [Member, Member]
  const anns = bench.only
  bench.browser.session = 'nobody'
  first.link.suspend(false)
  await settle()
  assert.equal(anns.alive, false)
  await bench.accept()
  assert.deepEqual([second.link.state, second.log.names], [1, ['open', 'close', 'open']])
})

test('so is closing the socket, or looking at another tab', async (bench) => {
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

test('a session that changed during an outage is noticed by the attempt, before it connects', async (bench) => {
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

test('what was written as one user is not sent as another, also if it is already under way', async (bench) => {
  const [first] = (await bench.opened(1)) as [Member]
  const anns = bench.only
  bench.browser.session = 'bob'
  bench.join()
  // Sent in every state that the move goes through.
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

test('what waited for the first connection of all is sent, and the same session keeps its queue', async (bench) => {
  const members = await bench.opened(1)
  bench.only.end()
  await settle()
  members[0]?.link.send('kept')
  await bench.clock.advance(3000)
  await bench.accept()
  assert.deepEqual(bench.only.sent, ['kept'])
})

test('tokens rotate without a move', async (bench) => {
  const members = await bench.opened(2)
  for (let n = 0; n < 5; n++) members[0]?.link.wake()
  await settle()
  assert.equal(bench.browser.sockets.length, 1)
  for (const { log } of members) assert.deepEqual(log.names, ['open'])
})

test('a burst of arrivals asks twice, not once for each', async (bench) => {
  await bench.opened(1)
  const before = bench.browser.asked
  for (let n = 0; n < 20; n++) bench.join()
  await settle()
  assert.ok(bench.browser.asked - before <= 3, `asked ${bench.browser.asked - before} times`)
})

test('where each answer is another session, as without its cookie, the questions are bounded and nobody shares', async (bench) => {
  const { browser } = bench
  const members = [bench.join(), bench.join()]
  for (const { link } of members) link.send('kept')
  const passTime = async (): Promise<void> => {
    for (let turn = 0; turn < 200; turn++) {
      browser.session = `nobody ${browser.random()}`
      // Without the cookie no token is that of a session.
      for (const socket of browser.open) if (socket.readyState === 0) socket.accept().end(4002)
      await bench.clock.advance(10)
    }
  }
  await passTime()
  assert.ok(browser.asked <= 40, `${browser.asked} questions`)
  for (const { alone, link } of members) assert.deepEqual([alone, link.ended], [['kept'], true])
  assert.deepEqual(browser.open, [])
  // Nor does a tab that comes later start it all over again.
  const before = browser.asked
  const late = bench.join()
  await passTime()
  assert.deepEqual(late.alone, [])
  assert.ok(browser.asked <= before + 20)
})
