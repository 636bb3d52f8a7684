// Times and days in the reader's locale.
export const clock = new Intl.DateTimeFormat([], { hour: '2-digit', minute: '2-digit' })
const longDay = new Intl.DateTimeFormat([], { weekday: 'long', day: 'numeric', month: 'long' })

export const dayOf = (at) => new Date(at).toDateString()

export const dayName = (at) => {
  const now = new Date()
  if (dayOf(at) === dayOf(now)) return 'Today'
  now.setDate(now.getDate() - 1)
  return dayOf(at) === dayOf(now) ? 'Yesterday' : longDay.format(at)
}

/** Call `then` at each midnight, and when the page becomes visible, because timers of a sleeping machine are late. */
export const eachMidnight = (then) => {
  let day = dayOf(Date.now())
  const look = () => {
    if (day === dayOf(Date.now())) return
    day = dayOf(Date.now())
    then()
  }
  const wait = () => {
    const next = new Date()
    next.setHours(24, 0, 0, 0)
    setTimeout(() => {
      look()
      wait()
    }, next - Date.now() + 50)
  }
  document.addEventListener('visibilitychange', look)
  wait()
}
