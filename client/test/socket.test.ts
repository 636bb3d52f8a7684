// The object that `Odac.ws` returns.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Socket } from '../src/socket'
import { CLOSED, CONNECTING, OPEN, type Sink, Transport } from '../src/transport'

class FakeTransport extends Transport {
  readonly calls: unknown[] = []
  fire: Sink

  constructor(sink: Sink) {
    super(sink)
    this.fire = sink
  }

  override send(payload: unknown): boolean {
    this.calls.push(['send', payload])
    return true
  }
  override control(...message: unknown[]): boolean {
    this.calls.push(['control', ...message])
    return true
  }
  override close(...args: unknown[]): void {
    this.calls.push(['close', ...args])
  }
  override wake(): void {
    this.calls.push('wake')
  }
  override probe(): void {
    this.calls.push('probe')
  }
  override suspend(persisted: boolean | undefined): void {
    this.calls.push(['suspend', persisted])
  }
  protected override transmit(): boolean {
    return true
  }
}

class FakePage extends EventTarget {
  readonly document = { visibilityState: 'visible' }

  fire(type: string, properties: object = {}): void {
    this.dispatchEvent(Object.assign(new Event(type), properties))
  }
}

const make = () => {
  const page = new FakePage()
  let transport!: FakeTransport
  const socket = new Socket(page, (sink) => (transport = new FakeTransport(sink)))
  return { page, socket, transport }
}

test('connected is a boolean, state a readyState', () => {
  const { socket, transport } = make()
  assert.deepEqual([socket.connected, socket.state], [false, 0])
  transport.state = OPEN
  assert.deepEqual([socket.connected, socket.state], [true, 1])
  transport.state = CLOSED
  assert.deepEqual([socket.connected, socket.state], [false, 3])
})

test("JSON is parsed, other text and binary arrive as they are, and the transport's state change is not an event", () => {
  const { socket, transport } = make()
  const received: unknown[] = []
  socket.on('message', (data: unknown) => received.push(data)).on('', () => received.push('state'))
  const buffer = new ArrayBuffer(1)
  for (const payload of ['{"a":1}', 'text', buffer]) transport.fire('message', payload)
  transport.fire('')
  assert.deepEqual(received, [{ a: 1 }, 'text', buffer])
})

test('listeners of close and reconnecting get the arguments', () => {
  const { socket, transport } = make()
  const received: unknown[] = []
  socket.on('close', (...args: unknown[]) => received.push(args)).on('reconnecting', (...args: unknown[]) => received.push(args))
  transport.fire('close', 1001, '{"not": "parsed"}')
  transport.fire('reconnecting', 1, 3000)
  assert.deepEqual(received, [
    [1001, '{"not": "parsed"}'],
    [1, 3000],
  ])
})

test('objects are sent as JSON', () => {
  const { socket, transport } = make()
  assert.equal(socket.send({ a: [1] }), true)
  assert.deepEqual(transport.calls, [['send', '{"a":[1]}']])
})

test("the transport gets the lifecycle events of the page", () => {
  const { page, socket, transport } = make()
  let offline = 0
  socket.on('offline', () => offline++)
  page.fire('offline')
  assert.deepEqual([offline, transport.calls.splice(0)], [1, ['probe']])
  page.fire('online')
  page.document.visibilityState = 'hidden'
  page.fire('visibilitychange')
  page.fire('freeze')
  page.fire('resume')
  page.document.visibilityState = 'visible'
  page.fire('visibilitychange')
  page.fire('pagehide', { persisted: true })
  page.fire('pageshow', { persisted: true })
  page.fire('pagehide', { persisted: false })
  page.fire('pageshow', { persisted: false })
  assert.deepEqual(transport.calls, [
    'wake',
    ['suspend', undefined],
    'wake',
    'wake',
    ['suspend', true],
    'wake',
    ['suspend', false],
  ])
})

test('a closed socket has no listeners on the page', () => {
  const { page, socket, transport } = make()
  socket.close(3000, 'bye')
  for (const type of ['online', 'offline', 'visibilitychange', 'pagehide', 'pageshow', 'freeze', 'resume']) page.fire(type)
  assert.deepEqual(transport.calls, [['close', 3000, 'bye']])
})

