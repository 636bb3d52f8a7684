import { callsExtension } from './calls-extension'
import type { MakeExtension } from './extension'

/** What every connection has, in the order in which they are called. */
export const EXTENSIONS: readonly MakeExtension[] = [callsExtension]
