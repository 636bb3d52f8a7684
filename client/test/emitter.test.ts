import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import type { OdacEvents } from '../src/api'
import { Emitter } from '../src/emitter'

class Open extends Emitter {
  fire(event: string, ...args: unknown[]): number {
    return this.emit(event, args)
  }
}

test('listeners are called in the order of registration, with all arguments', () => {
  const emitter = new Open()
  const calls: unknown[] = []
  emitter.on('close', (code: number, reason: string) => calls.push(['first', code, reason]))
  emitter.on('close', () => calls.push('second'))
  assert.equal(emitter.fire('close', 1000, 'bye'), 2)
  assert.equal(emitter.fire('open'), 0)
  assert.deepEqual(calls, [['first', 1000, 'bye'], 'second'])
})

test('on and off can be chained', () => {
  const emitter = new Open()
  const listener = (): void => {}
  assert.equal(emitter.on('open', listener).off('open', listener).off('message'), emitter)
})

test('off removes one listener, or all of an event', () => {
  const emitter = new Open()
  const calls: string[] = []
  const first = (): unknown => calls.push('first')
  emitter.on('open', first).on('open', () => calls.push('second'))
  emitter.off('open', first)
  emitter.fire('open')
  assert.deepEqual(calls, ['second'])
  emitter.off('open')
  emitter.fire('open')
  assert.deepEqual(calls, ['second'])
})

test('a listener that removes itself or adds another while it is called changes the next event, not this one', () => {
  const emitter = new Open()
  const calls: string[] = []
  const once = (): void => {
    calls.push('once')
    emitter.off('open', once).on('open', () => calls.push('late'))
  }
  emitter.on('open', once).on('open', () => calls.push('always'))
  emitter.fire('open')
  assert.deepEqual(calls, ['once', 'always'])
  emitter.fire('open')
  assert.deepEqual(calls, ['once', 'always', 'always', 'late'])
})

for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '']) {
  test(`the event name ${JSON.stringify(name)} has listeners like any other, and a warning`, (context) => {
    const warn = context.mock.method(console, 'warn', () => {})
    const emitter = new Open()
    emitter.fire(name)
    const calls: unknown[] = []
    emitter.on(name, (value: unknown) => calls.push(value))
    emitter.fire(name, 1)
    emitter.off(name)
    emitter.fire(name, 2)
    assert.deepEqual(calls, [1])
    assert.equal(warn.mock.callCount(), 2)
  })
}

test('on and off warn about an unknown event, and list the known ones', (context) => {
  const warn = context.mock.method(console, 'warn', () => {})
  const emitter = new Open()
  // The compiler requires every name.
  const known: Record<keyof OdacEvents, true> = {
    open: true,
    message: true,
    close: true,
    error: true,
    reconnecting: true,
    offline: true,
    state: true,
    recover: true,
    presence: true,
    invalid: true,
  }
  for (const name of Object.keys(known)) emitter.on(name, () => {}).off(name)
  assert.equal(warn.mock.callCount(), 0)
  emitter.on('mesage', () => {}).off('opened')
  const [on, off] = warn.mock.calls.map(({ arguments: [text] }) => text as string)
  const [said, names] = on?.split('; known: ') ?? []
  assert.equal(said, 'Odac: unknown event mesage')
  assert.deepEqual(names?.split(' ').sort(), Object.keys(known).sort())
  assert.match(off ?? '', /^Odac: unknown event opened;/)
})

test('an error in a listener is reported, and the other listeners still run', (context) => {
  const reports: (() => void)[] = []
  context.mock.method(globalThis, 'setTimeout', ((callback: () => void) => reports.push(callback)) as never)
  const emitter = new Open()
  const after = mock.fn()
  const mistake = new Error('mistake')
  emitter.on('message', () => {
    throw mistake
  })
  emitter.on('message', after)
  emitter.fire('message', 1)
  assert.equal(after.mock.callCount(), 1)
  // As an uncaught error, which the browser shows in its console and passes to window.onerror.
  assert.equal(reports.length, 1)
  assert.throws(reports[0] as () => void, mistake)
})
