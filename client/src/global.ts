// The script-tag build: defines the global `Odac`.
import { createOdac } from './odac'
import { loadServed } from './served'

// A worker that imports this script has no document.
const script = (globalThis.document as Document | undefined)?.currentScript as HTMLScriptElement | null | undefined

Object.assign(globalThis, { Odac: createOdac(script?.src, loadServed) })
