// The npm package, as a consumer gets it.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { clientRoot } from './vectors'

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
})

after(() => rmSync(consumer, { recursive: true }))

const bundle = async (source: string): Promise<string> => {
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: consumer },
    bundle: true,
    minify: true,
    format: 'esm',
    write: false,
    logLevel: 'silent',
  })
  return outputFiles[0]?.text ?? ''
}

const check = (file: string, source: string, ...options: string[]): string => {
  writeFileSync(join(consumer, file), source)
  try {
    const tsc = join(clientRoot, 'node_modules/typescript/bin/tsc')
    const common = ['--ignoreConfig', '--noEmit', '--strict', '--target', 'es2022', '--lib', 'es2022,dom', '--types', '']
    return execFileSync(process.execPath, [tsc, ...common, ...options, join(consumer, file)], { encoding: 'utf8' })
  } catch (error) {
    return (error as { stdout: string }).stdout
  }
}

test('the package holds the module, its types, and nothing of ours', () => {
  assert.deepEqual(packed, [
    'README.md',
    'dist/LICENSE',
    'dist/index.d.ts',
    'dist/index.js',
    'dist/index.js.map',
    'package.json',
  ])
})

test('it may be imported where there is no browser', async () => {
  const { Odac, ws } = (await import(
    pathToFileURL(join(consumer, 'node_modules/odac-client/dist/index.js')).href
  )) as { Odac: { ws: unknown }; ws: unknown }
  assert.equal(typeof Odac.ws, 'function')
  assert.equal(typeof ws, 'function')
})

test('what is not used is not bundled', async () => {
  assert.equal((await bundle(`import { Odac } from 'odac-client'; console.log(1)`)).trim(), 'console.log(1);')
  assert.equal((await bundle(`import 'odac-client'; console.log(1)`)).trim(), 'console.log(1);')
})

test('what is used is bundled once, and stays small', async (context) => {
  const code = await bundle(`import { Odac, ws } from 'odac-client'; Odac.ws('/a'); ws('/b')`)
  const size = gzipSync(code).length
  context.diagnostic(`${size} bytes gzipped`)
  assert.ok(size <= 6 * 1024)
})

const USE = `
import { Odac, ws as directly, type OdacEvents, type OdacOptions, type OdacSocket } from 'odac-client'
const options: OdacOptions = { shared: true, reconnectDelay: 100 }
const ws: OdacSocket<{ text: string }> = Odac.ws<{ text: string }>('/chat', options)
ws.on('message', ({ text }) => text.length)
  .on('close', (code, reason) => code.toFixed() + reason.length)
  .on('reconnecting', (attempt, delay) => attempt + delay)
  .on('error', (error) => error.message)
  .on('open', () => {})
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
  })
}

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

test('types find mistakes, each in its line', () => {
  const output = check('wrong.ts', WRONG, '--module', 'esnext', '--moduleResolution', 'bundler')
  const lines = [...output.matchAll(/wrong\.ts\((\d+),/g)].map(([, line]) => Number(line))
  assert.deepEqual(lines, [4, 5, 6, 7, 8, 9])
})

test('with a script tag, the types describe the global', () => {
  const source = `/// <reference types="odac-client" />\nconst ws = Odac.ws('/chat')\nconst state: number = ws.state\n`
  assert.equal(check('global.ts', source, '--module', 'esnext', '--moduleResolution', 'bundler'), '')
})

test('nothing in the types is any', () => {
  const types = readFileSync(join(consumer, 'node_modules/odac-client/dist/index.d.ts'), 'utf8')
  assert.doesNotMatch(types, /\bany\b(?! )/)
})
