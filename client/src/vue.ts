// `odac-client/vue`
import { getCurrentInstance, onMounted, ref, shallowRef, toValue, watch } from 'vue'
import type { MaybeRefOrGetter, ShallowRef } from 'vue'
import { attach, IDLE, keyOf, type OdacView, type Send, type UseOdacOptions } from './binding'
import type { OdacBaseSocket, OdacRooms, OdacSocket } from './package'

export type { OdacView, Send, UseOdacOptions }

/**
 * What the composable `useOdac` returns: each field of an `OdacView` as a ref. `Socket` is the route's, where
 * `odac types` has written it.
 */
export type UseOdac<
  Message = unknown,
  Rooms extends OdacRooms = OdacRooms,
  Socket extends OdacBaseSocket & { send: unknown } = OdacSocket<Message, Rooms>,
> = {
  readonly [Field in keyof OdacView]: Readonly<ShallowRef<OdacView<Message, Rooms, Socket>[Field]>>
} & {
  /** Sends with `socket.send`; returns false while there is no socket. */
  readonly send: Socket['send']
}

/**
 * A connection for as long as the component is mounted, or the scope around it lives.
 *
 * Another `path`, or options of another value, make another connection; without a path there is none.
 *
 * @param path what `Odac.ws` takes, or a ref or getter of it; null or undefined for no connection.
 */
export function useOdac<Message = unknown>(
  path: MaybeRefOrGetter<string | null | undefined>,
  options: MaybeRefOrGetter<UseOdacOptions<Message>> = {},
): UseOdac<Message> {
  const view = {
    socket: shallowRef<OdacView<Message>['socket']>(),
    state: shallowRef(IDLE.state),
    connected: shallowRef(false),
    message: shallowRef<Message | undefined>(),
    recovery: shallowRef<OdacView['recovery']>(),
    presence: shallowRef(IDLE.presence),
  }
  const show = (changes: Partial<OdacView<Message>>): void => {
    for (const [field, value] of Object.entries(changes)) view[field as keyof OdacView].value = value as never
  }
  // Not while a server renders, which mounts no component.
  const mounted = ref(!getCurrentInstance() && typeof location === 'object')
  if (getCurrentInstance()) onMounted(() => (mounted.value = true))
  watch(
    () => (mounted.value ? keyOf(toValue(path), toValue(options)) : undefined),
    (key, _, onCleanup) => {
      if (key === undefined) return
      const end = attach<Message>(toValue(path) as string, () => toValue(options), show)
      onCleanup(() => {
        end()
        show(IDLE)
      })
    },
    { immediate: true, flush: 'sync' },
  )
  return { ...view, send: (data) => view.socket.value?.send(data) ?? false }
}
