// One room: the connection, and what its messages do to the page.
import { Banner } from './banner.js'
import { drawers } from './drawers.js'
import { Log } from './log.js'
import { People } from './people.js'
import { dress, make } from './person.js'

const byId = (id) => document.getElementById(id)
const { room, id, name } = document.body.dataset
const me = { id, name }
const title = document.title

const banner = new Banner(byId('banner'), byId('banner-text'), byId('banner-action'))
const people = new People(id, {
  list: byId('people-list'),
  faces: byId('faces'),
  count: byId('here-count'),
  typing: byId('typing'),
})
const log = new Log({
  root: byId('log'),
  empty: byId('empty'),
  pill: byId('latest'),
  me: id,
  onUnread: (count) => (document.title = count ? `(${count}) ${title}` : title),
})
drawers(byId('scrim'))
dress(byId('my-avatar'), name)
byId('address').replaceChildren(location.origin, make('wbr'), location.pathname)

const ws = Odac.ws(`/ws/room/${encodeURIComponent(room)}`, { reconnectDelay: 1000, maxReconnectAttempts: 1000 })

const opened = Date.now()

// ---- what arrives

// The first that is told over a new connection is who is here. People who were there when the last one was lost may come
// back one by one, after a restart of the server: no news to anybody.
let first = true
let returning = new Set()

const receive = {
  welcome() {
    log.settle()
  },
  message(message) {
    people.stopped(message.from.id)
    // What was said before this page was opened is no news; what was said while it was away is.
    log.message(message, { old: message.at < opened })
  },
  typing({ id, on }) {
    if (on) people.typing(id)
    else people.stopped(id)
  },
  announcement({ text, at = Date.now() }) {
    log.announcement(text, at)
  },
  refused({ key, reason }) {
    if (!log.refused(key, reason, say)) log.system(reason, Date.now())
  },
  rooms({ rooms }) {
    drawRooms(rooms)
  },
}

ws.on('message', (message) => {
  if (message && Object.hasOwn(receive, message.type)) receive[message.type](message)
})

ws.on('presence', ({ users, joined, left, total }) => {
  people.replace(users.map(({ data }) => data), total)
  const now = Date.now()
  for (const { data } of joined) {
    if (!first && !returning.delete(data.id) && data.id !== id) log.system(`${data.name} came in`, now)
  }
  for (const { data } of left) if (!first) log.system(`${data.name} left`, now)
  first = false
})

ws.on('recover', ({ room: which, recovered }) => {
  if (which === room && !recovered) log.system('Some messages from while you were away may be missing', Date.now())
})

// ---- the connection itself

let gone = 0

ws.on('open', () => {
  clearTimeout(gone)
  banner.open()
  setTimeout(() => returning.clear(), 30_000)
})

// The network has gone. The connection may outlive it: then its return is all that there is to tell.
ws.on('offline', () => banner.trying(true))
addEventListener('online', () => {
  if (ws.connected) banner.open()
})

ws.on('reconnecting', () => {
  clearTimeout(gone)
  banner.trying(!navigator.onLine)
})

ws.on('close', (code, reason) => {
  for (const person of people.ids) returning.add(person)
  first = true
  people.nobodyTypes()
  // Unless a retry is announced in the same breath, this was the end.
  clearTimeout(gone)
  gone = setTimeout(() => {
    if (code === 4001) banner.closed('You are signed out.', 'Sign in again', `/?room=${encodeURIComponent(room)}`)
    else if (code === 4003) banner.closed(reason || 'You may not enter this room.', 'Go to the lobby', '/room/lobby')
    else if (code === 1008) banner.closed('You were disconnected for sending far too fast.', 'Connect again', location.pathname)
    else banner.closed(reason || 'The connection is closed.', 'Connect again', location.pathname)
  })
})

// ---- writing

const text = byId('text')
const send = document.querySelector('.send')
const left = byId('left')
const LONGEST = Number(text.getAttribute('maxlength'))
let typingSince = 0
let quiet = 0
let lastKey = 0

const say = (what) => {
  const key = `${Date.now().toString(36)}-${(lastKey += 1)}`
  log.pending(key, me, what)
  if (!ws.send({ type: 'say', text: what, key })) {
    log.refused(key, 'Too much is waiting for the connection.', say)
  }
}

const notTyping = () => {
  clearTimeout(quiet)
  if (typingSince && ws.connected) ws.send({ type: 'typing', on: false })
  typingSince = 0
}

const fit = () => {
  text.style.height = 'auto'
  text.style.height = `${text.scrollHeight}px`
  send.disabled = text.value.trim() === ''
  const rest = LONGEST - text.value.length
  left.textContent = rest < 200 ? `${rest} characters left` : ''
}

text.addEventListener('input', () => {
  fit()
  if (text.value.trim() === '') return notTyping()
  // Said again every 3 seconds, forgotten by the others after 5: a lost message leaves nobody typing for ever.
  if (ws.connected && Date.now() - typingSince > 3000) {
    typingSince = Date.now()
    ws.send({ type: 'typing', on: true })
  }
  clearTimeout(quiet)
  quiet = setTimeout(notTyping, 4000)
})

text.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault()
    byId('composer').requestSubmit()
  }
})

byId('composer').addEventListener('submit', (event) => {
  event.preventDefault()
  const what = text.value.trim()
  if (!what) return
  clearTimeout(quiet)
  typingSince = 0 // the message itself tells the others that the typing is over
  say(what)
  text.value = ''
  fit()
  text.focus()
})

fit()

// ---- the list of rooms

function drawRooms(rooms) {
  const shown = rooms.some((other) => other.name === room) ? rooms : [...rooms, { name: room, people: people.total }]
  byId('rooms').replaceChildren(
    ...shown.map(({ name, people: count }) => {
      const link = make('a')
      link.href = `/room/${encodeURIComponent(name)}`
      if (name === room) link.setAttribute('aria-current', 'page')
      const hash = make('span', 'hash', '#')
      hash.setAttribute('aria-hidden', 'true')
      const number = make('span', 'count', count || '')
      number.title = count === 1 ? '1 person' : `${count} people`
      link.append(hash, make('span', '', name), number)
      const row = make('li')
      row.append(link)
      return row
    }),
  )
}
