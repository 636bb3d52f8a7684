// Build the client: into the Python package's static folder, and into dist/ for the npm package.
// `node build.mjs <folder>` puts the former elsewhere, which is how a test compares them with the committed ones.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const root = dirname(fileURLToPath(import.meta.url))
const output = process.argv[2] ?? join(root, '../src/odac/static')
const dist = join(root, 'dist')
// Only for this build: another one may run at the same time.
mkdirSync(join(root, '.build'), { recursive: true })
const scratch = mkdtempSync(join(root, '.build/build-'))
process.on('exit', () => rmSync(scratch, { recursive: true }))
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

// Our own long names, which the build shortens: no name of the API (arguments of events included), of the browser's
// objects or of messages between tabs, and none that a string refers to.
const inner = [
  ...['connection', 'ended', 'fail', 'fetchCredentials', 'group', 'identified', 'members', 'opened', 'probe', 'queue'],
  ...['received', 'setState', 'silent', 'suspend', 'takePageToken', 'transmit', 'waiting', 'wake'],
  // The methods and fields of the page's parts.
  ...['arrived', 'byRoom', 'expected', 'lost', 'numbers', 'onHello', 'receive', 'recovering', 'resumption', 'settle'],
  // The methods and fields of extensions.
  ...['control', 'emit', 'handlers', 'offer', 'onAccepted', 'onClosed', 'onOpened', 'onReceived', 'onTab'],
]
// The same short name in all files: the module for shared connections uses objects of the module that loads it.
const mangleCache = Object.fromEntries(inner.map((name, index) => [name, `_${index.toString(36)}`]))

/** Bundle src/<entry>.ts, for each output file's name without its extension, into `folder`; return the files by name. */
async function bundle(entries, folder, options) {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: Object.fromEntries(Object.entries(entries).map(([name, entry]) => [name, `src/${entry}.ts`])),
    outdir: folder,
    write: false,
    bundle: true,
    minify: true,
    mangleProps: new RegExp(`^(${inner.join('|')})$`),
    mangleCache,
    target: ['chrome94', 'firefox93', 'safari15.4'],
    legalComments: 'none',
    sourcemap: true,
    sourcesContent: true,
    define: { VERSION: JSON.stringify(version) },
    banner: { js: `/*! odac ${version}, MIT */` },
    ...options,
  })
  return outputFiles.map(({ path, contents }) => [basename(path), contents])
}

const write = (folder, files) => files.forEach(([name, contents]) => writeFileSync(join(folder, name), contents))

const inDist = new Set()

/**
 * Write files into dist/: only those that differ, and each by a rename, because another build of the same source may
 * have ended already, and npm may be reading its files.
 */
function writeDist(...files) {
  for (const [name, contents] of files) {
    const [temporary, path] = [join(scratch, name), join(dist, name)]
    inDist.add(name)
    if (existsSync(path) && readFileSync(path).equals(Buffer.from(contents))) continue
    writeFileSync(temporary, contents)
    renameSync(temporary, path)
  }
}

/** Write a file that the app serves. */
async function serve(entry, file, format) {
  const [, name, extension] = /(.*)(\..*)/.exec(file)
  // As if built in place: the map's relative paths must not depend on where the output goes.
  const place = join(root, '../src/odac/static')
  write(output, await bundle({ [name]: entry }, place, { format, outExtension: { '.js': extension } }))
}

const packageEntries = { index: 'package', shared: 'shared/share', react: 'react', vue: 'vue' }
/** For both formats of the npm package: its types find unknown events and options, and the script stays smaller. */
const packageOptions = { external: ['react', 'vue'], dropLabels: ['WARN'] }

/** The npm package as ES modules; what they have in common is in further files. */
async function packModules() {
  const options = { ...packageOptions, format: 'esm', splitting: true, chunkNames: 'common-[hash]' }
  writeDist(...(await bundle(packageEntries, dist, options)))
}

/** The npm package as CommonJS, in which the entries require each other. */
async function packCommon() {
  const file = Object.fromEntries(Object.entries(packageEntries).map(([name, entry]) => [`./${entry}`, `./${name}.cjs`]))
  const apart = {
    name: 'apart',
    setup: (builder) =>
      builder.onResolve({ filter: /^\.\// }, ({ path, kind }) =>
        kind !== 'entry-point' && file[path] ? { path: file[path], external: true } : undefined,
      ),
  }
  const built = await bundle(packageEntries, dist, {
    ...packageOptions,
    format: 'cjs',
    outExtension: { '.js': '.cjs' },
    plugins: [apart],
    // With `require`, it also works in Jest, whose CommonJS modules cannot import.
    supported: { 'dynamic-import': false },
    sourcemap: false,
  })
  writeDist(...built)
}

/** Return a function that reads the declarations of src/<name>.ts. */
function declare(...names) {
  const types = join(scratch, 'types')
  execFileSync(
    process.execPath,
    [
      join(root, 'node_modules/typescript/bin/tsc'),
      ...['--ignoreConfig', '--declaration', '--emitDeclarationOnly', '--strict', '--exactOptionalPropertyTypes'],
      ...['--target', 'es2022', '--lib', 'es2022,dom,dom.iterable', '--module', 'esnext', '--moduleResolution', 'bundler'],
      ...['--newLine', 'lf', '--types', '', '--skipLibCheck', '--outDir', types],
      ...names.map((name) => join(root, `src/${name}.ts`)),
    ],
    { stdio: 'inherit' },
  )
  return (name) => readFileSync(join(types, `${name}.d.ts`), 'utf8')
}

mkdirSync(output, { recursive: true })
await serve('global', 'odac.js', 'iife')
await serve('module', 'odac.mjs', 'esm')
await serve('shared/share', 'odac-shared.mjs', 'esm')
await serve('shared/worker', 'odac-worker.js', 'iife')

const declaration = declare('api', 'react', 'vue')
const api =
  declaration('api') +
  'export declare const Odac: OdacNamespace;\n' +
  '/** The same as `Odac.ws`. */\nexport declare const ws: OdacNamespace["ws"];\n'
writeFileSync(join(output, 'odac.d.ts'), api + 'export as namespace Odac;\n')

mkdirSync(dist, { recursive: true })
writeDist(['LICENSE', readFileSync(join(root, '../LICENSE'))])
await packModules()
await packCommon()
for (const extension of ['ts', 'cts']) {
  const script = extension.replace('ts', 'js')
  const rename = (text) => text.replace(/'\.\/(\w+)'/g, (_, name) => `'./${name === 'package' ? 'index' : name}.${script}'`)
  writeDist([`index.d.${extension}`, extension === 'ts' ? api + 'export as namespace Odac;\n' : api])
  writeDist(...['binding', 'react', 'vue'].map((name) => [`${name}.d.${extension}`, rename(declaration(name))]))
}
for (const name of readdirSync(dist)) if (!inDist.has(name)) rmSync(join(dist, name), { recursive: true, force: true })

for (const file of ['odac.js', 'odac.mjs', 'odac-shared.mjs', 'odac-worker.js']) {
  const bytes = readFileSync(join(output, file))
  console.log(`${file}: ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzipped`)
}
