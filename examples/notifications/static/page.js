const byId = (id) => document.getElementById(id)
const ws = Odac.ws('/notifications', { shared: true })

ws.on('open', () => (byId('state').textContent = 'Connected.'))
ws.on('close', () => (byId('state').textContent = 'Not connected. Trying again…'))
ws.on('message', ({ number, connections }) => {
  const item = document.createElement('li')
  item.textContent = `Notification ${number}, sent over ${connections} ${connections === 1 ? 'connection' : 'connections'}.`
  byId('list').prepend(item)
})
byId('notify').addEventListener('click', () => fetch('/notify', { method: 'POST' }))
