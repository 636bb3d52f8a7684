// The docs page: shows docs.json, and talks to the routes with the app's own client.
'use strict'

/** Make an element; text is text, never HTML. */
const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties)
  made.append(...children)
  return made
}
const json = (value) => JSON.stringify(value, null, 2)

/** A JSON schema in a few words. */
const words = (schema, definitions, depth = 0) => {
  if (!schema || !Object.keys(schema).length) return 'anything'
  if (schema.$ref) {
    const name = schema.$ref.split('/').pop()
    return depth ? name : `${name} ${words(definitions[name], definitions, 1)}`
  }
  if ('const' in schema) return JSON.stringify(schema.const)
  if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(' | ')
  const several = schema.anyOf ?? schema.oneOf
  if (several) return several.map((each) => words(each, definitions, depth + 1)).join(' | ')
  if (schema.type === 'object' && schema.properties) {
    const required = schema.required ?? []
    const fields = Object.entries(schema.properties).map(
      ([name, part]) => `${name}${required.includes(name) ? '' : '?'}: ${words(part, definitions, depth + 1)}`,
    )
    return `{ ${fields.join(', ')} }`
  }
  if (schema.type === 'array') return `${words(schema.items || {}, definitions, depth + 1)}[]`
  return String(schema.type ?? 'anything')
}

/** The part of a route that connects, sends and calls. */
const makeConsole = (route, root) => {
  let socket
  const parameters = Object.keys(route.parameters).map((name) => [name, element('input', { value: '1', autocomplete: 'off' })])
  const state = element('span', { className: 'badge', textContent: 'closed', role: 'status' })
  const log = element('ol', { className: 'log' })
  const write = (text, bad = false) => {
    log.prepend(element('li', { textContent: `${new Date().toLocaleTimeString()}  ${text}`, className: bad ? 'bad' : '' }))
    while (log.children.length > 200) log.lastChild.remove()
  }
  const connect = element('button', { textContent: 'Connect' })
  const send = element('button', { textContent: 'Send', disabled: true })
  const call = element('button', { textContent: 'Call', disabled: true })
  const choose = (options) =>
    element('select', {}, ...options.map(({ name }, index) => element('option', { value: String(index), textContent: name })))
  const takes = route.takes.length ? route.takes : [{ name: 'anything', example: { text: 'hello' } }]
  const message = element('textarea', { value: json(takes[0].example), spellcheck: false })
  const messages = choose(takes)
  messages.onchange = () => (message.value = json(takes[messages.value].example))
  const calls = choose(route.calls)
  const args = element('textarea', { value: json(route.calls[0]?.example ?? null), spellcheck: false })
  calls.onchange = () => (args.value = json(route.calls[calls.value].example ?? null))

  const shown = () => {
    const open = Boolean(socket?.connected)
    state.textContent = ['connecting', 'open', 'closing', 'closed'][socket?.state ?? 3]
    connect.textContent = socket ? 'Close' : 'Connect'
    send.disabled = call.disabled = !open
  }
  connect.onclick = () => {
    if (socket) {
      socket.close()
      socket = undefined
      shown()
      return
    }
    let path = route.path
    for (const [name, input] of parameters) path = path.replace(`{${name}}`, encodeURIComponent(input.value))
    const opened = Odac.ws(root + path, { token: route.token, autoReconnect: false })
    socket = opened
    write(`connecting to ${root + path}`)
    opened.on('open', () => write('open'))
    opened.on('message', (data) => write('← ' + (data instanceof ArrayBuffer ? `${data.byteLength} bytes` : JSON.stringify(data))))
    opened.on('error', (error) => write(error.message, true))
    opened.on('close', (code, reason) => {
      write(`closed with ${code} ${reason}`, code !== 1000)
      if (socket === opened) socket = undefined
      shown()
    })
    opened.on('state', shown)
    shown()
  }
  const parse = (area) => {
    try {
      return [JSON.parse(area.value)]
    } catch (error) {
      write(`not JSON: ${error.message}`, true)
      return undefined
    }
  }
  send.onclick = () => {
    const value = parse(message)
    if (value && socket?.send(value[0])) write('→ ' + JSON.stringify(value[0]))
  }
  call.onclick = async () => {
    const value = parse(args)
    const { name } = route.calls[calls.value] ?? {}
    if (!value || !socket) return
    write(`→ ${name} ${JSON.stringify(value[0])}`)
    try {
      write(`← ${name}: ${JSON.stringify(await socket.call(name, value[0]))}`)
    } catch (error) {
      write(`← ${name}: ${error.code} ${error.message}`, true)
    }
  }
  const labelled = (text, input) => element('label', {}, text, input)
  return element(
    'section',
    {},
    element('h2', { textContent: 'Try it' }),
    element('div', { className: 'fields' }, ...parameters.map(([name, input]) => labelled(name, input)), connect, state),
    element('div', { className: 'fields' }, labelled('Message', messages), send),
    labelled('JSON', message),
    ...(route.calls.length
      ? [element('div', { className: 'fields' }, labelled('Call', calls), call), labelled('Arguments', args)]
      : []),
    log,
  )
}

const show = (route, definitions, root) => {
  const badges = [
    ...(route.auth ? ['login'] : []),
    ...(route.token ? ['token'] : []),
    ...route.middleware,
    ...route.subprotocols,
  ].map((text) => element('span', { className: 'badge', textContent: text }))
  const part = (title, items, describe) =>
    items.length ? [element('h2', { textContent: title }), ...items.map((item) => element('pre', { textContent: describe(item) }))] : []
  const body = element('div', { className: 'body' })
  const made = element(
    'details',
    { className: 'route' },
    element('summary', {}, element('code', { textContent: route.path }), ...badges),
    body,
  )
  made.addEventListener(
    'toggle',
    () => {
      body.append(
        ...(route.text ? [element('p', { textContent: route.text })] : []),
        ...(route.source ? [element('p', { className: 'source', textContent: route.source })] : []),
        ...part('Takes', route.takes, ({ schema }) => words(schema, definitions)),
        ...part('Gives', route.gives, ({ schema }) => words(schema, definitions)),
        ...part(
          'Answers',
          route.calls,
          ({ name, arguments: given, returns, text, source }) =>
            `${name}(${words(given, definitions)}) → ${words(returns, definitions)}${text ? '\n' + text : ''}\n${source}`,
        ),
        makeConsole(route, root),
      )
    },
    { once: true },
  )
  return made
}

const main = async () => {
  const place = document.getElementById('routes')
  const answer = await fetch('docs.json')
  if (!answer.ok) throw new Error(await answer.text())
  const { prefix, routes, rooms, definitions } = await answer.json()
  const root = location.pathname.slice(0, -(prefix + '/docs').length)
  place.replaceChildren(...routes.map((route) => show(route, definitions, root)))
  const rules = Object.entries(rooms)
  if (rules.length) {
    place.append(
      element('h2', { textContent: 'Rooms' }),
      ...rules.map(([pattern, rule]) => element('pre', { textContent: `${pattern}  ${JSON.stringify(rule)}` })),
    )
  }
  if (!routes.length) place.append(element('p', { textContent: 'There are no routes yet: add one with @app.route.ws(path).' }))
}
main().catch((error) => {
  document.getElementById('routes').replaceChildren(element('p', { className: 'bad', textContent: error.message }))
})
