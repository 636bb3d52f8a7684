/**
 * Warn in the console if `name` is not in `known`, names with a space between two. Calls have the label `WARN`: the
 * build drops them from the npm package, which has types for that.
 */
export const warnUnknown = (what: string, name: string, known: string): void => {
  if (!known.split(' ').includes(name)) console.warn(`Odac: unknown ${what} ${name}; known: ${known}`)
}
