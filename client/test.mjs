// Bundle the tests, which are TypeScript, and run them with Node's own test runner: `npm test [file-name-part ...]`.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = dirname(fileURLToPath(import.meta.url))
const wanted = process.argv.slice(2)
const names = readdirSync(join(root, 'test'), { recursive: true })
  .filter((name) => /\.test\.tsx?$/.test(name) && (!wanted.length || wanted.some((part) => name.includes(part))))
  .sort()
if (!names.length) throw new Error(`no test file matches ${wanted.join(' ')}`)

const output = join(root, '.build/test')
rmSync(output, { recursive: true, force: true })
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
await build({
  absWorkingDir: root,
  entryPoints: names.map((name) => `test/${name}`),
  outdir: output,
  outbase: 'test',
  outExtension: { '.js': '.mjs' },
  bundle: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  sourcemap: 'inline',
  jsx: 'automatic',
  define: { VERSION: JSON.stringify(version), CLIENT_ROOT: JSON.stringify(root) },
})

const files = names.map((name) => join(output, name.replace(/\.tsx?$/, '.mjs')))
// A file's process ends with its last test: timers of connections that its tests leave open would keep it for up to 20 s.
const options = ['--enable-source-maps', '--test', '--test-force-exit', '--test-reporter=spec']
const { status } = spawnSync(process.execPath, [...options, ...files], { stdio: 'inherit' })
process.exit(status ?? 1)
