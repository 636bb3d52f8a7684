import type { Credentials, Environment } from '../../src/environment'
import { FakeClock } from './clock'
import { FakeSocket } from './socket'

/** An environment that the test controls. */
export class FakeEnvironment implements Environment {
  readonly sockets: FakeSocket[] = []
  /** The number of token requests. */
  requests = 0
  pageToken: string | undefined
  isOnline = true
  /** 1 makes every delay its longest. */
  randomness = 1
  /** What the WebSocket constructor throws. */
  refusal: Error | undefined
  answer: (count: number) => Promise<Credentials> = async (count) => ({ token: `t${count}`, session: 's1' })

  constructor(readonly clock = new FakeClock()) {}

  /** The newest WebSocket. */
  get last(): FakeSocket {
    const socket = this.sockets.at(-1)
    if (!socket) throw new Error('no WebSocket has been made')
    return socket
  }

  // Properties, not methods: an environment may be spread into another.
  socket = (url: string, protocols: string[]): WebSocket => {
    if (this.refusal) throw this.refusal
    const socket = new FakeSocket(url, protocols)
    this.sockets.push(socket)
    return socket as unknown as WebSocket
  }
  fetchCredentials = (): Promise<Credentials> => this.answer(++this.requests)
  takePageToken = (): string | undefined => {
    const token = this.pageToken
    this.pageToken = undefined
    return token
  }
  setTimeout = (callback: () => void, milliseconds: number): number => this.clock.setTimeout(callback, milliseconds)
  clearTimeout = (timer: number): void => this.clock.clearTimeout(timer)
  now = (): number => this.clock.time
  random = (): number => this.randomness
  online = (): boolean => this.isOnline
}
