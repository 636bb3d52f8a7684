// What tabs that share a connection may rely on, with a hub in a worker and in a tab.
import assert from 'node:assert/strict'
import { test as run } from 'node:test'
import { settle } from '../fakes/clock'
import { Bench, type Member, MODES } from './harness'

const test = (name: string, body: (bench: Bench) => Promise<void>): void => {
  for (const mode of MODES) run(`${mode}: ${name}`, () => body(new Bench(mode)))
}

const states = (members: Member[]): number[] => members.map(({ link }) => link.state)

test('three tabs have one connection, and each gets open', async (bench) => {
  const members = await bench.opened(3)
  assert.equal(bench.browser.sockets.length, 1)
  assert.deepEqual(states(members), [1, 1, 1])
  for (const { log } of members) assert.deepEqual(log.names, ['open'])
})

test('tabs that join while the connection is being opened get open', async (bench) => {
  const members = [bench.join(), bench.join(), bench.join()]
  await settle()
  assert.deepEqual(states(members), [0, 0, 0])
  await bench.accept()
  assert.deepEqual(states(members), [1, 1, 1])
  for (const { log } of members) assert.deepEqual(log.names, ['open'])
  assert.equal(bench.browser.sockets.length, 1)
})

test('every tab gets every message once, in order, binary too', async (bench) => {
  const members = await bench.opened(3)
  const buffer = new Uint8Array([1, 2]).buffer
  for (let n = 0; n < 100; n++) bench.only.receive(String(n))
  bench.only.receive(buffer)
  await settle()
  for (const { messages } of members) {
    assert.deepEqual(messages.slice(0, 100), Array.from({ length: 100 }, (_, n) => String(n)))
    assert.deepEqual([...new Uint8Array(messages[100] as ArrayBuffer)], [1, 2])
    assert.equal(messages.length, 101)
  }
})

test("a tab's messages are sent once and in its order, including those from before the connection was open", async (bench) => {
  const first = bench.join()
  const second = bench.join()
  for (const [name, { link }] of Object.entries({ first, second })) {
    for (let n = 0; n < 3; n++) assert.equal(link.send(name + n), true)
  }
  await bench.accept()
  first.link.send('first3')
  second.link.send(new Uint8Array([7]).buffer)
  await settle()
  const sent = bench.only.sent as string[]
  assert.deepEqual(
    sent.filter((data) => String(data).startsWith('first')),
    ['first0', 'first1', 'first2', 'first3'],
  )
  assert.deepEqual(
    sent.filter((data) => String(data).startsWith('second')),
    ['second0', 'second1', 'second2'],
  )
  assert.equal(sent.length, 8)
})

test('every tab gets close and open, and its queue is sent in order', async (bench) => {
  const members = await bench.opened(2)
  bench.only.end(1006, 'removed')
  await settle()
  assert.deepEqual(states(members), [3, 3])
  for (const { log, link } of members) {
    assert.deepEqual(log.names, ['open', 'close', 'reconnecting'])
    assert.deepEqual(log.of('close'), [[1006, 'removed']])
    log.take()
    assert.ok(link.send('a') && link.send('b'))
  }
  await bench.clock.advance(3000)
  assert.deepEqual(states(members), [0, 0])
  await bench.accept()
  assert.deepEqual(states(members), [1, 1])
  assert.deepEqual(bench.only.sent, ['a', 'b', 'a', 'b'])
  for (const { log } of members) assert.deepEqual(log.names, ['open'])
})

test("a tab's queue is bounded, and only that tab gets the error", async (bench) => {
  const [first, second] = [bench.join(), bench.join()]
  for (let n = 0; n < 256; n++) assert.equal(first.link.send('x'), true)
  assert.equal(first.link.send('x'), false)
  assert.match(String(first.log.of('error')[0]?.[0]), /send queue is full/)
  await bench.accept()
  assert.equal(bench.only.sent.length, 256)
  assert.deepEqual(second.log.names, ['open'])
})

