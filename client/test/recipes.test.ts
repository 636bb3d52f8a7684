// The components of the documentation's pages for React and Vue, as a reader copies them, rendered over the real client.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { compileScript, parse } from 'vue/compiler-sfc'
import { settle } from './fakes/clock'
import { FakePage } from './fakes/page'
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
    alias: {
      'odac-client/react': join(clientRoot, 'src/react.ts'),
      'odac-client/vue': join(clientRoot, 'src/vue.ts'),
    },
    external: ['react', 'react-dom', 'react/jsx-runtime', 'react-dom/client', 'vue'],
    define: { VERSION: '"test"' },
    logLevel: 'error',
  })
  return (await import(pathToFileURL(outfile).href)) as Module
}

let page: FakePage

beforeEach(() => {
  page = new FakePage()
})

afterEach(() => page.close())

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
    if (language === 'jsx') files[/^\/\/ (\S+)\n/.exec(code)?.[1] ?? ''] = code
  }
  assert.deepEqual(Object.keys(files), ['Chat.jsx'])
  type React = typeof import('react') & typeof import('react-dom/client') & { Chat: () => null }
  const { act: reactAct, createElement, StrictMode, createRoot, Chat } = await use<React>('react', files, REACT)
  const act: Rendered['act'] = (action) =>
    reactAct(async () => {
      await action?.()
      await settle()
    })
  const root = createRoot(page.document.getElementById('app') as never)
  const element = (room: string) => {
    const chat = createElement(Chat as never, { room })
    return strict ? createElement(StrictMode, null, chat) : chat
  }
  return {
    act,
    room: (name) => act(() => root.render(element(name))),
    click: () => act(() => page.document.querySelector('button')?.click()),
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
  const [component] = blocks('vue.md')
  const { descriptor, errors } = parse(component?.code ?? '')
  assert.deepEqual(errors, [])
  const { content } = compileScript(descriptor, { id: 'chat', inlineTemplate: true })
  const files = { 'Chat.js': content }
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
    click: () => act(() => page.document.querySelector('button')?.click()),
    leave: () => act(() => vue.leave()),
  }
}

for (const [name, render] of [
  ['React', () => renderReact(false)],
  ['React in strict mode', () => renderReact(true)],
  ['Vue', renderVue],
] as const) {
  test(`${name}: the component of the documentation works`, async () => {
    const shown = await render()
    await shown.room('tea')
    assert.deepEqual(page.text('[role=status]'), ['connecting …'])
    assert.deepEqual(
      page.alive.map(({ url }) => url),
      ['ws://site/room/tea'],
    )
    const [tea] = page.alive
    assert.ok(tea)
    // In strict mode, too.
    assert.deepEqual([page.sockets.length, page.requests], [1, 1])

    // A message sent before the connection is open is not lost.
    await shown.click()
    await shown.act(() => tea.accept().hello())
    assert.deepEqual(page.text('[role=status]'), ['connected'])
    assert.deepEqual(tea.sent, ['{"text":"hello"}'])

    await shown.act(() => tea.receive('{"id": 1, "text": "one"}').receive('{"id": 2, "text": "two"}'))
    assert.deepEqual(page.text('li'), ['one', 'two'])

    await shown.act(() => tea.end(1006))
    assert.deepEqual(page.text('[role=status]'), ['connecting …'])

    // Another room: the old connection is closed, and its messages are ignored.
    await shown.room('coffee')
    assert.deepEqual(
      page.alive.map(({ url }) => url),
      ['ws://site/room/coffee'],
    )
    const [coffee] = page.alive
    await shown.act(() => coffee?.accept().hello())
    await shown.room('milk')
    const [milk] = page.alive
    assert.deepEqual([coffee?.closed?.[0], milk?.url], [1000, 'ws://site/room/milk'])
    await shown.act(() => milk?.accept().hello())
    await shown.act(() => coffee?.receive('{"id": 3, "text": "late"}').end(1000))
    assert.deepEqual(page.text('[role=status]'), ['connected'])
    assert.deepEqual(page.text('li'), ['one', 'two'])

    await shown.leave()
    assert.deepEqual(milk?.closed?.[0], 1000)
    assert.deepEqual(page.alive, [])
    milk?.end(1000)
  })
}
