// Renders one entry of the conversation. Text that people wrote is never interpreted as HTML.
import { avatar, make } from './person.js'
import { clock, dayName } from './time.js'

const timeOf = (at) => {
  const element = make('time', '', clock.format(at))
  element.dir = 'auto'
  element.dateTime = new Date(at).toISOString()
  element.title = new Date(at).toLocaleString()
  return element
}

// Text with its web addresses as links, and with mentions of the reader's own name marked.
const ADDRESS = /https?:\/\/[^\s<>"']*[^\s<>"'.,;:!?)\]]/g

const linked = (text) => {
  const fragment = document.createDocumentFragment()
  let end = 0
  for (const match of text.matchAll(ADDRESS)) {
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

export const isMention = (text, name) => {
  const at = text.toLowerCase().indexOf(`@${name.toLowerCase()}`)
  return at >= 0 && !/^[\p{L}\p{N}_]/u.test(text.slice(at + name.length + 1))
}

const bubbleOf = (text) => {
  const bubble = make('div', 'bubble')
  bubble.dir = 'auto'
  bubble.append(linked(text))
  return bubble
}

/** @param tick "sent", "stored" or a number of readers */
export const drawTick = (element, tick, names = []) => {
  const read = typeof tick === 'number'
  element.dataset.tick = read ? 'read' : tick
  element.textContent = read ? `✓✓ ${tick}` : tick === 'stored' ? '✓✓' : '✓'
  const by = names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ')
  element.setAttribute('aria-label', read ? `Read by ${by}` : tick === 'stored' ? 'Sent and stored' : 'Sent')
  element.title = element.getAttribute('aria-label')
}

const reactionsOf = ({ reactions }, me) => {
  const shown = Object.entries(reactions ?? {}).filter(([, people]) => Object.keys(people).length > 0)
  if (shown.length === 0) return []
  const row = make('div', 'reactions')
  for (const [emoji, people] of shown) {
    const names = Object.values(people)
    const button = make('button', '', `${emoji} ${names.length}`)
    button.type = 'button'
    button.dataset.emoji = emoji
    button.setAttribute('aria-pressed', Object.hasOwn(people, me))
    button.setAttribute('aria-label', `${emoji} ${names.length}: ${names.join(', ')}`)
    button.title = names.join(', ')
    row.append(button)
  }
  return [row]
}

export const drawMessage = (message, { me, follows }) => {
  const { id, from, text, at, edited, deleted } = message
  const mine = from.id === me.id
  const element = make('article', 'message')
  element.dataset.id = id
  element.tabIndex = -1
  element.setAttribute('aria-label', `${mine ? 'You' : from.name}, ${clock.format(at)}`)
  element.classList.toggle('mine', mine)
  element.classList.toggle('follows', follows)
  element.classList.toggle('deleted', deleted === true)
  element.classList.toggle('calls-me', !mine && !deleted && isMention(text, me.name))
  if (!follows) {
    const meta = make('div', 'meta')
    meta.append(make('bdi', 'author', mine ? 'You' : from.name), timeOf(at))
    element.append(avatar(from.name), meta)
  }
  element.append(bubbleOf(deleted ? 'This message was deleted.' : text))
  if (edited && !deleted) element.append(make('span', 'edited', 'edited'))
  element.append(...reactionsOf(message, me.id))
  if (mine && !deleted) {
    const tick = make('span', 'tick')
    tick.setAttribute('role', 'img')
    element.append(tick)
  }
  return element
}

/** A message that the server has not accepted yet. Screen readers announce it once, after that. */
export const drawUnsent = ({ text }, state, buttons = []) => {
  const element = make('article', `message mine ${state === 'Sending…' ? 'pending' : 'refused'}`)
  if (state === 'Sending…') element.setAttribute('aria-hidden', 'true')
  const line = make('p', 'state')
  line.append(make('span', '', state), ...buttons)
  element.append(bubbleOf(text), line)
  return element
}

const listed = (names) =>
  names.length > 3
    ? `${names.slice(0, 2).join(', ')} and ${names.length - 2} more`
    : names.join(', ').replace(/, ([^,]*)$/, ' and $1')

export const drawArrivals = ({ came, left, at }) => {
  const line = make('p', 'system')
  const parts = []
  if (came.length) parts.push(make('span', '', `${listed(came)} came in`))
  if (left.length) parts.push(make('span', '', `${listed(left)} left`))
  for (const part of parts) line.append(part, ' · ')
  line.append(timeOf(at))
  line.title = [...came.map((name) => `${name} came in`), ...left.map((name) => `${name} left`)].join('\n')
  return line
}

export const drawNote = ({ text, at }) => {
  const line = make('p', 'system', `${text} · `)
  line.append(timeOf(at))
  return line
}

export const drawAnnouncement = ({ text }) => {
  const card = make('div', 'announcement')
  card.append(make('b', '', 'Announcement'), linked(text))
  return card
}

export const drawDay = (at) => {
  const line = make('p', 'day', dayName(at))
  line.dataset.at = at
  return line
}
