// The text box: its draft, its limit, the Enter key, and the typing indicator.
const QUIET = 4_000 // without a key, typing is over
const REPEAT = 3_000 // sent again this often; the others forget it after 5 s, so that it ends if a message is lost

export class Composer {
  #parts
  #draft
  #longest
  #hooks
  #typingSince = 0
  #quiet = 0
  #editing = null // {id, text}: the message that is being changed
  #closed = ''

  /**
   * @param parts elements: form, text, send, left, editing, stopEditing
   * @param draft stores the unfinished text
   * @param hooks say(text), change(id, text), typing(on), lastOwn(): a message to change
   */
  constructor(parts, draft, longest, hooks) {
    this.#parts = parts
    this.#draft = draft
    this.#longest = longest
    this.#hooks = hooks
    const { form, text, stopEditing } = parts
    // Text typed before the scripts were loaded has precedence over the draft from before the reload.
    text.value ||= draft.load()
    text.addEventListener('input', () => this.#written())
    text.addEventListener('keydown', (event) => this.#key(event))
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      this.#submit()
    })
    stopEditing.addEventListener('click', () => this.#stopEditing())
    this.#fit()
    let width = 0
    new ResizeObserver(([{ contentRect }]) => {
      if (contentRect.width !== width) this.#fit()
      width = contentRect.width
    }).observe(text)
  }

  /** The page can send: send the text for which Enter was pressed before (see `early.js`). */
  start() {
    const { form, text } = this.#parts
    if (form.dataset.early === undefined) return
    delete form.dataset.early
    text.readOnly = false
    this.#submit()
  }

  focus() {
    this.#parts.text.focus()
  }

  /** Edit an own message. */
  edit(message) {
    if (!this.#editing) this.#draft.save(this.#parts.text.value)
    this.#editing = { id: message.id, text: message.text } // as it is now: it may change meanwhile
    this.#parts.editing.hidden = false
    this.#parts.text.value = message.text
    this.#fit()
    this.focus()
  }

  /** A message was deleted. If it was being edited, the text stays in the box and is sent as a new message. */
  deleted(id) {
    if (this.#editing?.id !== id) return
    const written = this.#parts.text.value
    // An unchanged text is removed, and the draft from before the edit is restored.
    if (written === this.#editing.text) return this.#stopEditing()
    const before = this.#draft.load()
    this.#draft.save(before ? `${before}\n${written}` : written)
    this.#stopEditing()
  }

  /** Disable sending. The text in the box is kept. */
  close(reason) {
    this.#closed = reason
    this.#parts.text.readOnly = true
    this.#fit()
  }

  #stopEditing() {
    this.#editing = null
    this.#parts.editing.hidden = true
    this.#parts.text.value = this.#draft.load()
    this.#fit()
    this.focus()
  }

  #submit() {
    const { text } = this.#parts
    const what = text.value.trim()
    if (!what || what.length > this.#longest || this.#closed) return
    clearTimeout(this.#quiet)
    this.#typingSince = 0 // the message itself tells the others that the typing is over
    if (this.#editing) {
      if (what !== this.#editing.text) this.#hooks.change(this.#editing.id, what)
      return this.#stopEditing()
    }
    this.#hooks.say(what)
    text.value = ''
    this.#draft.save('')
    this.#fit()
    text.focus()
  }

  #key(event) {
    // 229: the Enter that ends a composition, in browsers that end composing before the event.
    if (event.isComposing || event.keyCode === 229) return
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault()
      this.#parts.form.requestSubmit()
    } else if (event.key === 'Escape' && this.#editing) {
      this.#stopEditing()
    } else if (event.key === 'ArrowUp' && !this.#parts.text.value && this.#hooks.lastOwn()) {
      event.preventDefault()
      this.edit(this.#hooks.lastOwn())
    }
  }

  #written() {
    this.#fit()
    if (this.#editing) return
    const { value } = this.#parts.text
    this.#draft.save(value)
    if (value.trim() === '') return this.#notTyping()
    if (Date.now() - this.#typingSince > REPEAT) {
      this.#typingSince = Date.now()
      this.#hooks.typing(true)
    }
    clearTimeout(this.#quiet)
    this.#quiet = setTimeout(() => this.#notTyping(), QUIET)
  }

  #notTyping() {
    clearTimeout(this.#quiet)
    if (this.#typingSince) this.#hooks.typing(false)
    this.#typingSince = 0
  }

  #fit() {
    const { text, send, left } = this.#parts
    text.style.height = 'auto'
    text.style.height = `${text.scrollHeight}px`
    const rest = this.#longest - text.value.trim().length
    send.disabled = text.value.trim() === '' || rest < 0 || this.#closed !== ''
    text.setAttribute('aria-invalid', rest < 0)
    left.classList.toggle('over', rest < 0)
    const words = rest < 0 ? `${-rest} characters too many; at most ${this.#longest} fit` : `${rest} characters left`
    left.textContent = this.#closed || (rest < 200 ? words : '')
  }
}
