const {Server} = require('socket.io')
const io = new Server({transports: ['websocket'], perMessageDeflate: {threshold: 0}})
io.on('connection', s => { s.join('r'); s.on('room', d => io.to('r').emit('room', d)) })
io.listen(+process.argv[2])
