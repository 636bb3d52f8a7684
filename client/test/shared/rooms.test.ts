// Rooms with history and presence over a shared connection: its hub may end, and no tab misses anything.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OdacPresence } from '../../src/api'
import { SharedLink } from '../../src/shared/link'
import { type Page, Socket } from '../../src/socket'
import { type Tab } from '../fakes/browser'
import { settle } from '../fakes/clock'
import type { FakeSocket } from '../fakes/socket'
import { DEFAULTS } from '../harness'
import { Bench, CHAT, MODES } from './harness'

const MARK = String.fromCharCode(0x1e)

/** A tab's page, with the events that its listeners get. */
class Visitor {
  readonly log: unknown[][] = []
  readonly page = new EventTarget()
  readonly socket: Socket

  constructor(
    bench: Bench,
    readonly tab: Tab,
  ) {
    this.socket = new Socket(this.page as unknown as Page, (sink, _, positions) => {
      const unshared = (): never => assert.fail('not shared')
      return new SharedLink(tab.env, tab.locks, [CHAT, DEFAULTS], bench.dial(tab), sink, unshared, positions)
    })
    for (const name of ['open', 'message', 'close', 'recover', 'presence']) {
      this.socket.on(name, (...args: unknown[]) => this.log.push([name, ...args]))
    }
  }

  of(name: string): unknown[] {
    return this.log.filter(([other]) => other === name).map(([, value]) => value)
  }
}

const visit = async (bench: Bench, count = 1): Promise<Visitor[]> => {
  const visitors: Visitor[] = []
  for (let n = 0; n < count; n++) {
    visitors.push(new Visitor(bench, bench.browser.tab()))
    await settle()
  }
  return visitors
}

const hello = (socket: FakeSocket, client: string): FakeSocket =>
  socket.control('hello', { id: 'c.0', ping: 25, version: 1, client })

/** A room that all of them are in, with two messages. */
const chatting = async (mode: 'worker' | 'leader', count: number) => {
  const bench = new Bench(mode)
  const visitors = await visit(bench, count)
  hello(bench.only.accept(), 'S1').control('room', 1, 'chat', 'E1', 0, 'T1', 0).control('live', 1, 0)
  bench.only.control('at', 1, 1, 2).receive('1').receive('2')
  await settle()
  return { bench, visitors }
}

/** The hub crashes. */
const crashHub = async (bench: Bench, visitors: Visitor[], mode: 'worker' | 'leader'): Promise<Visitor[]> => {
  if (mode === 'worker') bench.restartWorker()
  else visitors[0]?.tab.crash()
  await settle()
  return mode === 'worker' ? visitors : visitors.slice(1)
}

const missed = (room: string, recovered: boolean, count = 0) => ({ room, recovered, count })

