/** The response of the token endpoint. */
export interface Credentials {
  /** The token to send with the handshake. */
  readonly token?: string
  /** A digest of the session and its user: equal if both are. */
  readonly session?: string
}

/** The part of the browser that a connection needs, so that tests can bring their own. */
export interface Environment {
  /** Fetch credentials even if no token is to be sent, for their `session`. */
  readonly identified?: boolean
  /** @throws SyntaxError or SecurityError as the WebSocket constructor does. */
  socket(url: string, protocols: string[]): WebSocket
  /** Request credentials from the token endpoint. Rejects if there is no usable response. */
  fetchCredentials(): Promise<Credentials>
  /** The token in the page, on the first call only. */
  takePageToken(): string | undefined
  setTimeout(callback: () => void, milliseconds: number): number
  clearTimeout(timer: number): void
  /** Milliseconds on a clock that continues while the machine sleeps. */
  now(): number
  /** A number from 0 up to, but not including, 1. */
  random(): number
  /** Whether the browser reports a network. */
  online(): boolean
}

/** Milliseconds that the token endpoint may take. */
const FETCH_TIMEOUT = 10_000

const request = async (url: string): Promise<Credentials> => {
  // Not AbortSignal.timeout: the oldest supported browsers do not have it.
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(new Error(`Odac: ${url} did not answer in time`)), FETCH_TIMEOUT)
  try {
    const { signal } = controller
    const response = await fetch(url, { credentials: 'same-origin', cache: 'no-store', signal }).catch((error) => {
      // The browser's own message, "Failed to fetch", gives neither the address nor a cause.
      if (signal.aborted) throw error
      throw new Error(`Odac: ${url} cannot be reached: is the server running? ${error}`)
    })
    const { ok, status } = response
    // 404: the app has no token endpoint. Any other error may be temporary.
    if (status === 404) return {}
    // An HTML page instead of JSON, such as a login page or the fallback of a single-page app, is an error too.
    const answer = ok && (await response.json().catch(() => null))
    if (!answer) throw new Error(`Odac: ${url} answered ${status}${ok ? ' without JSON' : ''}`)
    return answer as Credentials
  } finally {
    clearTimeout(timer)
  }
}

/** The last request; and by address the request that is not sent yet, whose response all callers until then share. */
let lastRequest: Promise<unknown> = Promise.resolve()
const unsent = new Map<string, Promise<Credentials>>()

/**
 * Send one request at a time. Two requests without a session cookie would begin two sessions, and one of the tokens
 * would be refused; and changes of the session have to be noticed in their order.
 */
const requestInTurn = (url: string): Promise<Credentials> => {
  let answer = unsent.get(url)
  if (!answer) {
    answer = lastRequest.then(() => {
      unsent.delete(url)
      return request(url)
    })
    unsent.set(url, answer)
    lastRequest = answer.catch(() => {})
  }
  return answer
}

/** The environment of a page or a worker. `prefix` is the folder of the app's endpoints. */
export const browserEnvironment = (prefix: string): Environment => ({
  socket: (url, protocols) => new WebSocket(url, protocols),
  fetchCredentials: () => requestInTurn(prefix + '/token'),
  takePageToken: () => {
    const { document } = globalThis as { document?: Document }
    const meta = document?.querySelector<HTMLMetaElement>('meta[name="odac-token"]')
    // Removed: a token is for one connection.
    meta?.remove()
    return meta?.content || undefined
  },
  setTimeout: (callback, milliseconds) => setTimeout(callback, milliseconds) as unknown as number,
  clearTimeout: (timer) => clearTimeout(timer),
  now: () => Date.now(),
  random: () => Math.random(),
  online: () => navigator.onLine !== false,
})
