// One room: the connection, and how the page handles its messages.
import { Actions } from './actions.js'
import { Banner } from './banner.js'
import { Composer } from './composer.js'
import { drawers } from './drawers.js'
import { Log } from './log.js'
import { Messages } from './messages.js'
import { News, Notifications } from './news.js'
import { Outbox } from './outbox.js'
import { byId, identity, kept, me, pathOf, room, settings } from './page.js'
import { People } from './people.js'
import { dress, make } from './person.js'
import { Rooms } from './rooms.js'
import { Search } from './search.js'
import { Status } from './status.js'

const title = document.title
const opened = Date.now()

const ws = Odac.ws(`/ws/room/${encodeURIComponent(room)}`, {
  ...identity,
  reconnectDelay: 1000,
  maxReconnectAttempts: null,
})

// ---- the parts of the page

const banner = new Banner(byId('banner'), byId('banner-text'), byId('banner-action'))
const status = new Status(ws, {
  button: byId('status'),
  word: byId('status-word'),
  detail: byId('status-detail'),
  panel: byId('status-panel'),
  state: byId('status-state'),
  trip: byId('status-trip'),
  worker: byId('status-worker'),
  retry: byId('retry'),
  cut: byId('cut'),
  kill: byId('kill'),
})
const people = new People(me.id, {
  list: byId('people-list'),
  faces: byId('faces'),
  count: byId('here-count'),
  typing: byId('typing'),
})
const messages = new Messages()
const log = new Log(
  messages,
  me,
  { root: byId('log'), said: byId('said'), empty: byId('empty'), pill: byId('latest') },
  {
    onUnread: (count) => countUnread({ here: count }),
    onSeen: (at) => seenSoon(at),
    older: (id, count) => ws.call('older', { id, count }),
  },
)
drawers(byId('scrim'))
dress(byId('my-avatar'), me.name)
byId('address').replaceChildren(location.origin, make('wbr'), `/room/${encodeURIComponent(room)}`)

// ---- the other rooms

const rooms = new Rooms({ list: byId('rooms'), find: byId('find-room'), none: byId('no-room') }, room, pathOf)
const notifications = new Notifications(byId('notify'))
const news = new News({
  rooms: (list) => rooms.show(list),
  unread(byRoom, total) {
    rooms.mark(byRoom)
    byId('elsewhere').hidden = total === 0
    countUnread({ elsewhere: total })
  },
  called: (call) => notifications.show(call),
})

const unread = { here: 0, elsewhere: 0 }

function countUnread(change) {
  const before = unread.here + unread.elsewhere
  Object.assign(unread, change)
  const count = unread.here + unread.elsewhere
  if (count === before) return
  document.title = count ? `(${count}) ${title}` : title
  if (count) navigator.setAppBadge?.(count).catch(() => {})
  else navigator.clearAppBadge?.().catch(() => {})
}

// The last message that this person has read, sent to the others at most once a second.
let seen = 0
let telling = 0

function seenSoon(at) {
  if (at <= seen) return
  seen = at
  news.seen(at)
  telling ||= setTimeout(() => {
    telling = 0
    if (ws.connected) ws.send({ type: 'read', at: seen })
  }, 1000)
}

// ---- writing

const keyOf = (id) => (id.startsWith(`${me.id}.`) ? id.slice(me.id.length + 1) : null)
const unsentPrefix = kept(sessionStorage, 'outbox:', null).key

const outbox = new Outbox(
  ws,
  kept(sessionStorage, `outbox:${room}`, []),
  { list: byId('unsent'), bar: byId('not-sent'), barText: byId('not-sent-text'), sendAll: byId('send-all') },
  {
    taken(key, { at, stored }, text) {
      const id = `${me.id}.${key}`
      log.message({ id, from: me, text, at }) // where the answer is faster than the room
      if (stored) log.stored(id)
      back.sent()
    },
    added: () => log.wrote(),
    changed() {
      log.stayAtEnd()
      const keys = Object.keys(sessionStorage).filter((key) => key.startsWith(unsentPrefix))
      rooms.markUnsent(keys.map((key) => key.slice(unsentPrefix.length)))
    },
    focus: () => composer.focus(),
  },
)

const composer = new Composer(
  {
    form: byId('composer'),
    text: byId('text'),
    send: document.querySelector('.send'),
    left: byId('left'),
    editing: byId('editing'),
    stopEditing: byId('stop-editing'),
  },
  kept(sessionStorage, `draft:${room}`, ''),
  settings.longest,
  {
    say: (text) => outbox.add(text),
    change: (id, text) => ask('edit', { id, text }),
    typing: (on) => ws.connected && ws.send({ type: 'typing', on }),
    lastOwn: () => messages.items.findLast((item) => item.from?.id === me.id && !item.deleted),
  },
)

new Actions(byId('log'), byId('actions'), settings.reactions, {
  find: (id) => messages.get(id),
  isOwn: (message) => message?.from.id === me.id,
  react: ({ id, reactions }, emoji) => ask('react', { id, emoji, on: !Object.hasOwn(reactions?.[emoji] ?? {}, me.id) }),
  edit: (message) => composer.edit(message),
  remove: ({ id }) => ask('delete', id),
  leave: () => composer.focus(),
})

