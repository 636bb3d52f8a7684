// Socket.IO with connection state recovery for `python -m benchmarks.recovery`.
// node recovery_socketio.js serve PORT REDIS|memory: in one process, or with the Redis streams adapter.
// node recovery_socketio.js follow URL: a client, which prints what it gets, a line each.
const { createServer } = require('http')

const serve = async (port, redis) => {
  const { Server } = require('socket.io')
  const options = { connectionStateRecovery: { maxDisconnectionDuration: 120_000 } }
  if (redis !== 'memory') {
    const { createClient } = require('redis')
    const client = createClient({ url: redis })
    client.on('error', () => {})
    await client.connect()
    options.adapter = require('@socket.io/redis-streams-adapter').createAdapter(client)
  }
  let io
  const http = createServer((request, response) => {
    if (!request.url.startsWith('/say/')) return
    io.to('room').emit('message', Number(request.url.slice(5)))
    response.end('ok')
  })
  io = new Server(http, options)
  io.on('connection', (socket) => socket.join('room'))
  http.listen(Number(port), '127.0.0.1')
}

const follow = (url) => {
  const socket = require('socket.io-client').io(url, { transports: ['websocket'] })
  socket.on('connect', () => console.log(`connect ${socket.recovered}`))
  socket.on('message', (number) => console.log(`message ${number}`))
}

if (process.argv[2] === 'serve') serve(process.argv[3], process.argv[4])
else follow(process.argv[3])
