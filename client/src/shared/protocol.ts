// The messages between a tab and its hub. Arrays, because a minifier shortens the names of an object's fields.
import type { OdacEvents } from '../api'
import type { Payload } from '../codec'
import type { Settings } from '../connection'
import type { Resumption } from '../recovery'

/** One end between a tab and the hub: a `MessagePort`, or a `BroadcastChannel` that only these two use. */
export interface Port {
  onmessage: ((event: MessageEvent) => void) | null
  postMessage(message: unknown): void
  close(): void
}

/** The package's version, put in by the build. */
declare const VERSION: string

/** The messages may differ between versions. */
export const version = VERSION

/** Tabs with the same subject share a connection, if they have the same session, which only the hub knows. */
export type Subject = readonly [url: string, settings: Settings]

/** A tab's positions in rooms with history, and the session that they belong to. */
export type Memory = readonly [session: string | undefined, resumption: Resumption | undefined]

export type ToHub =
  /** Join. `lock` names a Web Lock that the tab holds until it ends; `memory` has its positions in rooms. */
  | readonly ['join', subject: Subject, lock: string | undefined, memory: Memory]
  | readonly ['send', payload: Payload]
  | readonly ['control', message: [kind: string, ...values: unknown[]]]
  /** The tab became visible: check the session and the connection. */
  | readonly ['wake']
  /** The tab lost its network: check the connection. */
  | readonly ['probe']
  /** Ask for a beat in return. */
  | readonly ['beat']
  | readonly ['leave']

export type ToTab =
  /** The hub is ready. `life` names a Web Lock that it holds until it ends. */
  | readonly ['ready', life: string | undefined, version: string]
  /** The tab is a member. */
  | readonly ['beat']
  /** The tab is no member (any more). `lost`: a message that it sent has been dropped. */
  | readonly ['gone', lost: boolean]
  /** The session cannot be known, so that no connection can be shared. */
  | readonly ['alone']
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
