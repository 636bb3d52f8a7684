export const NORMAL = 1000
export const GOING_AWAY = 1001
export const ABNORMAL = 1006
export const INVALID_TOKEN = 4002

// 1005, no status: some proxies close with an empty close frame.
const RETRYABLE = [GOING_AWAY, 1002, 1005, ABNORMAL, 1011, 1012, 1013]

/** Whether a client reconnects by itself after a close with `code`. 4002 has a rule of its own. */
export const isRetryable = (code: number): boolean => RETRYABLE.includes(code)

/** Whether `code` means that the user, or the user's rights, have changed. */
export const isRefusal = (code: number | undefined): boolean => code === 4001 || code === 4003

/**
 * Throw for a code or a reason that a page may not close with, in any state, as `WebSocket.close` does.
 *
 * @see https://websockets.spec.whatwg.org/#dom-websocket-close
 */
export const checkClose = (code: number = NORMAL, reason = ''): void => {
  if (code !== NORMAL && !(code >= 3000 && code <= 4999)) {
    throw new DOMException(`Odac: close code ${code} is neither 1000 nor 3000 to 4999`, 'InvalidAccessError')
  }
  if (new TextEncoder().encode(reason).length > 123) {
    throw new DOMException('Odac: the close reason is longer than 123 bytes', 'SyntaxError')
  }
}
