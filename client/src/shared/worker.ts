// The SharedWorker: a hub, and a port from each tab.
import { browserEnvironment } from '../environment'
import { Hub } from './hub'

// It is served beside the token endpoint.
const env = browserEnvironment(location.href.replace(/\/[^/]*$/, ''))
const hub = new Hub(env, navigator.locks, 'odac hub ' + Math.random())

Object.assign(globalThis, {
  onconnect: ({ ports: [port] }: MessageEvent) => hub.attach(port as MessagePort),
})
