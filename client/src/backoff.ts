/** The longest wait, in milliseconds. */
export const LONGEST = 30_000

/**
 * The wait before a retry, in milliseconds.
 *
 * Each retry waits 1.5 times as long as the one before, at most 30 s, and all are scaled by a random factor between
 * 0.5 and 1, so that a thousand clients do not return in the same instant.
 *
 * @param retry its number, from 1
 * @param shortest the wait before the first one, in milliseconds, unscaled
 * @param random from 0 to 1
 */
export const backoff = (retry: number, shortest: number, random: number): number =>
  Math.round(Math.min(shortest * 1.5 ** (retry - 1), LONGEST) * (0.5 + random / 2))
