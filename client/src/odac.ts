import { ownHost, pageBase, prefixOf, resolve, resolvePrefix } from './addresses'
import type { OdacNamespace, OdacOptions } from './api'
import { Connection, type Settings } from './connection'
import { browserEnvironment } from './environment'
import { type Positions, resuming } from './recovery'
import type * as Shared from './shared/share'
import { type Page, Socket } from './socket'
import { type Sink, Transport } from './transport'

/** The package's version, put in by the build. */
declare const VERSION: string

/** Loads what only shared connections need. `base` is the folder of the app's endpoints. */
export type LoadShared = (base: string) => Promise<typeof Shared>

/** `value`, or `otherwise` where it is no number from 0. */
const notNegative = (value: number | undefined, otherwise: number): number =>
  Number.isFinite(value) && (value as number) >= 0 ? (value as number) : otherwise

/** The `Odac` object of a script that came from `script`. */
export const createOdac = (script: string | undefined, loadShared: LoadShared): OdacNamespace => ({
  ws: (path: string, options: OdacOptions = {}) => {
    const { autoReconnect, reconnectDelay, maxReconnectAttempts: most, shared, token, prefix, auth } = options
    const { href, host, hostname } = resolve(path, pageBase())
    const own = ownHost()
    const base = resolvePrefix(prefix ?? prefixOf(script), pageBase())
    const env = browserEnvironment(base)
    const settings: Settings = {
      autoReconnect: autoReconnect ?? true,
      reconnectDelay: notNegative(reconnectDelay, 3000),
      maxReconnectAttempts: most === null || most === Infinity ? Infinity : notNegative(most, 10),
      // It belongs to a cookie, which goes to any port of this host, and to no other host.
      token: (token ?? true) && hostname === own.hostname,
      auth,
    }
    const connection =
      (positions: Positions) =>
      (sink: Sink): Connection =>
        new Connection(env, href, settings, sink, [resuming(positions)])

    return new Socket(globalThis as unknown as Page, (sink, replace, positions) => {
      const connect = connection(positions)
      // Of another host's session nothing can be known, so that it cannot be shared.
      // Nor does a function of this page reach another's thread.
      if (!shared || auth || host !== own.host) return connect(sink)
      const loading = new Transport(sink)
      const start = (next: (sink: Sink) => Transport): unknown => loading.ended || replace(next, loading.queue.take())
      loadShared(base).then(
        ({ share, version }) =>
          start(
            version === VERSION
              ? (to) => share(env, base, [href, settings], to, positions, (queued) => replace(connect, queued))
              : // Served by another version: a deployment is under way.
                connect,
          ),
        (error) => {
          loading.fail(`not shared: ${error}`)
          start(connect)
        },
      )
      return loading
    }) as never
  },
})
