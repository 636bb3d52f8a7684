import type { OdacNamespace, OdacOptions } from './api'
import { Connection, type Settings } from './connection'
import { browserEnvironment } from './environment'
import { dialWorker } from './shared/dial'
import { dialLeader } from './shared/leader'
import { type Dial, SharedLink } from './shared/link'
import type { Port } from './shared/protocol'
import { Socket } from './socket'
import type { Sink } from './transport'

/** The package's version, put in by the build. */
declare const VERSION: string

/** Where the app serves its endpoints, if `script` is the file that it serves there itself. */
export const prefixOf = (script: string | undefined): string =>
  /^(https?:.*)\/odac\.m?js([?#].*)?$/.exec(script ?? '')?.[1] ?? '/odac'

/** `path` of this site, or any full URL, as one that a WebSocket takes. */
export const resolve = (path: string, page: string): URL => {
  const url = new URL(path, page)
  // From a secure page the browser would refuse anything less.
  url.protocol = /^(https|wss):/.test(url.protocol) || page.startsWith('https:') ? 'wss:' : 'ws:'
  url.hash = ''
  return url
}

/** The `Odac` object of a script that came from `script`. */
export const createOdac = (script: string | undefined): OdacNamespace => ({
  ws: (path: string, options: OdacOptions = {}) => {
    const {
      autoReconnect = true,
      reconnectDelay = 3000,
      maxReconnectAttempts = 10,
      shared = false,
      token = true,
      prefix = prefixOf(script),
    } = options
    const { href, host, hostname } = resolve(path, location.href)
    const base = new URL(prefix, location.href).href
    const env = browserEnvironment(base)
    const settings: Settings = {
      autoReconnect,
      reconnectDelay,
      maxReconnectAttempts,
      // It belongs to a cookie, which goes to any port of this host, and to no other host.
      token: token && hostname === location.hostname,
    }
    const connect = (sink: Sink): Connection => new Connection(env, href, settings, sink)

    return new Socket(window, (sink, replace) => {
      // Of another host's session nothing can be known, so that it cannot be shared.
      if (!shared || host !== location.host) return connect(sink)
      const { locks } = navigator
      // Tabs with different versions of this script do not talk to each other.
      const worker = `${base}/odac-worker.js?${VERSION}`
      const lead: Dial | undefined =
        locks && globalThis.BroadcastChannel
          ? dialLeader(env, locks, (name) => new BroadcastChannel(name) as Port, 'odac ' + worker)
          : undefined
      const dial = dialWorker(() => new SharedWorker(worker), lead)
      return new SharedLink(env, locks, [href, settings], dial, sink, (queued) => replace(connect, queued))
    }) as never
  },
})