test('a tab that joins while there is no connection gets open after the reconnect', async (bench) => {
  await bench.opened(1)
  bench.only.end()
  await settle()
  const late = bench.join()
  await bench.accept()
  assert.equal(late.link.state, 1)
  assert.deepEqual(late.log.names, ['open'])
  assert.equal(bench.browser.sockets.length, 2)
})

test('closing one tab leaves the others connected or reconnected', async (bench) => {
  const [first, ...others] = (await bench.opened(3)) as [Member, Member, Member]
  first.link.close()
  assert.equal(first.link.state, 3)
  assert.deepEqual(first.log.names, ['open', 'close'])
  await settle()
  if (bench.mode === 'leader') await bench.accept()
  assert.deepEqual(states(others), [1, 1])
  bench.only.receive('x')
  await settle()
  for (const { messages } of others) assert.deepEqual(messages, ['x'])
  assert.deepEqual(first.messages, [])
})

test('a crash of one tab leaves the others connected or reconnected', async (bench) => {
  const [first, ...others] = (await bench.opened(3)) as [Member, Member, Member]
  first.tab.crash()
  await settle()
  if (bench.mode === 'leader') {
    for (const { log } of others) assert.deepEqual(log.names, ['open', 'close'])
    await bench.accept()
  }
  assert.deepEqual(states(others), [1, 1])
  bench.only.receive('x')
  await settle()
  for (const { messages } of others) assert.deepEqual(messages, ['x'])
})

test('freezing one tab, which no event reports, leaves the others connected or reconnected', async (bench) => {
  const [first, ...others] = (await bench.opened(3)) as [Member, Member, Member]
  first.tab.frozen = true
  if (bench.mode === 'leader') {
    await bench.pass(40_000)
    // The frozen tab cannot close its connection: the server's heartbeat does. The others have a new one.
    assert.equal(bench.browser.open.length, 2)
    bench.socket.accept().hello()
    await settle()
  }
  assert.deepEqual(states(others), [1, 1])
  bench.socket.receive('x')
  await settle()
  for (const { messages } of others) assert.deepEqual(messages, ['x'])
  // When it resumes, it drops its connection and joins the others.
  first.tab.resume()
  await bench.pass(60_000)
  assert.equal(first.link.state, 1)
  bench.only.receive('y')
  await settle()
  for (const { messages } of others) assert.deepEqual(messages, ['x', 'y'])
  assert.equal(first.messages.at(-1), 'y')
})

test('a frozen tab is removed after 150 s, and joins again when it resumes', async (bench) => {
  const [first, second] = (await bench.opened(2)) as [Member, Member]
  second.tab.frozen = true
  await bench.pass(200_000)
  const before = bench.only
  before.receive('missed')
  await settle()
  second.tab.resume()
  await bench.pass(10_000)
  assert.deepEqual(second.log.names.slice(0, 2), ['open', 'close'])
  assert.deepEqual([second.link.state, second.log.names.at(-1)], [1, 'open'])
  assert.deepEqual([first.messages, second.messages], [['missed'], []])
  assert.equal(bench.only, before)
})

for (const [how, leave] of [
  ['closes', ({ link }: Member) => link.close()],
  ['crashes', ({ tab }: Member) => tab.crash()],
  ['leaves its page', ({ link }: Member) => link.suspend(false)],
  ['goes into the back/forward cache', ({ link }: Member) => link.suspend(true)],
] as const) {
  test(`when the last tab ${how}, the connection is closed`, async (bench) => {
    const members = await bench.opened(3)
    for (const member of members) {
      assert.equal(bench.browser.open.length, 1)
      leave(member)
      await settle()
      if (bench.mode === 'leader' && member !== members.at(-1)) await bench.accept()
    }
    assert.deepEqual(bench.browser.open, [])
  })
}

