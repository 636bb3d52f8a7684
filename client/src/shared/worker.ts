// The SharedWorker: a hub, and a port from each tab.
import { browserEnvironment } from '../environment'
import { Hub } from './hub'

// It is served beside the token endpoint.
const hub = new Hub(browserEnvironment(location.href.replace(/\/[^/]*$/, '')), navigator.locks)

Object.assign(globalThis, {
  onconnect: ({ ports: [port] }: MessageEvent) => hub.attach(port as MessagePort),
})
