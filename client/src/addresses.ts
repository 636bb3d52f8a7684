/** Where the app serves its endpoints, if `script` is the file that it serves there itself. */
export const prefixOf = (script: string | undefined): string =>
  /^(https?:.*)\/odac\.m?js([?#].*)?$/.exec(script ?? '')?.[1] ?? '/odac'

/** The base of relative addresses: `document.baseURI` in a page, the script's address in a worker. */
export const pageBase = (): string => (globalThis.document as Document | undefined)?.baseURI ?? location.href

/** `url` without user name and password, which `fetch` and some browsers' `WebSocket` refuse. */
const anonymous = (url: URL): URL => Object.assign(url, { username: '', password: '' })

/** `base` as a URL with folders: for a blob, the origin of the page that made it. */
const folder = (base: string): URL => {
  const url = new URL(base)
  return anonymous(url.protocol === 'blob:' ? new URL(url.origin) : url)
}

/** `path`, relative to `base`, or a full URL, with the scheme that a WebSocket takes. */
export const resolve = (path: string, base: string): URL => {
  const url = new URL(path, folder(base))
  url.protocol = url.protocol.replace('http', 'ws')
  url.hash = ''
  return url
}

/** The folder of the app's endpoints, without a slash at its end. */
export const resolvePrefix = (prefix: string, base: string): string =>
  anonymous(new URL(prefix, folder(base))).href.replace(/\/+$/, '')

/**
 * The host whose cookies this page has: `about:srcdoc` and blobs have no address of their own, but the origin of the
 * page that made them.
 */
export const ownHost = (): { host: string; hostname: string } =>
  /^http/.test(globalThis.origin) ? new URL(globalThis.origin) : location
