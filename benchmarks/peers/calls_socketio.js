// What `benchmarks.calls` measures of Socket.IO: an acknowledged event, in either direction.
const {Server} = require('socket.io')
const io = new Server({transports: ['websocket']})
io.on('connection', (socket) => {
  socket.on('move', (data, acknowledge) => acknowledge(data))
  socket.on('ask', async (data) => socket.emit('asked', await socket.emitWithAck('confirm', data)))
})
io.listen(+process.argv[2])
