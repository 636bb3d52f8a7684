// The conversation: groups what one person says, draws the days, keeps the reader's place and counts what is new.
import { avatar, make } from './person.js'

const TOGETHER = 5 * 60_000 // messages of one person within this time stand as one group
const NEAR = 60 // pixels from the end that still count as reading along

const clock = new Intl.DateTimeFormat([], { hour: '2-digit', minute: '2-digit' })
const longDay = new Intl.DateTimeFormat([], { weekday: 'long', day: 'numeric', month: 'long' })
const dayOf = (at) => new Date(at).toDateString()

const dayName = (at) => {
  const now = new Date()
  if (dayOf(at) === dayOf(now)) return 'Today'
  now.setDate(now.getDate() - 1)
  return dayOf(at) === dayOf(now) ? 'Yesterday' : longDay.format(at)
}

const time = (at) => {
  const element = make('time', '', clock.format(at))
  element.dateTime = new Date(at).toISOString()
  element.title = new Date(at).toLocaleString()
  return element
}

// Text with its web addresses as links. Everything else stays text: nothing of it is ever read as HTML.
const linked = (text) => {
  const fragment = document.createDocumentFragment()
  let end = 0
  for (const match of text.matchAll(/https?:\/\/[^\s<>"']*[^\s<>"'.,;:!?)\]]/g)) {
    const link = make('a', '', match[0])
    link.href = match[0]
    link.target = '_blank'
    link.rel = 'noopener noreferrer nofollow'
    fragment.append(text.slice(end, match.index), link)
    end = match.index + match[0].length
  }
  fragment.append(text.slice(end))
  return fragment
}

export class Log {
  #root
  #empty
  #pill
  #me
  #onUnread
  #pending = new Map()
  #shown = new Set()
  #last = null // {person, at, day}: what the next message may be grouped with
  #unread = 0
  #follow = true
  #height = 0

  constructor({ root, empty, pill, me, onUnread }) {
    this.#root = root
    this.#empty = empty
    this.#pill = pill
    this.#me = me
    this.#onUnread = onUnread
    root.addEventListener('scroll', () => this.#looked(), { passive: true })
    pill.addEventListener('click', () => this.toEnd('smooth'))
    document.addEventListener('visibilitychange', () => this.#looked())
    // A keyboard that slides up, or a composer that grows, must not hide the last message.
    new ResizeObserver(() => {
      this.#height = root.clientHeight
      if (this.#follow) this.toEnd()
    }).observe(root)
  }

  toEnd(behavior = 'auto') {
    this.#root.scrollTo({ top: this.#root.scrollHeight, behavior })
  }

  /** A message from the server, of somebody else or of this person; one that is shown already is left alone. */
  message({ id, from, text, at, key }, { old = false } = {}) {
    const mine = from.id === this.#me
    if (mine) {
      this.#pending.get(key)?.element.remove()
      this.#pending.delete(key)
    }
    if (this.#shown.has(id)) return
    this.#shown.add(id)
    const element = this.#bubble(from, text, at, mine)
    this.#add(element, { mine, unread: !mine && !old })
  }

  /** This person's message, shown at once and marked until the server has it. */
  pending(key, person, text) {
    const before = this.#last
    const element = this.#bubble(person, text, Date.now(), true)
    this.#last = before // what is not said yet starts no group
    element.classList.add('pending')
    if (this.#pending.size) element.classList.add('follows')
    // Read out once, when the server has it.
    element.setAttribute('aria-hidden', 'true')
    element.append(make('p', 'state', 'Sending…'))
    this.#pending.set(key, { element, text })
    this.#add(element, { mine: true, end: true })
  }

  /** The server did not take a message: keep it, say why, and offer to send it again. */
  refused(key, reason, sendAgain) {
    const waiting = this.#pending.get(key)
    if (!waiting) return false
    waiting.element.classList.replace('pending', 'refused')
    waiting.element.removeAttribute('aria-hidden')
    const again = make('button', '', 'Send again')
    again.type = 'button'
    again.addEventListener('click', () => {
      this.#pending.delete(key)
      waiting.element.remove()
      sendAgain(waiting.text)
    })
    waiting.element.querySelector('.state').replaceChildren(make('span', '', `Not sent. ${reason}`), again)
    if (this.#follow) this.toEnd()
    return true
  }

  system(text, at) {
    this.#day(at)
    this.#last = null
    const line = make('p', 'system', `${text} · `)
    line.append(time(at))
    this.#add(line, {})
  }

  announcement(text, at) {
    this.#day(at)
    this.#last = null
    const card = make('div', 'announcement')
    card.append(make('b', '', 'Announcement'), linked(text))
    this.#add(card, { unread: true })
  }

  /** With nothing said yet, say what this place is. */
  settle() {
    this.#empty.hidden = this.#root.querySelector('.message, .announcement') !== null
  }

  #bubble(person, text, at, mine) {
    this.#day(at)
    const follows = this.#last?.person === person.id && at - this.#last.at < TOGETHER
    this.#last = { person: person.id, at }
    const element = make('article', 'message')
    element.classList.toggle('mine', mine)
    element.classList.toggle('follows', follows)
    const meta = make('div', 'meta')
    const author = make('span', 'author', mine ? 'You' : person.name)
    meta.append(author, time(at))
    const bubble = make('div', 'bubble')
    bubble.dir = 'auto'
    bubble.append(linked(text))
    element.append(avatar(person.name), meta, bubble)
    return element
  }

  #lastDay = ''
  #day(at) {
    if (this.#lastDay === dayOf(at)) return
    this.#lastDay = dayOf(at)
    this.#last = null
    this.#insert(make('p', 'day', dayName(at)))
  }

  #insert(element) {
    // What is still on its way stays at the end.
    this.#root.insertBefore(element, this.#root.querySelector('.pending'))
  }

  #add(element, { mine = false, unread = false, end = false }) {
    this.#empty.hidden = true
    const follow = this.#follow || mine
    if (unread && (document.hidden || !follow)) {
      if (this.#unread === 0) {
        this.#root.querySelector('.new')?.remove()
        this.#insert(make('p', 'new', 'New'))
        element.classList.remove('follows')
      }
      this.#unread += 1
    } else if (mine) {
      this.#root.querySelector('.new')?.remove()
    }
    if (end) this.#root.append(element)
    else this.#insert(element)
    if (follow) this.toEnd()
    this.#tell()
  }

  #looked() {
    const { scrollHeight, scrollTop, clientHeight } = this.#root
    // A frame of another height scrolled by itself, not because the reader did: the observer above puts that right.
    if (clientHeight === this.#height) this.#follow = scrollHeight - scrollTop - clientHeight < NEAR
    this.#height = clientHeight
    if (this.#follow && !document.hidden) this.#unread = 0
    this.#tell()
  }

  #tell() {
    this.#pill.hidden = this.#follow
    this.#pill.textContent = this.#unread
      ? `${this.#unread} new ${this.#unread === 1 ? 'message' : 'messages'} ↓`
      : 'Latest messages ↓'
    this.#onUnread(this.#unread)
  }
}
