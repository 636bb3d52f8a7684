// What a tab and the hub that holds its connection say to each other. Arrays, because they survive minifying.
import type { OdacEvents } from '../api'
import type { Payload } from '../codec'
import type { Settings } from '../connection'
import type { Resumption } from '../recovery'

/** One end of a line between a tab and the hub: a `MessagePort`, or a `BroadcastChannel` for the two of them. */
export interface Port {
  onmessage: ((event: MessageEvent) => void) | null
  postMessage(message: unknown): void
  close(): void
}

/** The package's version, put in by the build. */
declare const VERSION: string

/** Tabs and hubs of other versions may speak otherwise. */
export const version = VERSION

/** What connections are shared by, apart from the session, which only the hub gets to know. */
export type Subject = readonly [url: string, settings: Settings]

/** Where a tab is in the rooms with history, and in whose session it got there. */
export type Memory = readonly [session: string | undefined, resumption: Resumption | undefined]

export type ToHub =
  /** Let me in. `lock` is a Web Lock that the tab holds for as long as it lives. `memory`: where it is in the rooms. */
  | readonly ['join', subject: Subject, lock: string | undefined, memory: Memory]
  | readonly ['send', payload: Payload]
  | readonly ['control', message: [kind: string, ...values: unknown[]]]
  /** I have just come back: is everything as it was? */
  | readonly ['wake']
  /** The network has gone: is the connection still good? */
  | readonly ['probe']
  /** Am I still in? */
  | readonly ['beat']
  | readonly ['leave']

export type ToTab =
  /** The hub listens now. `life` is a Web Lock that it holds for as long as it lives. */
  | readonly ['ready', life: string | undefined, version: string]
  /** You are in. */
  | readonly ['beat']
  /** You are not in, or no longer; what you sent since is lost. */
  | readonly ['gone', lost: boolean]
  /** There is no way to tell whose session this is, so that nothing can be shared. */
  | readonly ['alone']
  /** Something has happened to the connection, or, without a name, its state has changed. `session` is whose it is. */
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
