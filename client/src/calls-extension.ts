import { forward, type MakeExtension } from './extension'

/** Hands the control messages of calls to the page: in shared mode to all tabs, and a call of the server to one. */
export const callsExtension: MakeExtension = (wire) => {
  let origin: string | undefined
  let since = 0
  return {
    handlers: {
      hello: (facts?: { calls?: string }) => {
        origin = facts?.calls
        since = Date.now()
        wire.emit('control', 'hello', origin, 0)
      },
      ...forward(wire, 'call', 'reply', 'fail', 'cancel'),
    },
    onTab: (tell) => tell('control', 'hello', origin, Date.now() - since),
  }
}
