// The code for shared connections: a module of its own, which is loaded when a page asks for the first of them.
import type { Payload } from '../codec'
import type { Environment } from '../environment'
import type { Positions } from '../recovery'
import type { Sink, Transport } from '../transport'
import { dialWorker } from './dial'
import { dialLeader } from './leader'
import { SharedLink } from './link'
import { type Port, type Subject, version } from './protocol'

export { version }

/**
 * Return this tab's end of the shared connection for `subject`. `base` is the folder of the app's endpoints,
 * `positions` has the page's positions in rooms. `unshared` is called with the queued messages if no connection can be
 * shared.
 */
export const share = (
  env: Environment,
  base: string,
  subject: Subject,
  sink: Sink,
  positions: Positions,
  unshared: (queued: Payload[]) => void,
): Transport => {
  const { locks } = navigator
  // Tabs with different versions of this script have different workers and leaders.
  const worker = `${base}/odac-worker.js?${version}`
  const lead =
    locks && globalThis.BroadcastChannel
      ? dialLeader(env, locks, (name) => new BroadcastChannel(name) as Port, 'odac ' + worker)
      : undefined
  const dial = dialWorker(() => new SharedWorker(worker), lead)
  return new SharedLink(env, locks, subject, dial, sink, unshared, positions)
}
