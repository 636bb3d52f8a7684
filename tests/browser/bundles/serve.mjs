// `node serve.mjs <app>` starts Vite's development server in front of the app at that address, and says where.
import react from '@vitejs/plugin-react'
import vue from '@vitejs/plugin-vue'
import { createServer } from 'vite'

const [, , app] = process.argv
const proxy = { '/odac': app, '/count': app, '/echo': { target: app, ws: true } }
const server = await createServer({
  logLevel: 'error',
  plugins: [react(), vue()],
  server: { host: '127.0.0.1', port: 0, proxy },
})
await server.listen()
console.log(server.resolvedUrls.local[0])
