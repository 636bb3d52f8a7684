// `odac-client/react`
import { useCallback, useEffect, useRef, useState } from 'react'
import { attach, IDLE, keyOf, type OdacView, type Send, type UseOdacOptions } from './binding'
import type { OdacBaseSocket, OdacRooms, OdacSocket } from './package'

export type { OdacView, Send, UseOdacOptions }

/** What the hook `useOdac` returns. `Socket` is the route's, where `odac types` has written it. */
export interface UseOdac<
  Message = unknown,
  Rooms extends OdacRooms = OdacRooms,
  Socket extends OdacBaseSocket & { send: unknown } = OdacSocket<Message, Rooms>,
> extends OdacView<Message, Rooms, Socket> {
  /** Sends with `socket.send`; returns false while there is no socket. The same function in every render. */
  readonly send: Socket['send']
}

/**
 * A connection for as long as the component is mounted.
 *
 * Another `path`, or options of another value, make another connection; without a path there is none. In strict mode,
 * which mounts each component twice, one connection is made.
 *
 * @param path what `Odac.ws` takes; null or undefined for no connection.
 */
export function useOdac<Message = unknown>(
  path: string | null | undefined,
  options: UseOdacOptions<Message> = {},
): UseOdac<Message> {
  const key = keyOf(path, options)
  const latest = useRef(options)
  const current = useRef<OdacView<Message>>(IDLE)
  const [shown, setShown] = useState<readonly [key: string | undefined, view: OdacView<Message>]>([key, IDLE])

  useEffect(() => {
    latest.current = options
  })
  useEffect(() => {
    if (key === undefined) return undefined
    const end = attach<Message>(path as string, () => latest.current, (changes) => {
      current.current = { ...current.current, ...changes }
      setShown([key, current.current])
    })
    return () => {
      end()
      setShown([key, (current.current = IDLE)])
    }
  }, [key])

  const send: Send = useCallback((data) => current.current.socket?.send(data) ?? false, [])
  // Until the effect has run, the view belongs to the previous path.
  return { ...(shown[0] === key ? shown[1] : IDLE), send }
}
