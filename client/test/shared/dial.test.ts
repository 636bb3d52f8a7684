// Sharing through a SharedWorker, and what replaces it where there is none.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dialWorker, type Worker } from '../../src/shared/dial'
import { settle } from '../fakes/clock'
import { Agent } from '../fakes/browser'
import { Bench, CHAT, Member } from './harness'

const forbidden = (): never => {
  throw new DOMException('no workers here', 'SecurityError')
}

test('without SharedWorker a tab leads; without Web Locks each tab has its own connection', async () => {
  const bench = new Bench('leader')
  const first = bench.browser.tab()
  const member = new Member(first, dialWorker(forbidden, bench.dialLeader(first)), CHAT, {})
  await bench.accept()
  assert.equal(member.link.state, 1)

  const unshared = new Member(bench.browser.tab(), dialWorker(forbidden, undefined), CHAT, {})
  unshared.link.send('kept')
  await settle()
  assert.deepEqual(unshared.unshared, ['kept'])
})

test('if the worker cannot be loaded, as under a strict policy, a tab leads', async () => {
  const bench = new Bench('leader')
  const tab = bench.browser.tab()
  const [port] = bench.browser.pair(tab, new Agent())
  const worker: Worker = { port, onerror: null }
  const member = new Member(tab, dialWorker(() => worker, bench.dialLeader(tab)), CHAT, {})
  await settle()
  assert.equal(bench.browser.sockets.length, 0)
  worker.onerror?.({} as never)
  await bench.accept()
  assert.equal(member.link.state, 1)
})

test('a worker that fails after the socket was closed opens nothing', async () => {
  const bench = new Bench('leader')
  const tab = bench.browser.tab()
  const [port] = bench.browser.pair(tab, new Agent())
  const worker: Worker = { port, onerror: null }
  const member = new Member(tab, dialWorker(() => worker, bench.dialLeader(tab)), CHAT, {})
  await settle()
  member.link.close()
  worker.onerror?.({} as never)
  await settle()
  assert.equal(bench.browser.locks.holder('odac election'), undefined)
  assert.equal(bench.browser.sockets.length, 0)
})

test('a worker that the browser ended, or that crashed, is replaced at once', async () => {
  const bench = new Bench('worker')
  const members = await bench.opened(3)
  bench.restartWorker()
  await settle()
  for (const { log } of members) assert.deepEqual(log.names, ['open', 'close'])
  await bench.accept()
  for (const { link, log } of members) {
    assert.equal(link.state, 1)
    assert.deepEqual(log.names, ['open', 'close', 'open'])
  }
})

test('without Web Locks, it is replaced when it does not answer', async () => {
  const bench = new Bench('worker')
  const tab = bench.browser.tab()
  const member = new Member(tab, bench.dial(tab), CHAT, {}, null)
  await bench.accept()
  bench.restartWorker()
  await bench.pass(39_999)
  assert.deepEqual(member.log.names, ['open'])
  await bench.pass(1)
  await bench.accept()
  assert.deepEqual(member.log.names, ['open', 'close', 'open'])
})

test('a closed tab waits for no lock: that would keep its page out of the back/forward cache', async () => {
  const bench = new Bench('worker')
  const [first, second] = (await bench.opened(2)) as [Member, Member]
  first.link.suspend(true)
  second.link.close()
  await settle()
  assert.equal(bench.browser.locks.waiting(first.tab) + bench.browser.locks.waiting(second.tab), 0)
})

test('without Web Locks, as on an insecure page, a crashed tab is removed because it is silent', async () => {
  const bench = new Bench('worker')
  const first = bench.browser.tab()
  const member = new Member(first, bench.dial(first), CHAT, {}, null)
  await bench.accept()
  assert.equal(member.link.state, 1)
  first.crash()
  await bench.pass(140_000)
  assert.equal(bench.browser.open.length, 1)
  await bench.pass(60_000)
  assert.equal(bench.browser.open.length, 0)
  assert.equal(bench.browser.ports(bench.worker), 0, 'nothing of it is kept')
})

test('a tab that was silent and resumes joins the hub again', async () => {
  const bench = new Bench('worker')
  const tab = bench.browser.tab()
  const { link } = new Member(tab, bench.dial(tab), CHAT, {}, null)
  await bench.accept()
  tab.frozen = true
  await bench.pass(200_000)
  assert.equal(bench.browser.open.length, 0)
  tab.resume()
  await bench.pass(40_000)
  await bench.accept()
  assert.equal(link.state, 1)
})

test("a worker of another version, as during a deployment, is not used", async () => {
  const bench = new Bench('worker')
  const tab = bench.browser.tab()
  const [port, other] = bench.browser.pair(tab, new Agent())
  const received: unknown[] = []
  other.onmessage = ({ data }) => void received.push(data[0])
  const member = new Member(tab, dialWorker(() => ({ port, onerror: null }), undefined), CHAT, {})
  member.link.send('kept')
  await settle()
  other.postMessage(['ready', undefined, '0.0.0'])
  await settle()
  assert.deepEqual([member.unshared, received], [['kept'], ['leave']])
})

for (const close of [false, true]) {
  test(`when sharing ends while the connection is open, there is a close${close ? ', whose listener may close the socket' : ''}`, async () => {
    const bench = new Bench('worker')
    const [member] = (await bench.opened(1)) as [Member]
    const { sink } = member.log
    Object.assign(member.link, {
      emit: (event: 'close', ...args: unknown[]) => {
        sink(event, ...args)
        if (close && event === 'close' && args[0] === 1001) member.link.close()
      },
    })
    bench.browser.session = undefined
    member.link.wake()
    await settle()
    assert.deepEqual(member.log.of('close'), close ? [[1001, ''], [1000, '']] : [[1001, '']])
    assert.deepEqual(member.unshared, close ? undefined : [])
    assert.deepEqual(bench.browser.open, [])
  })
}

test('a message to a connection that has just ended is reported as lost', async () => {
  const bench = new Bench('worker')
  const [first, second] = (await bench.opened(2)) as [Member, Member]
  bench.browser.session = 'bob'
  second.link.wake()
  await Promise.resolve()
  for (let n = 0; n < 40; n++) {
    first.link.send('x')
    await Promise.resolve()
  }
  await bench.accept()
  assert.ok(first.log.of('error').some(([error]) => /message lost/.test(String(error))))
})
