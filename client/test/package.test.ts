// The npm package, as it is installed.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRequire } from 'node:module'
import { after, before, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { clientRoot, repositoryRoot } from './vectors'

let consumer = ''
let packed: string[] = []

before(() => {
  consumer = mkdtempSync(join(tmpdir(), 'odac-consumer-'))
  const output = execFileSync('npm', ['pack', '--json', '--loglevel=silent', '--pack-destination', consumer], {
    cwd: clientRoot,
    encoding: 'utf8',
  })
  // What the build prints comes before the JSON.
  const answer = JSON.parse(output.slice(output.search(/^[[{]/m))) as unknown
  const [entry] = Object.values(answer as Record<string, { filename: string; files: { path: string }[] }>)
  assert.ok(entry)
  packed = entry.files.map(({ path }) => path).sort()
  const folder = join(consumer, 'node_modules/odac-client')
  mkdirSync(folder, { recursive: true })
  execFileSync('tar', ['-xzf', join(consumer, entry.filename), '-C', folder, '--strip-components=1'])
  writeFileSync(join(consumer, 'package.json'), '{"type": "module"}')
  for (const name of ['react', 'vue', '@vue', '@types', 'csstype']) {
    symlinkSync(join(clientRoot, 'node_modules', name), join(consumer, 'node_modules', name))
  }
})

after(() => rmSync(consumer, { recursive: true }))

/** What a page loads at once, and with what it loads later where the bundler does not split. */
const bundle = async (source: string, splitting = true): Promise<string> => {
  const { outputFiles, metafile } = await build({
    stdin: { contents: source, resolveDir: consumer },
    bundle: true,
    minify: true,
    format: 'esm',
    write: false,
    logLevel: 'silent',
    metafile: true,
    splitting,
    outdir: consumer,
  })
  const text = (path: string): string => outputFiles.find((file) => file.path.endsWith(path))?.text ?? ''
  const needed = ['stdin.js']
  for (const path of needed) {
    const { imports } = Object.entries(metafile.outputs).find(([name]) => name.endsWith(path))?.[1] ?? { imports: [] }
    needed.push(...imports.filter(({ kind }) => kind === 'import-statement').map(({ path }) => path.split('/').at(-1) as string))
  }
  return needed.map(text).join('')
}

const check = (file: string, source: string, ...options: string[]): string => {
  writeFileSync(join(consumer, file), source)
  try {
    const tsc = join(clientRoot, 'node_modules/typescript/bin/tsc')
    const common = ['--ignoreConfig', '--noEmit', '--strict', '--exactOptionalPropertyTypes', '--target', 'es2022']
    common.push('--lib', 'es2022,dom,dom.iterable', '--types', '', '--jsx', 'react-jsx', '--noUncheckedIndexedAccess')
    return execFileSync(process.execPath, [tsc, ...common, ...options, join(consumer, file)], { encoding: 'utf8' })
  } catch (error) {
    return (error as { stdout: string }).stdout
  }
}

test('the package has the modules and their types, and no other file', () => {
  const module = (name: string, ...endings: string[]): string[] => endings.map((ending) => `dist/${name}.${ending}`)
  const script = ['cjs', 'js', 'js.map']
  const types = ['d.cts', 'd.ts']
  assert.deepEqual(
    packed.filter((path) => !/^dist\/common-\w+\.js(\.map)?$/.test(path)),
    [
      ...['README.md', 'dist/LICENSE', 'package.json'],
      ...module('index', ...script, ...types),
      ...module('react', ...script, ...types),
      ...module('vue', ...script, ...types),
      ...module('shared', ...script),
      ...module('binding', ...types),
    ].sort(),
  )
})

test('each file that package.json names exists', () => {
  const folder = join(consumer, 'node_modules/odac-client')
  const { exports, main, module, types } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<string, unknown>
  const named = JSON.stringify([exports, main, module, types]).match(/\.\/[\w./-]+/g) ?? []
  const missing = named.filter((path) => /\.(c|m)?[jt]s(on)?$/.test(path) && !packed.includes(path.slice(2)))
  assert.deepEqual([named.length > 15, missing], [true, []])
})

test('the package has types for unknown events and options, and no warnings', () => {
  const scripts = packed.filter((path) => /\.(js|cjs)$/.test(path))
  const texts = scripts.map((path) => readFileSync(join(consumer, 'node_modules/odac-client', path), 'utf8'))
  assert.match(texts.join(), /console\.warn/)
  assert.doesNotMatch(texts.join(), /Odac: unknown/)
})

test('require works, and require and import in one program get modules that work together', async () => {
  const require = createRequire(join(consumer, 'index.cjs'))
  const { Odac, ws } = require('odac-client') as { Odac: { ws: unknown }; ws: unknown }
  assert.deepEqual([typeof Odac.ws, typeof ws], ['function', 'function'])
  for (const name of ['react', 'vue']) {
    const { useOdac } = require(`odac-client/${name}`) as { useOdac: unknown }
    assert.equal(typeof useOdac, 'function')
  }
})

test('shared connections work in CommonJS, where import() does not always work', () => {
  const code = readFileSync(join(consumer, 'node_modules/odac-client/dist/index.cjs'), 'utf8')
  assert.match(code, /require\("\.\/shared\.cjs"\)/)
  assert.doesNotMatch(code, /\bimport\(/)
})

for (const name of ['react', 'vue']) {
  test(`odac-client/${name} is a few hundred bytes, and brings no second client`, (context) => {
    const code = readFileSync(join(consumer, `node_modules/odac-client/dist/${name}.js`))
    const size = gzipSync(code, { level: 9 }).length
    context.diagnostic(`${size} bytes gzipped`)
    assert.ok(size <= 700)
    assert.doesNotMatch(code.toString(), /WebSocket/)
  })
}

test('it can be imported where there is no browser', async () => {
  const { Odac, ws } = (await import(
    pathToFileURL(join(consumer, 'node_modules/odac-client/dist/index.js')).href
  )) as { Odac: { ws: unknown }; ws: unknown }
  assert.equal(typeof Odac.ws, 'function')
  assert.equal(typeof ws, 'function')
})

test('a bundler drops the client if it is not used', async () => {
  assert.equal((await bundle(`import { Odac } from 'odac-client'; console.log(1)`)).trim(), 'console.log(1);')
  assert.equal((await bundle(`import 'odac-client'; console.log(1)`)).trim(), 'console.log(1);')
})

for (const [splitting, limit] of [
  [true, 6 * 1024],
  [false, 9 * 1024],
] as const) {
  test(`the client is bundled once, and stays small, ${splitting ? 'without' : 'with'} the part that is loaded later`, async (context) => {
    const code = await bundle(`import { Odac, ws } from 'odac-client'; Odac.ws('/a'); ws('/b')`, splitting)
    const size = gzipSync(code).length
    context.diagnostic(`${size} bytes gzipped`)
    assert.ok(size <= limit)
    assert.equal(code.split('odac-token-').length, 2)
    assert.equal(code.includes('SharedWorker'), !splitting)
  })
}

const USE = `
import { Odac, ws as directly, type OdacEvents, type OdacOptions, type OdacSocket } from 'odac-client'
declare const maybe: { shared: boolean | undefined; prefix: string | undefined }
const options: OdacOptions = { reconnectDelay: 100, maxReconnectAttempts: null, ...maybe }
const ws: OdacSocket<{ text: string }> = Odac.ws<{ text: string }>('/chat', options)
ws.on('message', ({ text }) => text.length)
  .on('close', (code, reason) => code.toFixed() + reason.length)
  .on('reconnecting', (attempt, delay) => attempt + delay)
  .on('error', (error) => error.message)
  .on('open', () => {})
  .on('state', (state) => state.toFixed())
  .off('open')
const sent: boolean = ws.send({ any: ['thing'] }) && ws.send(new Uint8Array(1)) && ws.send('text') && ws.send(null)
const state: number = ws.state
const connected: boolean = ws.connected
directly('/chat').on('message', (data: unknown) => data)
export const all: [boolean, number, boolean, OdacEvents['close']] = [sent, state, connected, [1000, '']]
`

for (const [module, resolution] of [
  ['esnext', 'bundler'],
  ['nodenext', 'nodenext'],
] as const) {
  test(`types resolve with moduleResolution ${resolution}`, () => {
    assert.equal(check('use.ts', USE, '--module', module, '--moduleResolution', resolution), '')
    assert.equal(check('hooks.tsx', HOOKS, '--module', module, '--moduleResolution', resolution, '--skipLibCheck'), '')
  })
}

test('types resolve in a CommonJS module', () => {
  const options = ['--module', 'nodenext', '--moduleResolution', 'nodenext', '--verbatimModuleSyntax', 'false']
  assert.equal(check('use.cts', USE, ...options), '')
  assert.equal(check('hooks.cts', HOOKS, ...options, '--skipLibCheck'), '')
})

for (const page of ['typescript.md', 'react.md']) {
  test(`the TypeScript of docs/client/${page} passes the strict checks`, () => {
    const text = readFileSync(join(repositoryRoot, 'docs/client', page), 'utf8')
    const blocks = [...text.matchAll(/^```tsx?\n(\/\/ (\S+)\n.*?)^```$/gms)]
    assert.ok(blocks.length)
    for (const [, code, file] of blocks) {
      const options = ['--module', 'esnext', '--moduleResolution', 'bundler', '--skipLibCheck']
      assert.equal(check(String(file), String(code), ...options), '', String(file))
    }
  })
}

const HOOKS = `
import { useOdac as useReact, type UseOdac } from 'odac-client/react'
import { useOdac as useVue, type UseOdacOptions } from 'odac-client/vue'
type News = { text: string }
declare const maybe: { shared: boolean | undefined }
const options: UseOdacOptions<News> = { onMessage: ({ text }) => text.length, ...maybe }
export const used: UseOdac<News> = useReact<News>('/news', options)
export const length: number | undefined = used.message?.text.length
export const sent: boolean = used.send({ text: 'x' })
const { message, connected, socket } = useVue<News>(() => '/news', () => options)
export const text: string | undefined = message.value?.text
export const open: boolean = connected.value && socket.value?.state === 1
// @ts-expect-error It is read only.
connected.value = true
// @ts-expect-error It may be undefined.
export const certain: string = message.value.text
// @ts-expect-error There is no such option.
useReact('/news', { shard: true })
`

const WRONG = `
import { Odac } from 'odac-client'
const ws = Odac.ws('/chat')
ws.on('mesage', () => {})
ws.on('close', (code: string) => code)
ws.on('message', (data) => data.text)
ws.send(undefined)
ws.connected = true
Odac.ws('/chat', { reconectDelay: 1 })
`

test('the types report each mistake in its line', () => {
  const output = check('wrong.ts', WRONG, '--module', 'esnext', '--moduleResolution', 'bundler')
  const lines = [...output.matchAll(/wrong\.ts\((\d+),/g)].map(([, line]) => Number(line))
  assert.deepEqual(lines, [4, 5, 6, 7, 8, 9])
})

test('with a script tag, the types describe the global', () => {
  const source = `/// <reference types="odac-client" />\nconst ws = Odac.ws('/chat')\nconst state: number = ws.state\n`
  assert.equal(check('global.ts', source, '--module', 'esnext', '--moduleResolution', 'bundler'), '')
})

test('no type is any', () => {
  const dist = join(consumer, 'node_modules/odac-client/dist')
  for (const file of readdirSync(dist).filter((name) => /\.d\.c?ts$/.test(name))) {
    assert.doesNotMatch(readFileSync(join(dist, file), 'utf8'), /\bany\b(?! )/, file)
  }
})
