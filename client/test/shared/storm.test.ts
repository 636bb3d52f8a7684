// Tabs open, close, crash, freeze and resume, sessions change and connections break, in random orders. In any order:
// no message arrives twice, or at a tab that was opened after the message's session ended, or is sent as another user
// than the one that wrote it; and in the end all tabs share one connection of the current session.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { settle } from '../fakes/clock'
import type { FakeSocket } from '../fakes/socket'
import { Bench, type Member, type Mode, MODES } from './harness'

const RUNS = 60
const STEPS = 80

/** A small random number generator with a seed (mulberry32), so that a run can be repeated. */
const random = (seed: number) => (): number => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

class Storm {
  readonly bench: Bench
  readonly random: () => number
  readonly living: Member[] = []
  readonly everyone: { member: Member; born: number }[] = []
  /** Sockets that the server has looked at, and the session that came with their cookie. */
  readonly seen = new Map<FakeSocket, number>()
  epoch = 0
  sent = 0
  received = 0

  constructor(mode: Mode, seed: number) {
    this.bench = new Bench(mode)
    this.random = random(seed)
    this.bench.browser.random = this.random
    this.bench.browser.session = 'user0'
  }

  pick<T>(items: readonly T[]): T | undefined {
    return items[Math.floor(this.random() * items.length)]
  }

  /** The server admits new connections, or refuses those whose token is not their cookie's. */
  serve(): void {
    const { browser } = this.bench
    for (const socket of browser.sockets) {
      if (!this.seen.has(socket)) this.seen.set(socket, this.epoch)
      if (!socket.alive || socket.readyState === 1) continue
      socket.accept()
      if (browser.tokens.get(socket.token ?? '') === `user${this.seen.get(socket)}`) socket.hello()
      else socket.end(4002)
    }
  }

  broadcast(): void {
    for (const socket of this.bench.browser.open) {
      if (socket.readyState === 1) socket.receive(`${this.seen.get(socket)}:${++this.received}`)
    }
  }

  join(): void {
    const member = this.bench.join()
    this.living.push(member)
    this.everyone.push({ member, born: this.epoch })
  }

  remove(member: Member | undefined): void {
    if (member) this.living.splice(this.living.indexOf(member), 1)
  }

  async step(): Promise<void> {
    const { bench } = this
    const member = this.pick(this.living)
    const awake = member && !member.tab.frozen ? member : undefined
    const dice = this.random()
    if (dice < 0.12 || !this.living.length) this.join()
    else if (dice < 0.16) {
      awake?.link.close()
      this.remove(awake)
    } else if (dice < 0.2) {
      member?.tab.crash()
      this.remove(member)
    } else if (dice < 0.25) {
      if (member) member.tab.frozen = true
    } else if (dice < 0.35) member?.tab.resume()
    else if (dice < 0.38) awake?.link.suspend(true)
    else if (dice < 0.45) awake?.link.wake()
    else if (dice < 0.5) {
      bench.browser.session = `user${++this.epoch}`
      this.join()
    } else if (dice < 0.53) this.pick(bench.browser.open)?.end(1006)
    else if (dice < 0.7) this.broadcast()
    else if (dice < 0.85) {
      // With the name of the session that the tab knows.
      if (awake) awake.link.send(`${this.label(awake)}:${++this.sent}`)
    } else if (dice < 0.86) bench.restartWorker()
    else if (dice < 0.95) await bench.pass(Math.floor(this.random() * 60_000))
    this.serve()
    // Sometimes the next step happens before the last one is handled.
    for (let turn = Math.floor(this.random() * 6); turn > 0; turn--) await Promise.resolve()
    if (this.random() < 0.3) await settle()
  }

  /** The session of the connection that the tab last got `open` of, or `new`. */
  label(member: Member): string {
    return String(member.link.session ?? 'new')
  }

  async calm(): Promise<void> {
    for (const { tab } of this.living) tab.resume()
    for (let n = 0; n < 30; n++) {
      await settle()
      this.serve()
      await this.bench.pass(10_000)
      if (n === 20) for (const { link } of this.living) link.wake()
    }
  }
}

for (const mode of MODES) {
  test(`${mode}: storms`, async (context) => {
    for (let seed = 1; seed <= RUNS; seed++) {
      const storm = new Storm(mode, seed)
      const { bench } = storm
      for (let step = 0; step < STEPS; step++) await storm.step()
      await storm.calm()
      const say = `${mode}, seed ${seed}`

      assert.equal(bench.browser.open.length, storm.living.length ? 1 : 0, say)
      for (const { link } of storm.living) assert.equal(link.state, 1, say)
      if (storm.living.length) {
        assert.equal(storm.seen.get(bench.only), storm.epoch, say)
        bench.only.receive('end')
        await settle()
        for (const { messages } of storm.living) assert.equal(messages.filter((data) => data === 'end').length, 1, say)
      }

      for (const { member, born } of storm.everyone) {
        const messages = member.messages.filter((data) => data !== 'end') as string[]
        assert.equal(new Set(messages).size, messages.length, `${say}: a message arrived twice`)
        for (const message of messages) {
          assert.ok(Number.parseInt(message) >= born, `${say}: a tab of session ${born} got ${message}`)
        }
      }

      const arrived = bench.browser.sockets.flatMap(({ sent }) => sent).filter((data) => /^(new|user\d+):/.test(String(data)))
      assert.equal(new Set(arrived).size, arrived.length, `${say}: a message was sent twice`)
      for (const [socket, epoch] of storm.seen) {
        for (const data of socket.sent) {
          const label = /^(user\d+):/.exec(String(data))?.[1]
          if (label) assert.equal(label, `user${epoch}`, `${say}: sent as another user`)
        }
      }
      for (const { link } of storm.living.splice(0)) link.close()
      await settle()
      assert.deepEqual(bench.browser.open, [], say)
    }
    context.diagnostic(`${RUNS} storms of ${STEPS} steps`)
  })
}
