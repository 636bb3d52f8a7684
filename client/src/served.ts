import type { LoadShared } from './odac'

/** The package's version, put in by the build. */
declare const VERSION: string

/** For the builds that the app serves: it serves the module for shared connections beside them. */
export const loadServed: LoadShared = (base) => import(`${base}/odac-shared.mjs?${VERSION}`)
