// The React hook and the Vue composable of the documentation: as a reader copies them, rendered, over the real client.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { Window } from 'happy-dom'
import { compileScript, parse } from 'vue/compiler-sfc'
import { settle } from './fakes/clock'
import { FakeSocket } from './fakes/socket'
import { clientRoot, repositoryRoot } from './vectors'

/** The code blocks of a page of docs/client. */
const blocks = (page: string): { language: string; code: string }[] => {
  const text = readFileSync(join(repositoryRoot, 'docs/client', page), 'utf8')
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language, code]) => ({
    language: String(language),
    code: String(code),
  }))
}

/** Write a page's files as its reader would, beside `main`, and import them bundled with the client's source. */
const use = async <Module>(name: string, files: Record<string, string>, main: string): Promise<Module> => {
  const folder = join(clientRoot, '.build/recipes', name)
  mkdirSync(folder, { recursive: true })
  for (const [file, code] of Object.entries({ ...files, 'main.js': main })) writeFileSync(join(folder, file), code)
  const outfile = join(folder, 'bundle.mjs')
  await build({
    absWorkingDir: clientRoot,
    entryPoints: [join(folder, 'main.js')],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    jsx: 'automatic',
    alias: { 'odac-client': join(clientRoot, 'src/module.ts') },
    external: ['react', 'react-dom', 'react/jsx-runtime', 'react-dom/client', 'vue'],
    define: { VERSION: '"test"' },
  })
  return (await import(pathToFileURL(outfile).href)) as Module
}

const sockets: FakeSocket[] = []
const alive = (): FakeSocket[] => sockets.filter((socket) => socket.alive)

class RecordedSocket extends FakeSocket {
  constructor(url: string, protocols: string[]) {
    super(url, protocols)
    sockets.push(this)
  }
}

let window: Window

beforeEach(() => {
  sockets.length = 0
  window = new Window({ url: 'http://site/' })
  window.document.body.innerHTML = '<div id="app"></div>'
  const globals = {
    window,
    document: window.document,
    location: window.location,
    navigator: window.navigator,
    Element: window.Element,
    HTMLElement: window.HTMLElement,
    SVGElement: window.SVGElement,
    WebSocket: RecordedSocket,
    fetch: async () => new Response('{"token": "t", "session": "s"}'),
    IS_REACT_ACT_ENVIRONMENT: true,
  }
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
  }
})

afterEach(() => window.happyDOM.close())

const text = (selector: string): string[] =>
  [...window.document.querySelectorAll(selector)].map(({ textContent }) => textContent ?? '')

interface Rendered {
  room(name: string): Promise<void>
  click(): Promise<void>
  leave(): Promise<void>
  /** Let effects and what follows from them happen. */
  act(action?: () => unknown): Promise<void>
}

const REACT = `
export { act, createElement, StrictMode } from 'react'
export { createRoot } from 'react-dom/client'
export { Chat } from './Chat.jsx'
`

async function renderReact(strict: boolean): Promise<Rendered> {
  const files: Record<string, string> = {}
  for (const { language, code } of blocks('react.md')) {
    if (language === 'js' || language === 'jsx') files[/^\/\/ (\S+)\n/.exec(code)?.[1] ?? ''] = code
  }
  assert.deepEqual(Object.keys(files), ['use-odac.js', 'Chat.jsx'])
  type React = typeof import('react') & typeof import('react-dom/client') & { Chat: () => null }
  const { act: reactAct, createElement, StrictMode, createRoot, Chat } = await use<React>('react', files, REACT)
  const act: Rendered['act'] = (action) =>
    reactAct(async () => {
      await action?.()
      await settle()
    })
  const root = createRoot(window.document.getElementById('app') as never)
  const element = (room: string) => {
    const chat = createElement(Chat as never, { room })
    return strict ? createElement(StrictMode, null, chat) : chat
  }
  return {
    act,
    room: (name) => act(() => root.render(element(name))),
    click: () => act(() => window.document.querySelector('button')?.click()),
    leave: () => act(() => root.unmount()),
  }
}

const VUE = `
import { createApp, h, nextTick, ref } from 'vue'
import Chat from './Chat.js'
const room = ref('')
let app
export { nextTick }
export const show = (name) => {
  room.value = name
  if (!app) (app = createApp({ render: () => h(Chat, { room: room.value }) })).mount('#app')
}
export const leave = () => {
  app.unmount()
  app = undefined
}
`

async function renderVue(): Promise<Rendered> {
  const [composable, component] = blocks('vue.md')
  assert.match(composable?.code ?? '', /^\/\/ use-odac\.js\n/)
  const { descriptor, errors } = parse(component?.code ?? '')
  assert.deepEqual(errors, [])
  const { content } = compileScript(descriptor, { id: 'chat', inlineTemplate: true })
  const files = { 'use-odac.js': composable?.code ?? '', 'Chat.js': content }
  type Vue = { show(room: string): void; leave(): void; nextTick(): Promise<void> }
  const vue = await use<Vue>('vue', files, VUE)
  const act: Rendered['act'] = async (action) => {
    await action?.()
    await settle()
    await vue.nextTick()
  }
  return {
    act,
    room: (name) => act(() => vue.show(name)),
    click: () => act(() => window.document.querySelector('button')?.click()),
    leave: () => act(() => vue.leave()),
  }
}

for (const [name, render] of [
  ['React', () => renderReact(false)],
  ['React in strict mode', () => renderReact(true)],
  ['Vue', renderVue],
] as const) {
  test(`${name}: the recipe of the documentation`, async () => {
    const page = await render()
    await page.room('tea')
    assert.deepEqual(text('[role=status]'), ['connecting …'])
    assert.deepEqual(
      alive().map(({ url }) => url),
      ['ws://site/room/tea'],
    )
    const [tea] = alive()
    assert.ok(tea)

    // What is clicked before the connection is open is not lost.
    await page.click()
    await page.act(() => tea.accept().hello())
    assert.deepEqual(text('[role=status]'), ['connected'])
    assert.deepEqual(tea.sent, ['{"text":"hello"}'])

    await page.act(() => tea.receive('{"id": 1, "text": "one"}').receive('{"id": 2, "text": "two"}'))
    assert.deepEqual(text('li'), ['one', 'two'])

    await page.act(() => tea.end(1006))
    assert.deepEqual(text('[role=status]'), ['connecting …'])

    // Another room: the old connection goes, and nothing that it still says is heard.
    await page.room('coffee')
    assert.deepEqual(
      alive().map(({ url }) => url),
      ['ws://site/room/coffee'],
    )
    const [coffee] = alive()
    await page.act(() => coffee?.accept().hello())
    await page.room('milk')
    const [milk] = alive()
    assert.deepEqual([coffee?.closed?.[0], milk?.url], [1000, 'ws://site/room/milk'])
    await page.act(() => milk?.accept().hello())
    await page.act(() => coffee?.receive('{"id": 3, "text": "late"}').end(1000))
    assert.deepEqual(text('[role=status]'), ['connected'])
    assert.deepEqual(text('li'), ['one', 'two'])

    await page.leave()
    assert.deepEqual(milk?.closed?.[0], 1000)
    assert.deepEqual(alive(), [])
    milk?.end(1000)
  })
}
