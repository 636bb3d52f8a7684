import { ownHost, pageBase, prefixOf, resolve, resolvePrefix } from './addresses'
import type { OdacNamespace, OdacOptions } from './api'
import { Connection, type Settings } from './connection'
import { browserEnvironment } from './environment'
import { type Positions, resuming } from './recovery'
import type * as Shared from './shared/share'
import { type Page, Socket } from './socket'
import { type Sink, Transport } from './transport'
import { warnUnknown } from './unknown'

/** The package's version, put in by the build. */
declare const VERSION: string

/** Loads the code for shared connections. `base` is the folder of the app's endpoints. */
export type LoadShared = (base: string) => Promise<typeof Shared>

/** The names of all options. */
const OPTIONS = 'autoReconnect reconnectDelay maxReconnectAttempts shared token auth prefix'

/** `value` if it is a number that is at least 0, else `otherwise`. */
const notNegative = (value: number | undefined, otherwise: number): number =>
  Number.isFinite(value) && (value as number) >= 0 ? (value as number) : otherwise

/** Make the `Odac` object; `script` is the URL of this script. */
export const createOdac = (script: string | undefined, loadShared: LoadShared): OdacNamespace => ({
  ws: (path: string, options: OdacOptions = {}) => {
    WARN: for (const name in options) warnUnknown('option', name, OPTIONS)
    const { autoReconnect, reconnectDelay, maxReconnectAttempts: most, shared, token, prefix, auth } = options
    const { href, host, hostname } = resolve(path, pageBase())
    const own = ownHost()
    const base = resolvePrefix(prefix ?? prefixOf(script), pageBase())
    const env = browserEnvironment(base)
    const settings: Settings = {
      autoReconnect: autoReconnect ?? true,
      reconnectDelay: notNegative(reconnectDelay, 3000),
      maxReconnectAttempts: most === null || most === Infinity ? Infinity : notNegative(most, 10),
      // A token belongs to a cookie, which is sent to every port of this host and to no other host.
      token: (token ?? true) && hostname === own.hostname,
      auth,
    }
    const connection =
      (positions: Positions) =>
      (sink: Sink): Connection =>
        new Connection(env, href, settings, sink, [resuming(positions)])

    return new Socket(globalThis as unknown as Page, (sink, replace, positions) => {
      const connect = connection(positions)
      // The session at another host cannot be known, so that its connection cannot be shared.
      // The function `auth` cannot be passed to another thread.
      if (!shared || auth || host !== own.host) return connect(sink)
      const loading = new Transport(sink)
      const start = (next: (sink: Sink) => Transport): unknown => loading.ended || replace(next, loading.queue.take())
      loadShared(base).then(
        ({ share, version }) =>
          start(
            version === VERSION
              ? (to) => share(env, base, [href, settings], to, positions, (queued) => replace(connect, queued))
              : // The module has another version: a deployment is under way.
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
