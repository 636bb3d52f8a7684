// Events of the other rooms, over one connection that all tabs of this browser share.
import { isMention } from './bubble.js'
import { identity, kept, me, pathOf, room } from './page.js'

export class News {
  #unread = {}
  #seen = kept(localStorage, 'seen', {})
  #hooks

  /** @param hooks rooms(list), unread(byRoom, total), called({room, message}) */
  constructor(hooks) {
    this.#hooks = hooks
    // A frame of /two has its own person instead of the browser's session, and so a connection of its own.
    const ws = Odac.ws('/ws/news', { ...identity, shared: !identity.auth, maxReconnectAttempts: null })
    // A later tab does not get messages that were sent before it joined: each tab requests the initial state.
    ws.on('open', async () => {
      try {
        hooks.rooms(await ws.call('rooms'))
        this.#unread = await ws.call('unread', this.#others())
        this.#tell()
      } catch {
        // The connection has ended; the request is repeated on the next one.
      }
    })
    ws.on('message', (news) => {
      if (news.type === 'rooms') hooks.rooms(news.rooms)
      else if (news.type === 'said') this.#said(news)
    })
    // Another tab has marked messages as read.
    addEventListener('storage', ({ key }) => {
      if (key !== this.#seen.key) return
      const seen = this.#seen.load()
      for (const name of Object.keys(this.#unread)) if (seen[name] > this.#unread[name].last) delete this.#unread[name]
      this.#tell()
    })
  }

  /** The person has read the room's messages up to this one. */
  seen(at) {
    const seen = this.#seen.load()
    if (!(at > (seen[room] ?? 0))) return
    delete seen[room]
    const rest = Object.entries(seen).slice(-29) // the rooms that were read last
    this.#seen.save(Object.fromEntries([...rest, [room, at]]))
  }

  #others() {
    const seen = this.#seen.load()
    delete seen[room]
    return seen
  }

  #said({ room: where, message }) {
    if (message.from.id === me.id) return
    const called = isMention(message.text, me.name)
    if (called) this.#hooks.called({ room: where, message })
    if (where === room) return // the room's own connection counts
    const { count = 0, mentions = 0 } = this.#unread[where] ?? {}
    this.#unread[where] = { count: count + 1, mentions: mentions + called, last: message.at - 1 }
    this.#tell()
  }

  #tell() {
    const total = Object.values(this.#unread).reduce((sum, { count }) => sum + count, 0)
    this.#hooks.unread(this.#unread, total)
  }
}

/** The button that requests permission for notifications, with an explanation. */
export class Notifications {
  #on = kept(localStorage, 'notify', false)
  #button

  constructor(button) {
    this.#button = button
    if (!('Notification' in window) || !isSecureContext) return
    button.hidden = false
    button.addEventListener('click', async () => {
      const on = !this.#active && (await Notification.requestPermission()) === 'granted'
      this.#on.save(on)
      this.#draw()
    })
    this.#draw()
  }

  get #active() {
    return this.#on.load() && Notification.permission === 'granted'
  }

  #draw() {
    const denied = Notification.permission === 'denied'
    this.#button.disabled = denied
    this.#button.setAttribute('aria-pressed', this.#active)
    this.#button.title = denied
      ? 'Your browser does not allow this page to notify you'
      : `Notify me when somebody calls me: ${this.#active ? 'on' : 'off'}`
  }

  show({ room: where, message }) {
    if (this.#button.hidden || !this.#active || (!document.hidden && where === room)) return
    // Each tab gets the event; the tag combines them into one notification.
    const shown = new Notification(`${message.from.name} in #${where}`, { body: message.text, tag: message.id })
    shown.onclick = () => {
      window.focus()
      if (where !== room) location.href = pathOf(where)
      shown.close()
    }
  }
}
