export const NORMAL = 1000
export const GOING_AWAY = 1001
export const ABNORMAL = 1006
export const INVALID_TOKEN = 4002

// No status (1005) is what a proxy's bare close frame looks like.
const RETRYABLE = [GOING_AWAY, 1002, 1005, ABNORMAL, 1011, 1012, 1013]

/** Whether a client that was closed with `code` may connect again by itself. 4002 has a rule of its own. */
export const isRetryable = (code: number): boolean => RETRYABLE.includes(code)
