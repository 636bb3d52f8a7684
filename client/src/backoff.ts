/** The longest wait, in milliseconds. */
export const LONGEST = 30_000

/**
 * The wait before retry number `attempt` (from 1), in milliseconds.
 *
 * Each retry waits 1.5 times as long as the one before, at most 30 s, and all are scaled by a random factor between
 * 0.5 and 1, so that a thousand clients do not return in the same instant.
 */
export const backoff = (attempt: number, first: number, random: number): number =>
  Math.round(Math.min(first * 1.5 ** (attempt - 1), LONGEST) * (0.5 + random / 2))
