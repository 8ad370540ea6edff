/** How a responder ends: everything that was asked is answered, then nothing is left open. */

import { once } from 'node:events'
import * as net from 'node:net'
import { describe, expect, it } from 'vitest'
import { hello, keptRequests, rawApplication, serving } from '../../support/responder.ts'
import { until } from '../../support/until.ts'
import { begin, params, request, stdin, stdinEnd } from '../../support/wire.ts'

/** Longer than any test takes. */
const LONG = 60_000

describe('a responder that drains', () => {
  it('closes idle connections and accepts no more', async () => {
    const { connect, responder, target } = await serving(hello)
    const clients = [await connect(), await connect()]
    for (const client of clients) await client.ask()
    await responder.drain(LONG)
    for (const client of clients) expect(await client.closed()).toBe('end')
    const [error] = await once(net.connect(target), 'error')
    expect(error).toHaveProperty('code', 'ECONNREFUSED')
  })

  it('answers what runs, on every connection, and what is still being sent', async () => {
    const { app, nth } = keptRequests()
    const { connect, responder } = await serving(app)
    const [one, two] = [await connect(), await connect()]
    one.send(request({ id: 1 }), request({ id: 2 }))
    two.send(begin(1), params(1), stdin(1, 'half '))
    await nth(2)
    const drained = responder.drain(LONG)
    let done = false
    void drained.then(() => {
      done = true
    })
    two.send(stdin(1, 'and half'), stdinEnd(1))
    const third = await nth(2)
    third.reply(await third.body())
    expect((await two.reply()).text).toBe('half and half')
    expect(await two.closed()).toBe('end')
    ;(await nth(1)).reply('second')
    expect((await one.reply(2)).text).toBe('second')
    expect(done).toBe(false)
    ;(await nth(0)).reply('first')
    expect((await one.reply(1)).text).toBe('first')
    expect(await one.closed()).toBe('end')
    await drained
  })

  it('answers requests that had reached the socket before it was told', async () => {
    for (let round = 0; round < 50; round++) {
      const { connect, responder } = await serving(hello)
      const client = await connect()
      await client.ask()
      client.send(request())
      const drained = responder.drain(LONG)
      expect((await client.reply()).text).toBe('hello')
      expect(await client.closed()).toBe('end')
      await drained
    }
  })

  it('answers a connection that was accepted but had not asked yet', async () => {
    const { app, nth } = keptRequests()
    const { connect, responder } = await serving(app)
    const [busy, fresh] = [await connect(), await connect()]
    busy.send(request())
    await nth(0)
    await until('both are accepted', () => responder.stats().connections === 2)
    fresh.send(request())
    const drained = responder.drain(LONG)
    ;(await nth(1)).reply('fresh')
    expect((await fresh.reply()).text).toBe('fresh')
    ;(await nth(0)).reply('busy')
    expect((await busy.reply()).text).toBe('busy')
    await drained
  })

  it('ends what takes longer than the grace: 503 before the head, cut off after it', async () => {
    const { app, nth } = keptRequests()
    const { connect, responder, ended } = await serving(app)
    const [one, two] = [await connect(), await connect()]
    one.send(request())
    two.send(request())
    const [first, second] = [await nth(0), await nth(1)]
    const reasons: string[] = []
    first.onAbort = why => reasons.push(why)
    second.onAbort = why => reasons.push(why)
    second.head('200 OK', { 'Content-Length': '100' })
    second.exchange.write('some')
    await two.until('the start', () => two.stdout().includes('some'))
    await responder.drain(1)
    expect((await one.reply()).status).toBe(503)
    expect(await two.reply()).toMatchObject({ status: 200, text: 'some', appStatus: 1 })
    expect(await one.closed()).toBe('end')
    expect(await two.closed()).toBe('end')
    expect(reasons).toEqual(['shutdown', 'shutdown'])
    expect(ended).toMatchObject([{ aborted: true }, { aborted: true }])
  })

  it('does not wait for ever for a peer that does not take its reply', async () => {
    const app = rawApplication(one => one.reply(Buffer.alloc(20_000_000)))
    const { connect, responder } = await serving(app)
    const client = await connect()
    client.socket.pause()
    client.send(request())
    await until('the application is done', () => responder.stats().requests === 1)
    await responder.drain(1)
    expect(responder.stats()).toMatchObject({ connections: 0, inflight: 0 })
  })

  it('does not wait for ever for a peer that does not end its body', async () => {
    const { connect, responder } = await serving(hello)
    const client = await connect()
    client.send(begin(1), params(1), stdin(1, 'never ended'))
    expect((await client.reply()).text).toBe('hello')
    await responder.drain(1)
    await client.closed()
  })

  it('is drained at once when there is nothing', async () => {
    const { responder } = await serving(hello)
    await responder.drain(LONG)
    expect(responder.stats().connections).toBe(0)
  })
})
