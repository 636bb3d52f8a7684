// A test in a project of CommonJS modules, where Jest is not set up for anything else.
const { Odac, ws } = require('odac-client')
const { useOdac: useReact } = require('odac-client/react')
const { useOdac: useVue } = require('odac-client/vue')

class FakeSocket {
  static last
  readyState = 0
  protocol = 'odac.v1'
  sent = []
  constructor(url) {
    this.url = url
    FakeSocket.last = this
  }
  send(data) {
    this.sent.push(data)
  }
  close(code) {
    queueMicrotask(() => this.onclose?.({ code, reason: '' }))
  }
}

beforeEach(() => {
  FakeSocket.last = undefined
  Object.assign(globalThis, {
    WebSocket: FakeSocket,
    location: new URL('http://site/'),
    origin: 'http://site',
    navigator: {},
    addEventListener: () => {},
    removeEventListener: () => {},
  })
})

const until = async (condition) => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1))
}

test('each module of the package can be required', () => {
  expect([Odac.ws, ws, useReact, useVue].map((value) => typeof value)).toEqual(Array(4).fill('function'))
})

// Shared: there is nothing here to share by, which the module that is loaded for it finds out.
test.each([{}, { shared: true }])('with the options %j a connection opens', async (options) => {
  globalThis.fetch = async () => new Response('{"token": "t", "session": "s"}')
  const socket = Odac.ws('/chat', options)
  socket.send('kept')
  await until(() => FakeSocket.last)
  const { last } = FakeSocket
  last.readyState = 1
  last.onmessage({ data: '\x1e["hello", {"id": "1"}]' })
  expect([last.url, last.sent, socket.connected]).toEqual(['ws://site/chat', ['kept'], true])
  socket.close()
  await until(() => socket.state === 3)
})