test('the same for a socket that the server ended, once close was emitted', () => {
  const { page, socket, transport } = make()
  const received: unknown[] = []
  socket.on('close', (code: number) => received.push(code)).on('offline', () => received.push('offline'))
  transport.ended = true
  transport.fire('close', 4001, '')
  for (const type of ['online', 'offline', 'pagehide']) page.fire(type)
  assert.deepEqual([received, transport.calls], [[4001], []])
})

test('a transport may be replaced, and the new one sends the queue', () => {
  const page = new FakePage()
  const made: FakeTransport[] = []
  let replace!: (connect: (sink: Sink) => Transport, queued: string[]) => void
  const socket = new Socket(page, (sink, other) => {
    replace = other as never
    made.push(new FakeTransport(sink))
    return made[0] as Transport
  })
  const received: unknown[] = []
  socket.on('message', (data: unknown) => received.push(data))
  replace((sink) => {
    made.push(new FakeTransport(sink))
    return made[1] as Transport
  }, ['a', 'b'])
  socket.send('c')
  page.fire('online')
  made[1]?.fire('message', 'text')
  assert.deepEqual(made[0]?.calls, [])
  assert.deepEqual(made[1]?.calls, [['send', 'a'], ['send', 'b'], ['send', 'c'], 'wake'])
  assert.deepEqual(received, ['text'])
})

for (const state of [CONNECTING, OPEN, CLOSED]) {
  test(`in state ${state} close refuses what WebSocket.close refuses, without any effect`, () => {
    const { page, socket, transport } = make()
    transport.state = state
    for (const code of [999, 0, 1001, 1005, 2999, 5000, NaN]) {
      assert.throws(() => socket.close(code), { name: 'InvalidAccessError' }, String(code))
    }
    for (const reason of ['x'.repeat(124), 'é'.repeat(62)]) {
      assert.throws(() => socket.close(1000, reason), { name: 'SyntaxError' })
      assert.throws(() => socket.close(undefined, reason), { name: 'SyntaxError' })
    }
    page.fire('online')
    socket.close(4999, 'x'.repeat(123))
    assert.deepEqual(transport.calls, ['wake', ['close', 4999, 'x'.repeat(123)]])
  })
}

test('each change of the state is one event, before the event that says why', () => {
  const { socket, transport } = make()
  const received: unknown[] = []
  for (const name of ['state', 'open', 'close', 'message']) {
    socket.on(name, (value: unknown) => received.push([name, value, socket.state]))
  }
  transport.fire('')
  transport.state = OPEN
  transport.fire('open')
  transport.fire('message', '1')
  transport.state = CLOSED
  transport.fire('close', 1006, '')
  transport.state = CONNECTING
  transport.fire('')
  assert.deepEqual(received, [
    ['state', 1, 1],
    ['open', undefined, 1],
    ['message', 1, 1],
    ['state', 3, 3],
    ['close', 1006, 3],
    ['state', 0, 0],
  ])
})

test('in a worker, which has no document, only the network events arrive', () => {
  const scope = new EventTarget()
  let transport!: FakeTransport
  new Socket(scope, (sink) => (transport = new FakeTransport(sink)))
  scope.dispatchEvent(new Event('offline'))
  scope.dispatchEvent(new Event('online'))
  assert.deepEqual(transport.calls, ['probe', 'wake'])
})

test('a message that the server refuses is an event', (context) => {
  const warn = context.mock.method(console, 'warn', () => {})
  const { socket, transport } = make()
  const received: unknown[] = []
  socket.on('invalid', (invalid: unknown) => received.push(invalid))
  transport.fire('control', 'invalid', { field: 'to', reason: 'not a square' })
  assert.deepEqual(received, [{ field: 'to', reason: 'not a square' }])
  assert.equal(warn.mock.callCount(), 0)
})

test('without a listener, there is one warning in the console', (context) => {
  const warn = context.mock.method(console, 'warn', () => {})
  const { transport } = make()
  for (const reason of ['first', 'second']) transport.fire('control', 'invalid', { field: 'to', reason })
  assert.equal(warn.mock.callCount(), 1)
  const [text, invalid] = warn.mock.calls[0]?.arguments as [string, unknown]
  assert.match(text, /message refused/)
  assert.deepEqual(invalid, { field: 'to', reason: 'first' })
})

test('reconnect wakes the transport', () => {
  const { socket, transport } = make()
  socket.reconnect()
  assert.deepEqual(transport.calls, ['wake'])
})
