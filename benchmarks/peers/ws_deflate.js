const {WebSocketServer} = require('ws')
const room = new Set()
const s = new WebSocketServer({port: +process.argv[2], host: '127.0.0.1', backlog: 4096, perMessageDeflate: {threshold: 0}})
s.on('connection', w => {
  room.add(w); w.on('close', () => room.delete(w))
  w.on('message', m => { const t = JSON.stringify(JSON.parse(m)); for (const x of room) x.send(t) })
})
