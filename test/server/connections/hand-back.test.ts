/** Requests that have not begun, handed back with their connection so that somebody else answers them. */

import { describe, expect, it } from 'vitest'
import type { Application, Exchange } from '../../../src/app/exchange.ts'
import { type Serving, serving } from '../../support/responder.ts'
import { until } from '../../support/until.ts'
import { begin, params, request, stdin, stdinEnd } from '../../support/wire.ts'

const HEAD = 'Status: 200 OK\r\n\r\n'

/** Keeps requests, and lets the test decide. */
class Kept implements Application {
  readonly interface = 'wsgi'
  readonly exchanges: Exchange[] = []

  handle(exchange: Exchange) {
    this.exchanges.push(exchange)
    return { onStdin: () => true, onStdinEnd() {}, onDrain() {}, onAbort() {} }
  }

  async begun(count: number): Promise<Exchange> {
    await until(`${count} requests`, () => this.exchanges.length === count)
    return this.exchanges[count - 1] as Exchange
  }
}

/** What is handed back is kept for the test, and the connection closed. */
async function site(): Promise<{ kept: Kept; first: Serving; received: Buffer[] }> {
  const kept = new Kept()
  const received: Buffer[] = []
  const first = await serving(kept, {
    onHandBack(socket, bytes) {
      received.push(bytes)
      socket.destroy()
    },
  })
  return { kept, first, received }
}

describe('a request that is handed back', () => {
  it('goes with all that was received of it, and is none of ours any more', async () => {
    const { kept, first, received } = await site()
    const client = await first.connect()
    const bytes = request({ body: 'all of it' })
    client.send(bytes)
    expect((await kept.begun(1)).handBack?.()).toBe(true)
    expect(received).toEqual([bytes])
    expect(await client.closed()).toBe('end')
    expect(first.responder.stats()).toMatchObject({ connections: 0, inflight: 0, requests: 0 })
    expect(first.log.filter(({ level }) => level !== 'debug')).toEqual([])
  })

  it('goes without what came before it on the connection, in the middle of its body', async () => {
    const { kept, first, received } = await site()
    const client = await first.connect()
    client.send(request())
    const answered = await kept.begun(1)
    answered.head(200, HEAD, -1)
    answered.end('answered here')
    expect((await client.reply()).text).toBe('answered here')
    const half = Buffer.concat([begin(1), params(1), stdin(1, 'one ')])
    client.send(half)
    expect((await kept.begun(2)).handBack?.()).toBe(true)
    expect(received).toEqual([half])
    expect(await client.closed()).toBe('end')
  })

  it('stays where it is if its body was asked for, it was answered in part, or others are on its connection', async () => {
    const { kept, first, received } = await site()
    const client = await first.connect()
    client.send(begin(1), params(1))
    const asked = await kept.begun(1)
    asked.resumeStdin()
    expect(asked.handBack?.()).toBe(false)
    client.send(request({ id: 2 }))
    const beside = await kept.begun(2)
    expect(beside.handBack?.()).toBe(false)
    for (const exchange of [asked, beside]) {
      exchange.head(200, HEAD, -1)
      exchange.end('here')
      expect(exchange.handBack?.()).toBe(false)
    }
    client.send(stdinEnd(1))
    expect((await client.reply(1)).text + (await client.reply(2)).text).toBe('herehere')
    expect(received).toEqual([])
  })

  it('stays where it is if it is large', async () => {
    const { kept, first, received } = await site()
    const client = await first.connect()
    client.send(begin(1), params(1), stdin(1, 'x'.repeat(60_000)), stdin(1, 'x'.repeat(60_000)))
    const large = await kept.begun(1)
    await until('it has arrived', () => large.handBack?.() === false)
    large.head(200, HEAD, -1)
    large.end('here')
    client.send(stdinEnd(1))
    expect((await client.reply()).text).toBe('here')
    expect(received).toEqual([])
  })
})
