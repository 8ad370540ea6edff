/** Peers that mean harm, or are broken beyond the rules: what they can cost is bounded, and nobody else pays it. */

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { hello, keptRequests, rawApplication, type Serving, serving } from '../../support/responder.ts'
import { until } from '../../support/until.ts'
import { begin, type Client, GET_VALUES, params, rec, request, STDIN, stdin, stdinEnd } from '../../support/wire.ts'

/**
 * Sends until the responder takes no more, which is not the same as taking it slowly: nothing moves while it answers a
 * hundred requests of somebody else. Returns the bytes that it took.
 */
async function sendUntilStuck({ connect }: Serving, peer: Client, piece: Buffer, most: number): Promise<number> {
  const other = await connect()
  const taken = (): number => peer.socket.bytesWritten - peer.socket.writableLength
  for (let before = -1; before !== taken() && taken() < most; ) {
    before = taken()
    while (peer.socket.writableLength < 1_000_000) {
      if (peer.socket.destroyed) throw new Error('the connection was closed')
      peer.send(piece)
    }
    for (let round = 0; round < 100; round++) await other.ask()
  }
  return taken()
}

const repeat = (bytes: Buffer, times: number): Buffer => Buffer.concat(Array.from({ length: times }, () => bytes))

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

/** Requests with ids of their own: one that is in flight must not be used again. */
const many = Buffer.concat(Array.from({ length: 2_000 }, (_, n) => request({ id: 100 + n })))

describe('a peer that sends and never reads', () => {
  const MOST = 40_000_000
  it.each([
    ['requests', many],
    ['FCGI_GET_VALUES', repeat(rec(GET_VALUES, 0, '\x0f\0FCGI_MPXS_CONNS'), 2_000)],
    ['management records of unknown type', repeat(rec(99, 0), 5_000)],
    ['requests for a role that there is not', repeat(Buffer.concat([begin(1, { role: 3 }), stdinEnd(1)]), 2_000)],
  ])('is not read any more either: %s', async (_, piece) => {
    const server = await serving(hello)
    const peer = await server.connect({ compare: false })
    peer.socket.pause()
    expect(await sendUntilStuck(server, peer, piece, MOST)).toBeLessThan(MOST)
  })

  it('not even when it holds the body of another request open', async () => {
    const { app, requests } = keptRequests()
    const server = await serving(
      rawApplication(one => (requests.length === 0 ? app.handle(one.exchange) : one.reply('x'))),
    )
    const peer = await server.connect({ compare: false })
    peer.socket.pause()
    peer.send(begin(9), params(9), stdin(9, 'not ended'))
    await until('the first', () => requests.length === 1)
    expect(await sendUntilStuck(server, peer, many, MOST)).toBeLessThan(MOST)
  })

  it('is served again as soon as it reads', async () => {
    const { connect, responder } = await serving(hello)
    const [peer, other] = [await connect({ compare: false }), await connect()]
    peer.socket.pause()
    const ids = Array.from({ length: 10_000 }, (_, n) => n + 1)
    peer.send(Buffer.concat(ids.map(id => request({ id }))))
    for (let round = 0; round < 200; round++) await other.ask()
    expect(responder.stats().requests).toBeLessThan(10_000)
    peer.socket.resume()
    for (const id of ids) expect([200, 503]).toContain((await peer.reply(id)).status)
    expect((await peer.ask()).text).toBe('hello')
  })
})

describe('a connection of garbage', () => {
  it('costs nobody else anything', async () => {
    const { connect, responder } = await serving(hello)
    const good = await connect()
    for (let round = 0; round < 50; round++) {
      const bad = await connect()
      bad.socket.write(Buffer.alloc(1 + round * 37, round))
      bad.socket.end()
      await bad.closed().catch(error => expect(error).toBe(bad.fault))
      expect((await good.ask()).text).toBe('hello')
    }
    await until('all are gone', () => responder.stats().connections === 1)
  })

  it('may be a body of STDIN records of one byte each, each in a packet full of nothing', async () => {
    const { app, nth } = keptRequests()
    const { connect } = await serving(app)
    const client = await connect()
    client.send(begin(1), params(1))
    const one = await nth(0)
    const before = process.memoryUsage().arrayBuffers
    const packet = Buffer.concat([
      rec(STDIN, 1, 'x'),
      ...Array.from({ length: 230 }, () => rec(200, 1, '', { padding: 255 })),
    ])
    for (let round = 0; round < 500; round++) client.send(packet)
    await until('all is sent', () => client.socket.writableLength === 0)
    await client.send(rec(GET_VALUES, 0)).until('all is read', () => client.management.length === 1)
    await until('nothing but the body is kept', () => {
      collectGarbage()
      return process.memoryUsage().arrayBuffers - before < 8 * 1024 * 1024
    })
    client.send(stdinEnd(1))
    expect(String(await one.body())).toBe('x'.repeat(500))
    one.reply('')
    await client.reply()
  })
})
