// The script-tag build: defines the global `Odac`.
import { createOdac } from './odac'

Object.assign(globalThis, { Odac: createOdac((document.currentScript as HTMLScriptElement | null)?.src) })
