// Calls from the page and from the server: what is sent, what is sent again, and how each ends.
import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import type { OdacAnswer, OdacCallError, OdacCallOptions } from '../src/api'
import { Calls } from '../src/calls'

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const make = (greeted = true) => {
  const sent: unknown[][] = []
  const wire = { up: true }
  const calls = new Calls((...message) => {
    if (wire.up) sent.push(message)
    return wire.up
  })
  const open = (origin = 'origin'): void => {
    calls.onHello(origin, 0)
    calls.opened()
  }
  if (greeted) open()
  return { calls, sent, wire, open }
}

const refused = (code: string) => (error: OdacCallError) => {
  assert.deepEqual([error.name, error.code], ['OdacCallError', code])
  return true
}

test('a call resolves with the reply, or rejects with the refusal', async () => {
  const { calls, sent } = make()
  const [first, second] = [calls.call('move', { to: 'e4' }), calls.call('move', undefined)]
  const [[, a, name, args, at, left, retry], [, b, , nothing]] = sent as [unknown[], unknown[]]
  assert.deepEqual([name, args, nothing, retry], ['move', { to: 'e4' }, null, undefined])
  assert.ok((at as number) >= 0 && (left as number) > 9000 && (left as number) <= 10_000)
  calls.receive('reply', b, 7)
  calls.receive('fail', a, 'illegal', 'The board ends at 8')
  assert.equal(await second, 7)
  await assert.rejects(first, { code: 'illegal', message: 'The board ends at 8' })
  calls.receive('reply', a, 'too late')
})

test('two sockets use different ids', () => {
  const ids = [make(), make()].map(({ calls, sent }) => {
    calls.call('x', 1).catch(() => {})
    return sent[0]?.[1] as number
  })
  assert.notEqual(ids[0], ids[1])
  assert.ok(ids.every(Number.isSafeInteger))
})

test('a call rejects at its timeout, and when it is aborted', async () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  try {
    const { calls, sent } = make()
    const late = calls.call('late', null, { timeout: 50 })
    const controller = new AbortController()
    const aborted = calls.call('aborted', null, { signal: controller.signal })
    controller.abort(new Error('enough'))
    await assert.rejects(aborted, /enough/)
    mock.timers.tick(50)
    await assert.rejects(late, refused('timeout'))
    assert.deepEqual(
      sent.slice(2).map(([kind, id]) => [kind, id]),
      [
        ['cancel', sent[1]?.[1]],
        ['cancel', sent[0]?.[1]],
      ],
    )
    await assert.rejects(calls.call('never', null, { signal: controller.signal }), /enough/)
    assert.equal(sent.length, 4)
  } finally {
    mock.timers.reset()
  }
})

test('arguments without a JSON form are refused, and nothing is sent', async () => {
  const { calls, sent } = make()
  await assert.rejects(calls.call('x', 1n))
  await assert.rejects(calls.call('x', () => {}))
  assert.deepEqual(sent, [])
})

test('a call waits for the hello and the open connection, with the arguments as they were when it was made', async () => {
  const { calls, sent } = make(false)
  const args = { to: 'e4' }
  const answer = calls.call('move', args)
  args.to = 'd4'
  calls.onHello('origin', 5)
  assert.equal(sent.length, 0)
  calls.opened()
  assert.deepEqual(sent[0]?.slice(2, 4), ['move', { to: 'e4' }])
  calls.receive('reply', sent[0]?.[1], true)
  assert.equal(await answer, true)
})

test('a lost connection interrupts a call without retry', async () => {
  const { calls, sent, open } = make()
  const [plain, again] = [calls.call('a', 1), calls.call('b', 2, { retry: true })]
  calls.lost(false)
  await assert.rejects(plain, refused('interrupted'))
  assert.deepEqual(sent[1]?.[6], ['origin', 0])
  open('another')
  const [, id, name, , , , [origin, age]] = sent[2] as [string, number, string, unknown, number, number, [string, number]]
  assert.deepEqual([id, name, origin], [sent[1]?.[1], 'b', 'origin'])
  assert.ok(age >= 1)
  calls.receive('reply', id, 'once')
  assert.equal(await again, 'once')
})

test('when the connection ends for good, every call ends', async () => {
  const { calls } = make()
  const sent = calls.call('a', 1, { retry: true })
  calls.lost(true)
  await assert.rejects(sent, refused('interrupted'))
  await assert.rejects(calls.call('b', 1), refused('cancelled'))
  const waiting = make(false)
  const never = waiting.calls.call('a', 1)
  waiting.calls.lost(false)
  waiting.calls.lost(true)
  await assert.rejects(never, refused('cancelled'))
})

test('functions answer the server', async () => {
  const { calls, sent } = make()
  calls.answer('double', (async (number: number) => number * 2) as OdacAnswer)
  calls.answer('nothing', () => {})
  calls.answer('refuses', () => {
    throw Object.assign(new Error('no'), { code: 'mine' })
  })
  calls.receive('call', 1, 'double', 4, 0, 60_000)
  calls.receive('call', 2, 'nothing', null)
  calls.receive('call', 3, 'refuses', null)
  calls.receive('call', 4, 'unknown', null)
  calls.receive('call', 5, 'double', 4, 0, 0)
  await tick()
  assert.deepEqual(
    sent.sort(([, a], [, b]) => Number(a) - Number(b)).map(([kind, id, value]) => [kind, id, value]),
    [
      ['reply', 1, 8],
      ['reply', 2, null],
      ['fail', 3, 'mine'],
      ['fail', 4, 'unknown'],
      ['fail', 5, 'timeout'],
    ],
  )
})

test('an error in an answer is reported in the console, and not sent to the server', async () => {
  const { calls, sent } = make()
  calls.answer('throws', () => {
    throw new Error('secret')
  })
  const later = mock.method(globalThis, 'setTimeout', () => 0)
  calls.receive('call', 1, 'throws', null)
  await tick()
  later.mock.restore()
  assert.throws(later.mock.calls[0]?.arguments[0] as () => void, /secret/)
  assert.deepEqual(sent, [['fail', 1, 'internal', '']])
})

test('at most sixteen answers run at a time; cancel and the end of the connection abort them', async () => {
  const { calls, sent } = make()
  const aborted: unknown[] = []
  calls.answer('slow', (id, { signal }) => {
    signal.addEventListener('abort', () => aborted.push(id))
    return new Promise(() => {})
  })
  for (let id = 0; id <= 16; id++) calls.receive('call', id, 'slow', id)
  await tick()
  assert.deepEqual(sent.map((message) => message.slice(0, 3)), [['fail', 16, 'busy']])
  calls.receive('cancel', 3)
  assert.deepEqual(aborted, [3])
  calls.lost(false)
  assert.equal(aborted.length, 16)
})

test('a call warns about an unknown option, and lists the known ones', (context) => {
  const warn = context.mock.method(console, 'warn', () => {})
  const { calls } = make(false)
  const known: Required<OdacCallOptions> = { timeout: 1, retry: true, signal: AbortSignal.abort() }
  calls.call('move', 1, known).catch(() => {})
  assert.equal(warn.mock.callCount(), 0)
  calls.call('move', 1, { ...known, timout: 5 } as OdacCallOptions).catch(() => {})
  assert.deepEqual(warn.mock.calls.map(({ arguments: given }) => given), [
    ['Odac: unknown option timout; known: ' + Object.keys(known).join(' ')],
  ])
})
