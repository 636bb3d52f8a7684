import type { MakeExtension } from './extension'

const KINDS = ['call', 'reply', 'fail', 'cancel'] as const

/** Hands the control messages of calls to the page: in shared mode to all tabs, and a call of the server to one. */
export const callsExtension: MakeExtension = ({ emit }) => {
  let origin: string | undefined
  let since = 0
  return {
    handlers: {
      hello: (facts?: { calls?: string }) => {
        origin = facts?.calls
        since = Date.now()
        emit('control', 'hello', origin, 0)
      },
      ...Object.fromEntries(KINDS.map((kind) => [kind, (...values: unknown[]) => emit('control', kind, ...values)])),
    },
    onTab: (tell) => tell('control', 'hello', origin, Date.now() - since),
  }
}