test('when all tabs are frozen the connection is closed', async (bench) => {
  if (bench.mode === 'leader') return // Then so is the leader, and the browser keeps or drops its connection.
  const members = await bench.opened(2)
  for (const { tab } of members) tab.frozen = true
  await bench.pass(200_000)
  assert.deepEqual(bench.browser.open, [])
})

test('a tab that returns from the back/forward cache sends its queue', async (bench) => {
  const [first, second] = (await bench.opened(2)) as [Member, Member]
  second.link.suspend(true)
  await settle()
  assert.deepEqual([second.link.state, second.log.names], [3, ['open', 'close']])
  assert.equal(second.link.send('kept'), true)
  second.link.wake()
  await settle()
  assert.equal(second.link.state, 1)
  assert.deepEqual(second.log.names, ['open', 'close', 'open'])
  assert.deepEqual(bench.only.sent, ['kept'])
  assert.deepEqual(first.log.names, ['open'])
})

test('a page that is being unloaded gets no close', async (bench) => {
  const [, second] = (await bench.opened(2)) as [Member, Member]
  second.link.suspend(false)
  await settle()
  assert.deepEqual(second.log.names, ['open'])
})

test('close right after the start leaves no lock, port or timer', async (bench) => {
  const { link, log } = bench.join()
  link.send('dropped')
  link.close()
  await settle()
  assert.deepEqual(log.events, [['close', 1000, '']])
  assert.deepEqual(bench.browser.open, [])
  assert.equal(link.send('x'), false)
  link.wake()
  link.suspend(true)
  link.close()
  await settle()
  assert.deepEqual(log.names, ['close', 'error'])
  assert.deepEqual(bench.browser.sockets.filter(({ alive }) => alive), [])
})

for (const [what, settings, url] of [
  ['path', {}, 'ws://site/other'],
  ['query', {}, 'ws://site/chat?room=1'],
  ['token option', { token: false }, undefined],
  ['autoReconnect', { autoReconnect: false }, undefined],
  ['reconnectDelay', { reconnectDelay: 1 }, undefined],
  ['maxReconnectAttempts', { maxReconnectAttempts: 1 }, undefined],
] as const) {
  test(`another ${what} is another connection`, async (bench) => {
    const [first] = (await bench.opened(1)) as [Member]
    const other = bench.join(settings, url)
    await settle()
    const [chat, its] = bench.browser.open
    assert.ok(chat && its)
    its.accept().hello().receive('its')
    chat.receive('chat')
    await settle()
    other.link.send('mine')
    await settle()
    assert.deepEqual([first.messages, other.messages], [['chat'], ['its']])
    assert.deepEqual([chat.sent, its.sent], [[], ['mine']])
    // Closing one does not close the other.
    other.link.close()
    await settle()
    assert.deepEqual(bench.browser.open, [chat])
  })
}

test("a final close code ends every tab's socket, but not that of a later tab", async (bench) => {
  const members = await bench.opened(2)
  bench.only.end(4001, 'Unauthorized')
  await settle()
  for (const { log, link } of members) {
    assert.deepEqual(log.take().slice(1), [['close', 4001, 'Unauthorized']])
    assert.deepEqual([link.state, link.ended], [3, true])
    assert.equal(link.send('x'), false)
    link.wake()
  }
  await bench.clock.advance(600_000)
  assert.equal(bench.browser.sockets.length, 1)
  const late = bench.join()
  await bench.accept()
  assert.equal(late.link.state, 1)
  for (const { log } of members) assert.deepEqual(log.names, ['error'])
})

test('after a refused token, one new token is fetched for all tabs', async (bench) => {
  const members = [bench.join(), bench.join()]
  await settle()
  const { token } = bench.only
  bench.only.accept().end(4002)
  await bench.clock.advance(0)
  assert.notEqual(bench.only.token, token)
  await bench.accept()
  assert.deepEqual(states(members), [1, 1])
  assert.equal(bench.browser.sockets.length, 2)
})

