import { useOdac } from 'odac-client/react'

export function Echo() {
  const { connected, message, send, state } = useOdac('/echo')
  return (
    <button data-state={state} disabled={!connected} onClick={() => send('hello')}>
      first edition: {message ?? 'nothing'}
    </button>
  )
}
