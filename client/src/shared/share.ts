// What only shared connections need: a module of its own, which is loaded when a page asks for the first of them.
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
 * A share of the connection for this subject. `base` is the folder of the app's endpoints; `positions` are where the
 * page is in the rooms; `alone` is called, with what is queued, where nothing can be shared.
 */
export const share = (
  env: Environment,
  base: string,
  subject: Subject,
  sink: Sink,
  positions: Positions,
  alone: (queued: Payload[]) => void,
): Transport => {
  const { locks } = navigator
  // Tabs with different versions of this script do not talk to each other.
  const worker = `${base}/odac-worker.js?${version}`
  const lead =
    locks && globalThis.BroadcastChannel
      ? dialLeader(env, locks, (name) => new BroadcastChannel(name) as Port, 'odac ' + worker)
      : undefined
  return new SharedLink(env, locks, subject, dialWorker(() => new SharedWorker(worker), lead), sink, alone, positions)
}
