import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Where package.json is; the test script puts it in. */
declare const CLIENT_ROOT: string

export const clientRoot = CLIENT_ROOT
export const repositoryRoot = join(CLIENT_ROOT, '..')

interface Vectors {
  control: { why: string; text: string; kind: string; values: unknown[] }[]
  malformed_control: { why: string; text: string }[]
  escaping: { why: string; application: string; wire: string }[]
  close_codes: { code: number; then: 'stay' | 'retry' | 'fresh-token-once' }[]
  reconnect_delays: { cases: { reconnectDelay: number; attempt: number; factor: number; delay: number }[] }
}

/** What the server's tests read too. */
export const vectors = JSON.parse(readFileSync(join(repositoryRoot, 'tests/vectors/wire.json'), 'utf8')) as Vectors
