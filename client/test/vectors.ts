import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The folder of package.json; the test script defines it. */
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

/** Test vectors that the server's tests read, too. */
export const vectors = JSON.parse(readFileSync(join(repositoryRoot, 'tests/vectors/wire.json'), 'utf8')) as Vectors

const read = <Step>(name: string): { cases: { why: string; steps: Step[] }[] } =>
  JSON.parse(readFileSync(join(repositoryRoot, `tests/vectors/${name}.json`), 'utf8')) as never

export const recoveryVectors = read<{
  control?: [kind: string, ...values: unknown[]]
  message?: true
  close?: number
  overdue?: true
  tells?: unknown[]
  resume?: unknown
}>('recovery')

export const presenceVectors = read<{ control?: [kind: string, ...values: unknown[]]; lost?: true; tells?: unknown[] }>(
  'presence',
)
