// The ES module build.
import type { OdacNamespace } from './api'
import { createOdac } from './odac'

export type * from './api'

/** The same object as the script tag's global. */
export const Odac: OdacNamespace = /* @__PURE__ */ createOdac(import.meta.url)

/** The same as `Odac.ws`. */
export const ws: OdacNamespace['ws'] = (path, options) => Odac.ws(path, options)
