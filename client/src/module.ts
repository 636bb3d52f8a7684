// The ES module that the app serves.
import type { OdacNamespace } from './api'
import { createOdac } from './odac'
import { loadServed } from './served'

export type * from './api'

/** The same object as the script tag's global. */
export const Odac: OdacNamespace = /* @__PURE__ */ createOdac(import.meta.url, loadServed)

/** The same as `Odac.ws`. */
export const ws: OdacNamespace['ws'] = (path, options) => Odac.ws(path, options)