new Search(
  {
    form: byId('search'),
    input: byId('search-text'),
    open: byId('search-open'),
    close: byId('search-close'),
    count: byId('search-count'),
    found: byId('found'),
  },
  { find: (text) => ws.call('search', text), goTo: (id) => log.goTo(id) },
)

// A change of a message: the page is updated by the room's event; only a refusal is shown here.
async function ask(name, args) {
  try {
    await ws.call(name, args, { retry: true })
  } catch ({ code, message }) {
    log.note(['slow', 'refused', 'away'].includes(code) ? message : 'That did not reach the server. Please try it again.')
  }
}

// ---- after a reconnect

const back = {
  from: 0, // when the connection was lost
  own: 0,
  missed: 0,
  told: true,
  lost() {
    if (!this.from) Object.assign(this, { from: Date.now(), own: 0, missed: 0 })
    this.told = false
    log.markNext('You stopped reading here')
  },
  sent() {
    if (!this.from) return
    this.own += 1
    this.tell()
  },
  received() {
    if (this.from && !this.told) this.missed += 1
  },
  caughtUp() {
    if (!this.from) return
    this.told = true
    log.unmarkNext()
    this.tell()
  },
  tell() {
    // A quick reconnect without missed messages is not reported.
    if (this.own || this.missed || banner.state !== 'none') banner.back(this.own, this.missed)
    if (outbox.waiting === 0 && this.told) this.from = 0
  },
}

// ---- what arrives

// A new connection first gets the list of people. After a restart of the server, people who were in the previous list
// may reconnect one by one: this is not announced.
let first = true
let returning = new Set()
let visited = false

const receive = {
  welcome({ worker, canKill }) {
    status.welcome(worker, canKill)
    log.settle()
    if (visited) return
    visited = true
    log.mayHaveOlder()
  },
  message(message) {
    const mine = message.from.id === me.id
    people.stopped(message.from.id)
    if (!mine && !messages.has(message.id)) back.received()
    const ours = mine && outbox.arrived(keyOf(message.id))
    // Messages from before this page was opened are not announced; those sent while it was disconnected are.
    log.message(message, { old: message.at < opened })
    if (mine && !ours && settings.keeps) log.stored(message.id) // from another tab, or before a reload: no call waits
  },
  edit: (event) => log.change(event),
  delete(event) {
    log.change(event)
    composer.deleted(event.id)
  },
  react: (event) => log.change(event),
  typing({ id, on }) {
    if (on) people.typing(id)
    else people.stopped(id)
  },
  announcement: ({ text, at = Date.now() }) => log.announcement(text, at),
  notice: ({ text }) => log.note(text),
}

ws.on('message', (message) => {
  if (message && Object.hasOwn(receive, message.type)) receive[message.type](message)
})

ws.on('presence', ({ users, joined, changed, left, total }) => {
  const now = Date.now()
  for (const { data } of joined) {
    if (!first && !returning.delete(data.id) && data.id !== me.id) log.arrival('came', data.name, now)
  }
  for (const { data } of [...joined, ...changed]) log.read(data)
  for (const { data } of left) if (!first) log.arrival('left', data.name, now)
  people.replace(users.map(({ data }) => data), total)
  rooms.showHere(total)
  first = false
})

ws.on('recover', async ({ room: which, recovered }) => {
  if (which !== room) return
  if (!recovered) {
    try {
      const latest = await ws.call('older', { id: null, count: 300 })
      if (!log.reloaded(latest.messages, latest.more)) {
        log.note('Some messages from while you were away may be missing')
      }
    } catch {
      return // the connection is gone again
    }
  }
  back.caughtUp()
})

// ---- the connection itself

let gone = 0

ws.on('open', () => {
  clearTimeout(gone)
  banner.open()
  setTimeout(() => returning.clear(), 30_000)
  // A room without history reports no recovery.
  setTimeout(() => ws.connected && !back.told && back.caughtUp(), 3_000)
  if (seen) ws.send({ type: 'read', at: seen })
})

// The network is gone. The connection may survive that; then only the return of the network is reported.
ws.on('offline', () => banner.trying(true))
addEventListener('online', () => {
  if (ws.connected) banner.open()
})

ws.on('reconnecting', () => {
  clearTimeout(gone)
  banner.trying(!navigator.onLine)
})

ws.on('close', (code, reason) => {
  if (!first) {
    returning = new Set([...returning, ...people.ids])
    back.lost()
  }
  first = true
  people.nobodyTypes()
  // Unless a retry is announced in the same turn, the connection has ended for good.
  clearTimeout(gone)
  gone = setTimeout(() => {
    const ends = {
      4001: ['You are signed out.', 'Sign in again', `/?room=${encodeURIComponent(room)}`],
      4003: [reason || 'You may not enter this room.', 'Go to the lobby', pathOf('lobby')],
      1008: ['You were disconnected for sending far too fast.', 'Connect again', location.pathname],
    }
    const [text, label, href] = ends[code] ?? [reason || 'The connection is closed.', 'Connect again', location.pathname]
    banner.closed(text, label, href)
    status.closed(code === 4001 ? 'Signed out' : 'Closed')
    composer.close(text)
  })
})

composer.start()
