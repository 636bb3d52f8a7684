// Build the client: into the Python package's static folder, and into dist/ for the npm package.
// `node build.mjs <folder>` puts the former elsewhere, which is how a test compares them with the committed ones.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const root = dirname(fileURLToPath(import.meta.url))
const output = process.argv[2] ?? join(root, '../src/odac/static')
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
mkdirSync(output, { recursive: true })

// Our own long names, used inside a bundle only: never in the API, the browser's objects, or what travels between tabs.
const inner = [
  ...['connection', 'ended', 'fail', 'fetchCredentials', 'group', 'heard', 'identified', 'members', 'opened', 'probe'],
  ...['queue', 'setState', 'suspend', 'takePageToken', 'transmit', 'waiting'],
  // What extensions are made of.
  ...['accepted', 'closed', 'control', 'emit', 'handlers', 'joined', 'offer', 'received'],
]

/**
 * Bundle src/<entry>.ts into one minified file. Sources are named relative to the map, so that no path of this machine
 * gets in.
 */
async function bundle(entry, file, format) {
  await build({
    absWorkingDir: root,
    entryPoints: [`src/${entry}.ts`],
    // As if built in place: the map's relative paths must not depend on where the output goes.
    outfile: join(root, '../src/odac/static', file),
    write: false,
    bundle: true,
    minify: true,
    mangleProps: new RegExp(`^(${inner.join('|')})$`),
    format,
    target: ['chrome94', 'firefox93', 'safari15.4'],
    legalComments: 'none',
    sourcemap: true,
    sourcesContent: true,
    define: { VERSION: JSON.stringify(version) },
    banner: { js: `/*! odac ${version}, MIT */` },
  }).then(({ outputFiles }) => {
    for (const { path, contents } of outputFiles) writeFileSync(join(output, path.split(/[\\/]/).pop()), contents)
  })
}

await bundle('global', 'odac.js', 'iife')
await bundle('module', 'odac.mjs', 'esm')
await bundle('shared/worker', 'odac-worker.js', 'iife')

const types = execFileSync(process.execPath, [
  join(root, 'node_modules/typescript/bin/tsc'),
  ...['--ignoreConfig', '--declaration', '--emitDeclarationOnly', '--strict', '--target', 'es2022', '--module', 'esnext'],
  ...['--moduleResolution', 'bundler', '--newLine', 'lf', '--types', '', '--outDir', join(root, '.build/types'), join(root, 'src/api.ts')],
])
if (types.length) process.stdout.write(types)
writeFileSync(
  join(output, 'odac.d.ts'),
  readFileSync(join(root, '.build/types/api.d.ts'), 'utf8') +
    'export declare const Odac: OdacNamespace;\n' +
    '/** The same as `Odac.ws`. */\nexport declare const ws: OdacNamespace["ws"];\n' +
    'export as namespace Odac;\n',
)

// The npm package, under other names: the client takes its own address for the app's prefix only when it is called
// odac.js or odac.mjs.
const dist = join(root, 'dist')
mkdirSync(dist, { recursive: true })
cpSync(join(output, 'odac.d.ts'), join(dist, 'index.d.ts'))
cpSync(join(output, 'odac.mjs.map'), join(dist, 'index.js.map'))
cpSync(join(root, '../LICENSE'), join(dist, 'LICENSE'))
const module = readFileSync(join(output, 'odac.mjs'), 'utf8')
writeFileSync(join(dist, 'index.js'), module.replace('odac.mjs.map', 'index.js.map'))

for (const file of ['odac.js', 'odac.mjs', 'odac-worker.js']) {
  const bytes = readFileSync(join(output, file))
  console.log(`${file}: ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzipped`)
}
