/** What the token endpoint answers. */
export interface Credentials {
  /** Goes into the handshake. */
  readonly token?: string
  /** Says whose session the browser is in, without giving it away: equal for equal session and user. */
  readonly session?: string
}

/** The part of the browser that a connection needs, so that tests can bring their own. */
export interface Environment {
  /** Ask for credentials even where no token is to be sent: somebody wants to know whose session it is. */
  readonly identified?: boolean
  /** @throws SyntaxError or SecurityError as the WebSocket constructor does. */
  socket(url: string, protocols: string[]): WebSocket
  /** Ask the token endpoint. Rejects when there is no answer to work with. */
  fetchCredentials(): Promise<Credentials>
  /** The token that came with the page, once. */
  takePageToken(): string | undefined
  setTimeout(callback: () => void, milliseconds: number): number
  clearTimeout(timer: number): void
  /** Milliseconds on a clock that goes on while the machine sleeps. */
  now(): number
  /** From 0 up to 1. */
  random(): number
  /** Whether the browser believes to have a network. */
  online(): boolean
}

/** How long an answer of the token endpoint may take. */
const FETCH_TIMEOUT = 10_000

const ask = async (url: string): Promise<Credentials> => {
  // Not AbortSignal.timeout, which the oldest of our browsers lack.
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(new Error(`Odac: ${url} did not answer in time`)), FETCH_TIMEOUT)
  try {
    const { signal } = controller
    const response = await fetch(url, { credentials: 'same-origin', cache: 'no-store', signal }).catch((error) => {
      // The browser's "Failed to fetch" names no address, and stands for each of these.
      if (signal.aborted) throw error
      throw new Error(`Odac: ${url} cannot be reached: is the server running, and of the page's origin? ${error}`)
    })
    const { ok, status } = response
    // 404: an app without a token endpoint. Anything else is an outage, or a refusal that a retry may outlive.
    if (status === 404) return {}
    // A page where JSON is due, as from a single-page app's fallback or a login, is no answer either.
    const answer = ok && (await response.json().catch(() => null))
    if (!answer) throw new Error(`Odac: ${url} answered ${status}${ok ? ' without JSON' : ''}`)
    return answer as Credentials
  } finally {
    clearTimeout(timer)
  }
}

/** The last question, and by address the one that has yet to be asked: its answer is for all who come until then. */
let asked: Promise<unknown> = Promise.resolve()
const planned = new Map<string, Promise<Credentials>>()

/**
 * Ask one question at a time: two without a session cookie would make two sessions, and one token useless; and whose
 * session it is must be learnt in the order in which it changed.
 */
const askInTurn = (url: string): Promise<Credentials> => {
  let answer = planned.get(url)
  if (!answer) {
    answer = asked.then(() => {
      planned.delete(url)
      return ask(url)
    })
    planned.set(url, answer)
    asked = answer.catch(() => {})
  }
  return answer
}

/** The real thing, in a page or a worker. `prefix` is where the app serves its token endpoint. */
export const browserEnvironment = (prefix: string): Environment => ({
  socket: (url, protocols) => new WebSocket(url, protocols),
  fetchCredentials: () => askInTurn(prefix + '/token'),
  takePageToken: () => {
    const { document } = globalThis as { document?: Document }
    const meta = document?.querySelector<HTMLMetaElement>('meta[name="odac-token"]')
    // Removed, because a second connection must not use it again.
    meta?.remove()
    return meta?.content || undefined
  },
  setTimeout: (callback, milliseconds) => setTimeout(callback, milliseconds) as unknown as number,
  clearTimeout: (timer) => clearTimeout(timer),
  now: () => Date.now(),
  random: () => Math.random(),
  online: () => navigator.onLine !== false,
})
