/** What a WebSocket can send. */
export type Payload = string | ArrayBuffer | Blob

/** The first character of a control message: U+001E, record separator. */
const MARK = String.fromCharCode(0x1e)

/**
 * `data` as JSON, or undefined where it has none. Half of a surrogate pair, as `slice` leaves it, becomes U+FFFD as it
 * does in a text that a WebSocket sends: the server would refuse its escape and close the connection.
 */
const toJson = (data: unknown): string | undefined =>
  (JSON.stringify(data) as string | undefined)?.replace(
    /(\\\\)|\\ud[89a-f]../g,
    (_, backslash?: string) => backslash ?? '\ufffd',
  )

/** The name of the class of `data`, also where it comes from another window or frame. */
const tag = (data: unknown): string => Object.prototype.toString.call(data).slice(8, -1)

/** The payload for `data`. Buffers are copied, so that later changes do not change the message. */
export const encode = (data: unknown): Payload => {
  if (typeof data === 'string') return data
  if (/^(Blob|File)$/.test(tag(data))) return data as Blob
  // Only the bytes of the view, not its whole buffer.
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice().buffer
  if (/ArrayBuffer$/.test(tag(data))) return new Uint8Array(data as ArrayBuffer).slice().buffer
  const text = toJson(data)
  if (text === undefined) throw new TypeError(`Odac: ${typeof data} has no JSON form`)
  return text
}

/** What a `message` listener gets for `payload`. */
export const decode = (payload: unknown): unknown => {
  try {
    return typeof payload === 'string' ? JSON.parse(payload) : payload
  } catch {
    return payload
  }
}

/** `payload` as it travels on an `odac.v1` connection: text that looks like a control message gets one more mark. */
export const toWire = (payload: Payload): Payload =>
  typeof payload === 'string' && payload[0] === MARK ? MARK + payload : payload

/** Undo `toWire`. A control message comes back as the array that it is, anything else as the application's payload. */
export const fromWire = (payload: unknown): unknown => {
  if (typeof payload !== 'string' || payload[0] !== MARK) return payload
  const rest = payload.slice(1)
  if (rest[0] === MARK) return rest
  const control = decode(rest)
  // Invalid JSON behind the mark is an unknown control message, never a message of the application.
  return Array.isArray(control) ? control : []
}

/** The control message `kind` with its values, as text. */
export const control = (...message: [kind: string, ...values: unknown[]]): string => MARK + toJson(message)
