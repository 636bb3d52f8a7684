// The conversation on the screen: about 500 entries of it, the others on demand. It keeps the reader's place, counts what
// is new, and shows the delivery state of one's own messages.
import { drawAnnouncement, drawArrivals, drawDay, drawMessage, drawNote, drawTick } from './bubble.js'
import { make } from './person.js'
import { dayName, dayOf, eachMidnight } from './time.js'

const TOGETHER = 5 * 60_000 // messages of one person within this time form one group
const NEAR = 60 // pixels from the end that still count as reading along
const SHOWN = 500 // entries in the page, and as many more while somebody reads further up
const STEP = 100 // entries that are shown or asked for at once
const KNOWN = 5_000 // entries that the page remembers
const EARLY = 600 // pixels from an edge at which the next entries are fetched

export class Log {
  #parts
  #messages
  #me
  #hooks
  #first = 0 // shown: the items from this one
  #end = 0 // to the one before this one
  #nodes = new Map() // of each shown item: separators, then its element
  #readers = new Map() // how far the others have read: {name, at} by id
  #mark = null // {item, text}: a line before this item
  #unread = 0
  #follow = true
  #height = 0
  #more = false
  #loading = false
  #scrolling = 0

  /**
   * @param parts elements: root, said, empty, pill
   * @param hooks onUnread(count), onSeen(at), older(id) which asks the server
   */
  constructor(messages, me, parts, hooks) {
    this.#messages = messages
    this.#me = me
    this.#parts = parts
    this.#hooks = hooks
    const { root, pill } = parts
    root.addEventListener('scroll', () => this.#looked(), { passive: true })
    pill.addEventListener('click', () => this.showEnd())
    document.addEventListener('visibilitychange', () => this.#looked())
    // A keyboard that slides up, or a composer that grows, must not hide the last message.
    new ResizeObserver(() => {
      this.#height = root.clientHeight
      if (this.#follow) this.toEnd()
    }).observe(root)
    eachMidnight(() => {
      for (const line of root.querySelectorAll('.day')) line.textContent = dayName(Number(line.dataset.at))
    })
  }

  get #items() {
    return this.#messages.items
  }

  // ---- new entries

  /** Add a message of the room, unless it is known already. */
  message(message, { old = false } = {}) {
    if (this.#messages.has(message.id)) return false
    const mine = message.from.id === this.#me.id
    this.#append({ reactions: {}, ...message, kind: 'message' }, { mine, unread: !mine && !old })
    return true
  }

  /** Apply an edit, a deletion or a reaction to a message. */
  change(event) {
    const item = this.#messages.change(event)
    if (item) this.#keepPlace(() => this.#redraw(item))
  }

  /** A person has joined or left: consecutive lines of this kind are combined. */
  arrival(kind, name, at) {
    const last = this.#items.at(-1)
    if (last?.kind !== 'arrivals' || dayOf(last.at) !== dayOf(at)) {
      return this.#append({ kind: 'arrivals', came: [], left: [], at, [kind]: [name] }, {})
    }
    last[kind] = [...last[kind].filter((other) => other !== name), name]
    last.at = at
    this.#keepPlace(() => this.#redraw(last))
  }

  note(text) {
    this.#append({ kind: 'note', text, at: Date.now() }, {})
  }

  announcement(text, at) {
    this.#append({ kind: 'announcement', text, at }, { unread: true })
  }

  /** The newest messages, after a gap of unknown size. Returns whether they continue the entries of the page. */
  reloaded(messages, more) {
    const known = messages.some(({ id }) => this.#messages.has(id))
    if (!known && more) {
      this.#messages.forgetAll()
      this.#show(0, 0)
      this.#more = true
    }
    for (const message of messages) {
      if (this.message(message)) continue
      Object.assign(this.#messages.get(message.id), message)
      this.#redraw(this.#messages.get(message.id))
    }
    return known || messages.length === 0
  }

  /** Add a line before the next message of another person: the reader was disconnected here. */
  markNext(text) {
    this.#mark = { item: null, text }
  }

  unmarkNext() {
    if (this.#mark?.item === null) this.#mark = null
  }

  /** Show the introduction of an empty room. */
  settle() {
    this.#parts.empty.hidden = this.#items.some(({ kind }) => kind === 'message' || kind === 'announcement')
  }

  /** There may be older messages: they are requested when the reader scrolls to the beginning. */
  mayHaveOlder() {
    this.#more = true
    this.#looked()
  }

  // ---- the delivery state of one's own messages

  stored(id) {
    const item = this.#messages.get(id)
    if (!item) return
    item.stored = true
    this.#tick(item)
  }

  read({ id, name, read = 0 }) {
    const before = this.#readers.get(id)?.at ?? 0
    if (id === this.#me.id || read <= before) return
    this.#readers.set(id, { name, at: read })
    for (let index = this.#end - 1; index >= this.#first && this.#items[index].at > before; index -= 1) {
      if (this.#items[index].at <= read) this.#tick(this.#items[index])
    }
  }

  #tick(item) {
    const tick = this.#nodes.get(item)?.at(-1).querySelector(':scope > .tick')
    if (!tick) return
    const names = [...this.#readers.values()].filter(({ at }) => at >= item.at).map(({ name }) => name)
    drawTick(tick, names.length || (item.stored ? 'stored' : 'sent'), names)
  }

  // ---- the scroll position

  toEnd() {
    this.#parts.root.scrollTop = this.#parts.root.scrollHeight
  }

  /** The person has sent a message: everything above it counts as read. */
  wrote() {
    if (this.#mark?.item) this.#remark(null)
    this.showEnd()
  }

  /** An element at the end has changed its height. */
  stayAtEnd() {
    if (this.#follow) this.#endSoon()
  }

  showEnd() {
    if (this.#end < this.#items.length) this.#show(Math.max(0, this.#items.length - STEP), this.#items.length)
    this.#follow = true
    this.toEnd()
    this.#looked()
  }

  /** Show a message, which may have to be loaded first; returns whether it exists. */
  async goTo(id) {
    while (!this.#messages.has(id) && this.#more) if (!(await this.#ask())) break
    const item = this.#messages.get(id)
    if (!item) return false
    const index = this.#items.indexOf(item)
    if (!this.#nodes.has(item)) {
      this.#show(Math.max(0, index - STEP / 2), Math.min(this.#items.length, index + STEP / 2))
    }
    const element = this.#nodes.get(item).at(-1)
    element.scrollIntoView({ block: 'center' })
    element.focus({ preventScroll: true })
    return true
  }

  // ---- drawing

  #append(item, { mine = false, unread = false }) {
    this.#parts.empty.hidden = true
    const reads = this.#follow && !document.hidden
    if (unread && this.#mark?.item === null) this.#mark.item = item
    else if (unread && !reads && this.#unread === 0) this.#remark(item, 'New')
    if (unread && !reads) this.#unread += 1
    const atEnd = this.#end === this.#items.length
    this.#messages.add(item)
    if (mine && !atEnd) return this.showEnd()
    if (atEnd && (this.#follow || this.#end - this.#first < 2 * SHOWN)) {
      this.#parts.said.append(...this.#draw(this.#end++))
    }
    if (this.#follow || mine) {
      this.#follow = true
      this.#dropFirst()
      this.#endSoon()
    }
    this.#tell()
  }

  #remark(item, text = '') {
    const before = this.#mark?.item
    this.#mark = item && { item, text }
    if (before) this.#redraw(before)
  }

  /** Create the nodes of an item: its separator from the previous one, and the item itself. */
  #draw(index) {
    const item = this.#items[index]
    const before = this.#items[index - 1]
    const nodes = []
    if (!before || dayOf(before.at) !== dayOf(item.at)) nodes.push(drawDay(item.at))
    if (this.#mark?.item === item) nodes.push(make('p', 'new', this.#mark.text))
    const follows =
      nodes.length === 0 && before?.from !== undefined && before.from.id === item.from?.id && item.at - before.at < TOGETHER
    if (item.kind === 'message') nodes.push(drawMessage(item, { me: this.#me, follows }))
    else if (item.kind === 'arrivals') nodes.push(drawArrivals(item))
    else nodes.push(item.kind === 'note' ? drawNote(item) : drawAnnouncement(item))
    this.#nodes.set(item, nodes)
    this.#tick(item)
    return nodes
  }

  #redraw(item) {
    const old = this.#nodes.get(item)
    if (!old) return
    const focused = old.at(-1).contains(document.activeElement)
    const fresh = this.#draw(this.#items.lastIndexOf(item))
    old[0].before(...fresh)
    for (const node of old) node.remove()
    if (focused) fresh.at(-1).focus({ preventScroll: true })
  }

  #remove(from, to) {
    for (const item of this.#items.slice(from, to)) {
      for (const node of this.#nodes.get(item)) node.remove()
      this.#nodes.delete(item)
    }
  }

  /** Show these items and no others. */
  #show(first, end) {
    this.#quietly(() => {
      this.#parts.said.replaceChildren()
      this.#nodes.clear()
      this.#first = first
      this.#end = first
      const all = []
      while (this.#end < end) all.push(...this.#draw(this.#end++))
      this.#parts.said.append(...all)
    })
  }

  #showEarlier() {
    this.#quietly(() =>
      this.#keepPlace(() => {
        const from = Math.max(0, this.#first - STEP)
        const nodes = []
        for (let index = from; index < this.#first; index += 1) nodes.push(...this.#draw(index))
        const border = this.#items[this.#first]
        this.#parts.said.prepend(...nodes)
        this.#first = from
        if (border) this.#redraw(border) // its day, and whether it goes on with the message before
        if (this.#end - this.#first > SHOWN + 2 * STEP) {
          this.#remove(this.#first + SHOWN, this.#end)
          this.#end = this.#first + SHOWN
        }
      }),
    )
  }

  #showLater() {
    this.#quietly(() =>
      this.#keepPlace(() => {
        const end = Math.min(this.#items.length, this.#end + STEP)
        const nodes = []
        while (this.#end < end) nodes.push(...this.#draw(this.#end++))
        this.#parts.said.append(...nodes)
        this.#dropFirst()
      }),
    )
  }

  #dropFirst() {
    if (this.#end - this.#first > SHOWN + STEP) {
      this.#remove(this.#first, this.#end - SHOWN)
      this.#first = this.#end - SHOWN
    }
    if (this.#follow && this.#items.length > KNOWN + 10 * STEP) {
      const count = Math.min(this.#first, this.#items.length - KNOWN)
      this.#messages.forget(count)
      this.#first -= count
      this.#end -= count
      this.#more = true
    }
  }

  async #ask() {
    this.#loading = true
    try {
      const { messages, more } = await this.#hooks.older(this.#messages.oldest, STEP)
      const count = this.#messages.addOlder(messages)
      this.#first += count
      this.#end += count
      this.#more = more
      return true
    } catch {
      return false // the reader scrolls again
    } finally {
      this.#loading = false
    }
  }

  async #earlier() {
    if (this.#loading) return
    if (this.#first === 0 && !(this.#more && (await this.#ask()))) return
    if (this.#first > 0) this.#showEarlier()
  }

  /** Change the log without an announcement by screen readers: nothing in it is new. */
  #quietly(change) {
    this.#parts.root.setAttribute('aria-live', 'off')
    change()
    setTimeout(() => this.#parts.root.removeAttribute('aria-live'), 500)
  }

  /** Change the log, and keep the scroll position of the visible entries, to the pixel. */
  #keepPlace(change) {
    if (this.#follow) {
      change()
      return this.#endSoon()
    }
    const item = this.#topmost()
    const topOf = () => this.#nodes.get(item).at(-1).getBoundingClientRect().top
    const top = item && topOf()
    change()
    if (item && this.#nodes.has(item)) this.#parts.root.scrollTop += topOf() - top
  }

  #topmost() {
    const top = this.#parts.root.getBoundingClientRect().top
    let [low, high] = [this.#first, this.#end]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#nodes.get(this.#items[middle]).at(-1).getBoundingClientRect().bottom > top) high = middle
      else low = middle + 1
    }
    return this.#items[Math.min(low, this.#end - 1)]
  }

  #endSoon() {
    this.#scrolling ||= requestAnimationFrame(() => {
      this.#scrolling = 0
      if (this.#follow) this.toEnd()
    })
  }

  #looked() {
    const { scrollHeight, scrollTop, clientHeight } = this.#parts.root
    const below = scrollHeight - scrollTop - clientHeight
    // A change of the frame's height has scrolled it, not the reader: the observer above corrects that.
    if (clientHeight === this.#height && !this.#scrolling) {
      this.#follow = below < NEAR && this.#end === this.#items.length
    }
    this.#height = clientHeight
    if (scrollTop < EARLY && !this.#scrolling) void this.#earlier()
    if (below < EARLY && this.#end < this.#items.length) this.#showLater()
    if (this.#follow && !document.hidden) this.#unread = 0
    this.#tell()
  }

  #tell() {
    const { pill } = this.#parts
    const text = this.#unread
      ? `${this.#unread} new ${this.#unread === 1 ? 'message' : 'messages'} ↓`
      : 'Latest messages ↓'
    if (pill.hidden !== this.#follow) pill.hidden = this.#follow
    if (pill.textContent !== text) pill.textContent = text
    this.#hooks.onUnread(this.#unread)
    const last = this.#items.at(-1)
    if (this.#follow && !document.hidden && last) this.#hooks.onSeen(last.at)
  }
}
