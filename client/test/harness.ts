import { Connection, type Settings } from '../src/connection'
import type { MakeExtension } from '../src/extension'
import { settle } from './fakes/clock'
import { FakeEnvironment } from './fakes/environment'
import { Log } from './fakes/log'

export const DEFAULTS: Settings = { autoReconnect: true, reconnectDelay: 3000, maxReconnectAttempts: 10, token: true }

export class Harness {
  readonly env: FakeEnvironment
  readonly log = new Log()
  readonly connection: Connection

  constructor(settings: Partial<Settings> = {}, env = new FakeEnvironment(), extensions?: readonly MakeExtension[]) {
    this.env = env
    this.connection = new Connection(env, 'ws://site/chat', { ...DEFAULTS, ...settings }, this.log.sink, extensions)
  }

  get clock() {
    return this.env.clock
  }

  /** The newest WebSocket. */
  get socket() {
    return this.env.last
  }

  /** Wait for the new WebSocket, which must be there at once, and admit it. */
  async open(ping?: number): Promise<this> {
    await settle()
    this.socket.accept().hello(ping)
    return this
  }
}

/** An open connection. */
export const opened = (settings: Partial<Settings> = {}, env?: FakeEnvironment): Promise<Harness> =>
  new Harness(settings, env).open()