for (const mode of MODES) {
  test(`${mode}: when the hub ends, no tab misses a message or gets one twice`, async () => {
    const { bench, visitors } = await chatting(mode, 3)
    const left = await crashHub(bench, visitors, mode)
    assert.deepEqual(bench.only.protocols.slice(0, 2), ['odac.v1', 'odac.resume'])
    bench.only.accept()
    assert.deepEqual(bench.only.sent, [MARK + '["resume","S1",[["chat","E1",2,"T1"]]]'])
    hello(bench.only, 'S2').control('room', 9, 'chat', 'E1', 2, 'T2', 1).control('at', 9, 3).receive('3')
    bench.only.control('live', 9, 1)
    await settle()
    for (const visitor of left) {
      assert.deepEqual(visitor.of('message'), [1, 2, 3])
      assert.deepEqual(visitor.of('recover'), [missed('chat', true, 1)])
    }
  })

  test(`${mode}: the next hub resumes at the lowest position of any tab, and the other tabs get nothing twice`, async () => {
    const { bench, visitors } = await chatting(mode, 3)
    const [, fast, slow] = visitors as [Visitor, Visitor, Visitor]
    slow.tab.cutOff = true
    bench.only.control('at', 1, 3).receive('3')
    await settle()
    slow.tab.cutOff = false
    assert.deepEqual([fast.of('message'), slow.of('message')], [[1, 2, 3], [1, 2]])
    await crashHub(bench, visitors, mode)
    bench.only.accept()
    assert.deepEqual(bench.only.sent, [MARK + '["resume","S1",[["chat","E1",2,"T1"]]]'])
    hello(bench.only, 'S2').control('room', 9, 'chat', 'E1', 2, 'T2', 1)
    bench.only.control('at', 9, 3, 4).receive('3').receive('4').control('live', 9, 2)
    await settle()
    for (const visitor of [fast, slow]) assert.deepEqual(visitor.of('message'), [1, 2, 3, 4])
    assert.deepEqual(fast.of('recover'), [missed('chat', true, 1)])
    assert.deepEqual(slow.of('recover'), [missed('chat', true, 2)])
  })

  test(`${mode}: a tab that joins the next hub shortly after the others misses nothing`, async () => {
    const { bench, visitors } = await chatting(mode, 3)
    const [, fast, slow] = visitors as [Visitor, Visitor, Visitor]
    slow.tab.frozen = true
    await crashHub(bench, visitors, mode)
    hello(bench.only.accept(), 'S2').control('room', 9, 'chat', 'E1', 2, 'T2', 1).control('at', 9, 3).receive('3')
    bench.only.control('live', 9, 1).control('here', 1, [['a', 1]], 1, 'tea').control('at', 9, 4).receive('4')
    await settle()
    slow.tab.resume()
    await settle()
    bench.only.control('at', 9, 5).receive('5')
    await settle()
    for (const visitor of [fast, slow]) {
      assert.deepEqual(visitor.of('message'), [1, 2, 3, 4, 5])
      assert.deepEqual(visitor.of('recover'), [missed('chat', true, 1)])
      assert.equal(visitor.of('presence').length, 1)
    }
  })

  test(`${mode}: at most a thousand messages are kept for such a tab`, async () => {
    const { bench, visitors } = await chatting(mode, 3)
    const [, , slow] = visitors as [Visitor, Visitor, Visitor]
    slow.tab.frozen = true
    await crashHub(bench, visitors, mode)
    hello(bench.only.accept(), 'S2').control('room', 9, 'chat', 'E1', 2, 'T2', 1).control('live', 9, 0)
    for (let n = 3; n < 1003; n++) bench.only.control('at', 9, n).receive(String(n))
    await settle()
    slow.tab.resume()
    await settle()
    assert.deepEqual([slow.of('message'), slow.of('recover')], [[1, 2], [missed('chat', false)]])
  })

  test(`${mode}: a tab that is behind when the others have recovered gets recovered: false`, async () => {
    const { bench, visitors } = await chatting(mode, 3)
    const [, fast, slow] = visitors as [Visitor, Visitor, Visitor]
    slow.tab.frozen = true
    slow.tab.cutOff = true
    bench.only.control('at', 1, 3).receive('3')
    await settle()
    slow.tab.cutOff = false
    await crashHub(bench, visitors, mode)
    bench.only.accept()
    assert.deepEqual(bench.only.sent, [MARK + '["resume","S1",[["chat","E1",3,"T1"]]]'])
    hello(bench.only, 'S2').control('room', 9, 'chat', 'E1', 3, 'T2', 1).control('live', 9, 0)
    await settle()
    slow.tab.resume()
    await settle()
    bench.only.control('at', 9, 4).receive('4')
    await settle()
    assert.deepEqual(fast.of('recover'), [missed('chat', true)])
    assert.deepEqual(slow.of('recover'), [missed('chat', false)])
    assert.deepEqual([fast.of('message'), slow.of('message')], [[1, 2, 3, 4], [1, 2, 4]])
  })

  test(`${mode}: a later tab gets recovered: false, and from then on every message`, async () => {
    const { bench, visitors } = await chatting(mode, 1)
    bench.only.control('at', 1, 3)
    const [late] = (await visit(bench)) as [Visitor]
    bench.only.receive('3').control('at', 1, 4).receive('4')
    await settle()
    assert.deepEqual(late.log, [
      ['open'],
      ['recover', missed('chat', false)],
      ['message', 3],
      ['message', 4],
    ])
    // It resumes from the same position as the others.
    void late.socket.call('move').catch(() => {})
    await settle()
    assert.match(String(bench.only.sent.at(-1)), /^\x1e\["call",\d+,"move"/)
    // It can run the next hub.
    await crashHub(bench, [...visitors, late], mode)
    bench.only.accept()
    assert.deepEqual(bench.only.sent, [MARK + '["resume","S1",[["chat","E1",4,"T1"]]]'])
  })

  test(`${mode}: the hub recovers from an outage for all tabs`, async () => {
    const { bench, visitors } = await chatting(mode, 2)
    bench.only.end()
    await bench.clock.advance(3000)
    bench.only.accept()
    assert.deepEqual(bench.only.sent, [MARK + '["resume","S1",[["chat","E1",2,"T1"]]]'])
    hello(bench.only, 'S2').control('room', 1, 'chat', 'E1', 2, 'T2', 1).control('live', 1, 0)
    await settle()
    for (const visitor of visitors) assert.deepEqual(visitor.of('recover'), [missed('chat', true)])
  })

  test(`${mode}: a tab that missed nothing while it was frozen gets recovered: true`, async () => {
    const { bench, visitors } = await chatting(mode, 2)
    const last = visitors[1] as Visitor
    last.log.length = 0
    last.page.dispatchEvent(new Event('freeze'))
    await settle()
    last.page.dispatchEvent(new Event('resume'))
    await settle()
    assert.deepEqual(last.log, [['close', 1001, ''], ['open'], ['recover', missed('chat', true)]])
    last.log.length = 0
    last.page.dispatchEvent(new Event('freeze'))
    await settle()
    bench.only.control('at', 1, 3).receive('3')
    await settle()
    last.page.dispatchEvent(new Event('resume'))
    await settle()
    assert.deepEqual(last.log, [['close', 1001, ''], ['open'], ['recover', missed('chat', false)]])
  })

  test(`${mode}: positions of one session are not used in another`, async () => {
    const { bench, visitors } = await chatting(mode, 2)
    bench.browser.session = 'bob'
    const left = await crashHub(bench, visitors, mode)
    assert.equal(bench.only.protocols.includes('odac.resume'), false)
    hello(bench.only.accept(), 'S9')
    assert.deepEqual(bench.only.sent, [])
    bench.only.control('room', 1, 'chat', 'E1', 2, 'T9', 0).control('live', 1, 0)
    await settle()
    for (const visitor of left) assert.deepEqual(visitor.of('recover'), [missed('chat', false)])
  })

  test(`${mode}: a later tab with positions of another session gets recovered: false`, async () => {
    const { bench, visitors } = await chatting(mode, 2)
    const last = visitors[1] as Visitor
    last.page.dispatchEvent(new Event('freeze'))
    bench.browser.session = 'bob'
    await visit(bench)
    hello(bench.only.accept(), 'S9').control('room', 1, 'chat', 'E1', 2, 'T9', 0).control('live', 1, 0)
    await settle()
    last.page.dispatchEvent(new Event('resume'))
    await settle()
    assert.deepEqual(last.of('recover'), [missed('chat', false)])
  })

  test(`${mode}: a later tab gets the people in a room at once, and a new hub changes nothing`, async () => {
    const { bench, visitors } = await chatting(mode, 2)
    const [ada, bob, eve] = [{ key: 'a', data: 1 }, { key: 'b', data: 2 }, { key: 'e', data: 3 }]
    bench.only.control('here', 1, [['a', 1]], 1, 'tea').control('diff', 1, [['b', 2]], [], 2)
    bench.only.control('here', 2, null, 500, 'big')
    await settle()
    const [late] = (await visit(bench)) as [Visitor]
    assert.deepEqual(late.of('presence'), [
      { room: 'tea', users: [ada, bob], joined: [ada, bob], changed: [], left: [], total: 2 },
      { room: 'big', users: [], joined: [], changed: [], left: [], total: 500 },
    ])
    bench.only.control('diff', 1, [], ['b'], 1)
    await settle()
    const all = [...visitors, late]
    const gone = { room: 'tea', users: [ada], joined: [], changed: [], left: [bob], total: 1 }
    for (const visitor of all) assert.deepEqual(visitor.of('presence').at(-1), gone)
    const left = await crashHub(bench, all, mode)
    hello(bench.only.accept(), 'S2').control('here', 7, [['a', 1], ['e', 3]], 2, 'tea')
    await settle()
    const news: OdacPresence = { room: 'tea', users: [ada, eve], joined: [eve], changed: [], left: [], total: 2 }
    for (const visitor of left) assert.deepEqual(visitor.of('presence').at(-1), news)
  })
}

test('a leader that was frozen, and whose connection the server has ended, joins the new leader', async () => {
  const { bench, visitors } = await chatting('leader', 2)
  const [first, second] = visitors as [Visitor, Visitor]
  const stale = bench.only
  first.tab.frozen = true
  // The order of a thread's events from several sources is not defined: the close of its WebSocket may be the first.
  stale.end(1000, 'the client has connected again')
  await bench.pass(40_000)
  const fresh = hello(bench.socket.accept(), 'S2').control('room', 1, 'chat', 'E1', 2, 'T2', 1).control('live', 1, 0)
  await settle()
  assert.equal(second.socket.state, 1)
  first.tab.resume()
  await settle()
  assert.deepEqual([bench.only, first.socket.state], [fresh, 1])
  fresh.control('at', 1, 3).receive('3')
  await settle()
  for (const visitor of visitors) assert.deepEqual(visitor.of('message'), [1, 2, 3])
  assert.deepEqual(first.of('recover'), [missed('chat', true)])
})
