// `useOdac` of odac-client/react and of odac-client/vue.
import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { act, createElement, StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { renderToString } from 'react-dom/server'
import { createRenderer, createSSRApp, effectScope, nextTick, shallowRef } from 'vue'
import { renderToString as renderVueToString } from 'vue/server-renderer'
import type { OdacView, Send, UseOdacOptions } from '../src/binding'
import { useOdac as useReact } from '../src/react'
import { useOdac as useVue } from '../src/vue'
import { settle } from './fakes/clock'
import { FakePage } from './fakes/page'

let page: FakePage

beforeEach(() => {
  page = new FakePage()
})

afterEach(() => page.close())

type View = OdacView<string> & { readonly send: Send }
type Options = UseOdacOptions<string>

/** A mounted component that calls `useOdac` with what it is rendered with. */
interface Rendered {
  /** What was returned last. */
  view(): View
  render(path: string | null, options?: Options): Promise<void>
  leave(): Promise<void>
  /** Run `action`, and what follows from it. */
  act(action: () => unknown): Promise<void>
}

const react = (strict: boolean) => (): Rendered => {
  const root = createRoot(page.document.getElementById('app') as never)
  const run: Rendered['act'] = (action) =>
    act(async () => {
      await action()
      await settle()
    })
  let view!: View
  const Component = ({ path, options }: { path: string | null; options: Options | undefined }): null => {
    view = useReact<string>(path, options)
    return null
  }
  return {
    view: () => view,
    act: run,
    render: (path, options) => {
      const element = createElement(Component, { path, options })
      return run(() => root.render(strict ? createElement(StrictMode, null, element) : element))
    },
    leave: () => run(() => root.unmount()),
  }
}

// Vue's own renderer keeps the document of when it was imported. This one draws nothing.
const node = (): object => ({})
const { createApp } = createRenderer<object, object>({
  insert: () => {},
  remove: () => {},
  createElement: node,
  createText: node,
  createComment: node,
  setText: () => {},
  setElementText: () => {},
  patchProp: () => {},
  parentNode: node,
  nextSibling: () => null,
})

const vue = (): Rendered => {
  const props = shallowRef<[path: string | null, options?: Options | undefined]>([null])
  let used!: ReturnType<typeof useVue<string>>
  const setup = (): (() => null) => {
    used = useVue<string>(
      () => props.value[0],
      () => props.value[1] ?? {},
    )
    return () => null
  }
  const app = createApp({ setup })
  const run: Rendered['act'] = async (action) => {
    await action()
    await settle()
    await nextTick()
  }
  let mounted = false
  return {
    view: () => {
      const { send, ...refs } = used
      const values = Object.entries(refs).map(([field, { value }]) => [field, value])
      return { ...(Object.fromEntries(values) as OdacView<string>), send }
    },
    act: run,
    render: (path, options) =>
      run(() => {
        props.value = [path, options]
        if (!mounted) app.mount({})
        mounted = true
      }),
    leave: () => run(() => app.unmount()),
  }
}

for (const [name, start] of [
  ['React', react(false)],
  ['React in strict mode', react(true)],
  ['Vue', vue],
] as const) {
  test(`${name}: the socket, its state and the last message`, async () => {
    const { view, render, act, leave } = start()
    const seen = (): unknown[] => [view().state, view().connected, view().message]
    await render('/a')
    assert.deepEqual(seen(), [0, false, undefined])
    assert.equal(view().send('early'), true)
    await act(() => page.last.accept().hello())
    assert.deepEqual(seen(), [1, true, undefined])
    assert.deepEqual([page.last.sent, view().socket?.state], [['early'], 1])
    await act(() => page.last.receive('one').receive('two'))
    assert.deepEqual(seen(), [1, true, 'two'])
    await act(() => page.last.end(1012))
    assert.deepEqual(seen(), [3, false, 'two'])
    const { socket } = view()
    await leave()
    assert.equal(socket?.state, 3)
    assert.equal(page.sockets.length, 1)
  })

  test(`${name}: the last recovery, and the people in each room`, async () => {
    const { view, render, act, leave } = start()
    const received: unknown[] = []
    await render('/a', { onRecover: (recovery) => received.push(recovery) })
    assert.deepEqual([view().recovery, view().presence.size], [undefined, 0])
    await act(() => page.last.accept().hello().control('room', 1, 'chat', 'E1', 3, 'T1', 0).control('gap', 1, 'E2', 0, 'T2'))
    const lost = { room: 'chat', recovered: false, count: 0 }
    assert.deepEqual([view().recovery, received], [lost, [lost]])
    await act(() => page.last.control('here', 1, [['a', 'Ada']], 1, 'tea').control('here', 2, null, 500, 'big'))
    const before = view().presence
    const reported = (): unknown[] => [...view().presence.values()].map(({ room, users, total }) => [room, users, total])
    assert.deepEqual(reported(), [
      ['tea', [{ key: 'a', data: 'Ada' }], 1],
      ['big', [], 500],
    ])
    await act(() => page.last.control('diff', 1, [], ['a'], 0))
    assert.notEqual(view().presence, before)
    assert.deepEqual(reported()[0], ['tea', [], 0])
    await render('/b')
    assert.deepEqual([view().recovery, view().presence.size], [undefined, 0])
    await leave()
  })

  test(`${name}: onMessage of the last render gets every message, and none after a change of path or the end`, async () => {
    const { view, render, act, leave } = start()
    const received: string[] = []
    const listener = (tag: string): Options => ({ onMessage: (message) => received.push(tag + message) })
    await render('/a', listener('first '))
    const { send } = view()
    await act(() => page.last.accept().hello().receive('1'))
    await render('/a', listener('second '))
    await act(() => page.last.receive('2').receive('3'))
    assert.equal(page.sockets.length, 1)
    assert.equal(view().send, send)
    const before = page.last
    await render('/b', listener('third '))
    assert.deepEqual([view().message, before.closed], [undefined, [1000, '']])
    await act(() => before.receive('late'))
    await act(() => page.last.accept().hello().receive('4'))
    assert.deepEqual(received, ['first 1', 'second 2', 'second 3', 'third 4'])
    const last = page.last
    await leave()
    last.receive('too late')
    assert.equal(received.length, 4)
  })

  test(`${name}: the bearer token comes from the function of the last render`, async (context) => {
    const warn = context.mock.method(console, 'warn', () => {})
    const { view, render, act, leave } = start()
    const options = (token: string): Options => ({ token: false, auth: () => token, onMessage: () => {}, onRecover: () => {} })
    await render('/a', options('old'))
    await render('/a', options('new'))
    await act(() => page.last.accept().hello().end(1012))
    await act(() => view().socket?.reconnect())
    page.last.accept()
    assert.deepEqual(page.sockets.map(({ sent }) => sent), [['\x1e["auth","old"]'], ['\x1e["auth","new"]']])
    assert.deepEqual(warn.mock.calls, [])
    await leave()
  })

  test(`${name}: options are compared by value`, async () => {
    const { render, act, leave } = start()
    await render('/a', { token: false, reconnectDelay: 10 })
    await act(() => page.last.accept().hello())
    await render('/a', { token: false, reconnectDelay: 10 })
    assert.equal(page.sockets.length, 1)
    await render('/a', { token: false, reconnectDelay: 20 })
    assert.deepEqual([page.sockets.length, page.alive.length, page.requests], [2, 1, 0])
    await leave()
  })

  test(`${name}: without a path there is no connection`, async () => {
    const { view, render, act, leave } = start()
    await render(null)
    assert.deepEqual([view().socket, view().state, view().send('x'), page.sockets.length], [undefined, 3, false, 0])
    await render('/a')
    await act(() => page.last.accept().hello())
    await render(null)
    assert.deepEqual([view().socket, view().state, view().connected, page.alive], [undefined, 3, false, []])
    await leave()
  })
}

test('React: on a server that renders, there is no connection', async () => {
  const Component = () => createElement('p', null, String(useReact('/a').state))
  assert.equal(renderToString(createElement(Component)), '<p>3</p>')
  await settle()
  assert.deepEqual([page.sockets.length, page.requests], [0, 0])
})

test('Vue: on a server that renders, there is no connection', async () => {
  const app = createSSRApp({ setup: () => useVue('/a'), template: '<p>{{ state }}</p>' })
  assert.equal(await renderVueToString(app), '<p>3</p>')
  await settle()
  assert.deepEqual([page.sockets.length, page.requests], [0, 0])
})

test('Vue: outside of a component, the connection ends with its effect scope', async () => {
  const scope = effectScope()
  const { state } = scope.run(() => useVue('/a')) as ReturnType<typeof useVue>
  await settle()
  page.last.accept().hello()
  assert.equal(state.value, 1)
  scope.stop()
  assert.deepEqual([state.value, page.alive], [3, []])
})
