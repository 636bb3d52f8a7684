// The npm package, as ES module and CommonJS. Where its files end up says nothing about where the app is.
import type { OdacNamespace } from './api'
import { createOdac } from './odac'

export type * from './api'

/** The same object as the script tag's global. */
export const Odac: OdacNamespace = /* @__PURE__ */ createOdac(undefined, () => import('./shared/share'))

/** The same as `Odac.ws`. */
export const ws: OdacNamespace['ws'] = (path, options) => Odac.ws(path, options)
