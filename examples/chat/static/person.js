// A person's picture: their initials on a colour.
const segmenter = 'Segmenter' in Intl ? new Intl.Segmenter() : null
const letters = (text) => (segmenter ? [...segmenter.segment(text)].map((part) => part.segment) : [...text])

export const initials = (name) => {
  const words = name.split(' ').filter((word) => /[\p{L}\p{N}]/u.test(word))
  const first = (word) => letters(word.replace(/^[^\p{L}\p{N}]+/u, ''))[0] ?? ''
  if (words.length === 0) return letters(name)[0] ?? '?'
  return (first(words[0]) + (words.length > 1 ? first(words.at(-1)) : '')).toUpperCase()
}

// The colour depends on the name, so that a person keeps it after signing in again.
export const hue = (name) => {
  let hash = 7
  for (const character of name.toLowerCase()) hash = (hash * 31 + character.codePointAt(0)) >>> 0
  return hash % 10
}

export const dress = (element, name) => {
  element.className = 'avatar'
  element.setAttribute('aria-hidden', 'true')
  element.dataset.hue = hue(name)
  element.textContent = initials(name)
  return element
}

export const make = (tag, className, text) => {
  const element = document.createElement(tag)
  if (className) element.className = className
  if (text !== undefined) element.textContent = text
  return element
}

export const avatar = (name) => dress(make('span'), name)
