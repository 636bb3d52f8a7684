// `node bundle.mjs <bundler> <folder>` bundles src/page.js into <folder>/odac.js.
import { resolve } from 'node:path'

const [, , bundler, output] = process.argv
const input = resolve('src/page.js')

const bundlers = {
  async vite() {
    const { build } = await import('vite')
    const rolldownOptions = { input, output: { entryFileNames: 'odac.js', chunkFileNames: 'odac-[name].js' } }
    await build({ base: './', logLevel: 'error', build: { outDir: output, emptyOutDir: false, rolldownOptions } })
  },
  async webpack() {
    const { default: webpack } = await import('webpack')
    const config = { mode: 'production', entry: input, output: { path: output, filename: 'odac.js', chunkFilename: '[id].js' } }
    await new Promise((done, fail) =>
      webpack(config, (error, stats) => (error || stats.hasErrors() ? fail(error ?? stats.toString()) : done())),
    )
  },
  async rollup() {
    const { rollup } = await import('rollup')
    const { default: nodeResolve } = await import('@rollup/plugin-node-resolve')
    const bundle = await rollup({ input, plugins: [nodeResolve()], onwarn: (warning) => Promise.reject(warning) })
    await bundle.write({ dir: output, entryFileNames: 'odac.js' })
  },
  async esbuild() {
    const { build } = await import('esbuild')
    await build({ entryPoints: { odac: input }, outdir: output, bundle: true, minify: true, splitting: true, format: 'esm' })
  },
  // One classic script: what is loaded when asked for elsewhere is in it.
  async 'esbuild-iife'() {
    const { build } = await import('esbuild')
    await build({ entryPoints: { odac: input }, outdir: output, bundle: true, format: 'iife' })
  },
  // The same, of the package's CommonJS build.
  async 'esbuild-require'() {
    const { build } = await import('esbuild')
    const contents = "window.Odac = require('odac-client').Odac"
    await build({ stdin: { contents, resolveDir: '.' }, outfile: `${output}/odac.js`, bundle: true, format: 'iife' })
  },
}

await bundlers[bundler]()
