// The actions on one message: reactions for everybody, editing and deleting for its author. There is one row of
// buttons, which moves to the message that the pointer is over, that has the focus, or that was touched.
import { make } from './person.js'

export class Actions {
  #root
  #bar
  #own
  #current = null
  #sure = null

  /** @param hooks find(id): the message; isOwn(message), react(message, emoji), edit(message), remove(message), leave() */
  constructor(root, bar, reactions, hooks) {
    this.#root = root
    this.#bar = bar
    const button = (label, name, act) => {
      const element = make('button', '', label)
      element.type = 'button'
      if (name) element.setAttribute('aria-label', name)
      element.addEventListener('click', () => {
        const message = hooks.find(this.#current?.dataset.id)
        if (message) act(message)
      })
      return element
    }
    const sure = button('Delete', '', (message) => {
      if (this.#sure.textContent === 'Delete') this.#sure.textContent = 'Really delete?'
      else {
        this.#current.focus()
        this.#hide()
        hooks.remove(message)
      }
    })
    this.#sure = sure
    this.#own = [button('Change', '', (message) => hooks.edit(message)), sure]
    bar.append(
      ...reactions.map((emoji) => button(emoji, `React with ${emoji}`, (message) => hooks.react(message, emoji))),
      ...this.#own,
    )

    const messageAt = (target) => {
      const element = target.closest?.('.said > .message:not(.deleted)')
      return element && root.contains(element) ? element : null
    }
    const show = (element) => {
      if (!element || element === this.#current || bar.contains(document.activeElement)) return
      this.#current = element
      sure.textContent = 'Delete'
      const own = hooks.isOwn(hooks.find(element.dataset.id))
      for (const each of this.#own) each.hidden = !own
      bar.hidden = false
      element.append(bar)
    }
    root.addEventListener('pointerover', ({ target, pointerType }) => pointerType === 'mouse' && show(messageAt(target)))
    root.addEventListener('pointerleave', () => !bar.contains(document.activeElement) && this.#hide())
    root.addEventListener('focusin', ({ target }) => show(messageAt(target)))
    root.addEventListener('focusout', ({ relatedTarget }) => relatedTarget && !root.contains(relatedTarget) && this.#hide())
    root.addEventListener('click', ({ target }) => {
      show(messageAt(target))
      const emoji = target.closest('.reactions button')?.dataset.emoji
      const message = hooks.find(target.closest('.message')?.dataset.id)
      if (emoji && message) hooks.react(message, emoji)
    })
    root.addEventListener('keydown', (event) => this.#key(event, hooks))
  }

  #hide() {
    this.#current = null
    if (this.#bar.hidden) return
    this.#bar.hidden = true
    this.#root.parentElement.append(this.#bar) // a message may be removed without it
  }

  #key(event, hooks) {
    const { key, target } = event
    const on = target.closest('.said > .message')
    if (key === 'Escape' && (on || target === this.#root)) {
      if (this.#bar.contains(target)) on.focus()
      else {
        this.#hide()
        hooks.leave()
      }
    } else if (target !== this.#root && target !== on) {
      return
    } else if (key === 'ArrowUp' || key === 'ArrowDown') {
      const to = on ? this.#beside(on, key === 'ArrowUp') : this.#lastInView()
      to?.focus({ preventScroll: true })
      to?.scrollIntoView({ block: 'nearest' })
    } else if (key === 'Enter' && on) {
      this.#bar.querySelector('button')?.focus()
    } else return
    event.preventDefault()
  }

  #beside(message, before) {
    let at = message
    do at = before ? at.previousElementSibling : at.nextElementSibling
    while (at && !at.matches('.message'))
    return at
  }

  #lastInView() {
    const end = this.#root.getBoundingClientRect().bottom
    const inView = [...this.#root.querySelectorAll('.said > .message')].filter(
      (element) => element.getBoundingClientRect().top < end,
    )
    return inView.at(-1)
  }
}
