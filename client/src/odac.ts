import type { OdacNamespace, OdacOptions } from './api'
import { Connection } from './connection'
import { browserEnvironment } from './environment'
import { Socket } from './socket'

/** Where the app serves its endpoints, if `script` is the file that it serves there itself. */
export const prefixOf = (script: string | undefined): string =>
  /^(https?:.*)\/odac\.m?js([?#].*)?$/.exec(script ?? '')?.[1] ?? '/odac'

/** `path` of this site, or any full URL, as one that a WebSocket takes. */
export const resolve = (path: string, page: string): string => {
  const url = new URL(path, page)
  // From a secure page the browser would refuse anything less.
  url.protocol = /^(https|wss):/.test(url.protocol) || page.startsWith('https:') ? 'wss:' : 'ws:'
  url.hash = ''
  return url.href
}

/** The `Odac` object of a script that came from `script`. */
export const createOdac = (script: string | undefined): OdacNamespace => ({
  ws: (path: string, options: OdacOptions = {}) => {
    const {
      autoReconnect = true,
      reconnectDelay = 3000,
      maxReconnectAttempts = 10,
      token = true,
      prefix = prefixOf(script),
    } = options
    const url = resolve(path, location.href)
    const settings = { autoReconnect, reconnectDelay, maxReconnectAttempts, token }
    const environment = browserEnvironment(new URL(prefix, location.href).href)
    return new Socket(window, (sink) => new Connection(environment, url, settings, sink)) as never
  },
})
