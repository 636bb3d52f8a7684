// The messages between a tab and its hub. Arrays, because a minifier shortens the names of an object's fields.
import type { OdacEvents } from '../api'
import type { Payload } from '../codec'
import type { Settings } from '../connection'
import type { Resumption } from '../recovery'

/** A tab's or the hub's end of their channel: a `MessagePort`, or a `BroadcastChannel` that only these two use. */
export interface Port {
  onmessage: ((event: MessageEvent) => void) | null
  postMessage(message: unknown): void
  close(): void
}

/** The package's version, put in by the build. */
declare const VERSION: string

/** The messages may differ between versions. */
export const version = VERSION

/** What a connection is for: tabs with an equal subject and the same session, which only the hub knows, share one. */
export type Subject = readonly [url: string, settings: Settings]

/** A tab's positions in rooms with history, and the session that they belong to. */
export type TabPositions = readonly [session: string | undefined, resumption: Resumption | undefined]

export type ToHub =
  /** Join. `lock` names a Web Lock that the tab holds until it ends; `positions` are its positions in rooms. */
  | readonly ['join', subject: Subject, lock: string | undefined, positions: TabPositions]
  | readonly ['send', payload: Payload]
  | readonly ['control', message: [kind: string, ...values: unknown[]]]
  /** The tab became visible: check the session and the connection. */
  | readonly ['wake']
  /** The tab lost its network: check the connection. */
  | readonly ['probe']
  /** Check that the hub still answers. */
  | readonly ['beat']
  | readonly ['leave']

export type ToTab =
  /** The hub is ready. `lock` names a Web Lock that it holds until it ends. */
  | readonly ['ready', lock: string | undefined, version: string]
  /** The answer to `wake`, `probe` and `beat` of a member. */
  | readonly ['beat']
  /** The tab is not a member, or no longer. `lost`: a message that it sent has been dropped. */
  | readonly ['removed', lost: boolean]
  /** The session cannot be known, so that no connection can be shared. */
  | readonly ['unshared']
  /** An event of the connection; without a name, only its state has changed. `session` is the connection's. */
  | readonly [
      kind: 'event',
      state: number,
      ended: boolean,
      session: string | undefined,
      event: keyof OdacEvents | 'control' | '',
      ...args: unknown[],
    ]

/** The part of `navigator.locks` that is used. */
export type Locks = Pick<LockManager, 'request'>