test('with token: false no token is sent, but the session is requested', async (bench) => {
  await bench.opened(1, { token: false })
  assert.deepEqual(bench.only.protocols, ['odac.v1'])
  assert.equal(bench.browser.requests, 1)
})

test('a server that is down at first is retried, and every tab gets the events', async (bench) => {
  bench.browser.outage = new TypeError('Failed to fetch')
  const members = [bench.join(), bench.join()]
  await settle()
  for (const { log } of members) assert.ok(log.names.includes('reconnecting') || log.names.length === 0)
  await bench.clock.advance(3000)
  bench.browser.outage = undefined
  await bench.clock.advance(10_000)
  await bench.accept()
  assert.deepEqual(states(members), [1, 1])
  for (const { log } of members) assert.ok(log.names.includes('reconnecting'))
})

test('where the server does not name the session, no tab shares, and nothing is lost', async (bench) => {
  bench.browser.session = undefined
  const members = [bench.join(), bench.join()]
  for (const { link } of members) link.send('kept')
  await settle()
  for (const { unshared, log } of members) {
    assert.deepEqual(unshared, ['kept'])
    assert.deepEqual(log.names, [])
  }
  assert.deepEqual(bench.browser.open, [])
})

test('a tab that becomes visible makes the connection retry at once', async (bench) => {
  const [, second] = (await bench.opened(2)) as [Member, Member]
  bench.only.end()
  await settle()
  second.link.wake()
  await bench.accept()
  assert.equal(second.link.state, 1)
})

test('after the machine has slept for an hour the connection is the same, and the next message arrives', async (bench) => {
  const [first, second] = (await bench.opened(2)) as [Member, Member]
  const before = bench.only
  // Until just before the sweep for silent tabs.
  await bench.pass(29_000)
  bench.clock.sleep(3_600_000)
  await bench.clock.advance(1_000)
  second.link.send('after')
  await bench.pass(60_000)
  assert.equal(bench.only, before)
  assert.ok(before.sent.includes('after'))
  for (const { log } of [first, second]) assert.deepEqual(log.names, ['open'])
})

test('when any tab gets offline, a dead connection is dropped after 10 s', async (bench) => {
  const members = await bench.opened(2)
  members[1]?.link.probe()
  await bench.clock.advance(9_999)
  assert.deepEqual(states(members), [1, 1])
  await bench.clock.advance(1)
  assert.deepEqual(states(members), [3, 3])
})

test('a socket that is closed in a close listener is not connected again', async (bench) => {
  const [first, second] = (await bench.opened(2)) as [Member, Member]
  const { sink } = second.log
  Object.assign(second.link, {
    emit: (event: 'close', ...args: unknown[]) => {
      sink(event, ...args)
      if (event === 'close') second.link.close(4000)
    },
  })
  if (bench.mode === 'worker') bench.restartWorker()
  else first.tab.crash()
  await settle()
  await bench.clock.advance(60_000)
  assert.deepEqual(second.log.of('close'), [[1006, ''], [4000, '']])
  assert.equal(second.link.state, 3)
  if (bench.mode === 'leader') assert.deepEqual(bench.browser.open, [])
})

test('a call from the server goes to the tab that was visible last, a reply to all', async (bench) => {
  const members = await bench.opened(3)
  const received = (): unknown[][][] =>
    members.map(({ log }) => log.controls.splice(0).filter(([kind]) => kind === 'call' || kind === 'reply'))
  bench.only.control('call', 1, 'confirm', null)
  bench.only.control('reply', 2, 'yes')
  await settle()
  const call = ['call', 1, 'confirm', null]
  const reply = ['reply', 2, 'yes']
  assert.deepEqual(received(), [[reply], [reply], [call, reply]])
  members[0]?.link.wake()
  await settle()
  bench.only.control('call', 3, 'confirm', null)
  await settle()
  assert.deepEqual(
    received().map((calls) => calls.length),
    [1, 0, 0],
  )
})
