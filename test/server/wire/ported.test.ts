/** What broke other implementations, or is tested by them: ported in spirit, one test for each, its source in its name. */

import { randomBytes } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { SPLITS } from '../../fcgi/feed.ts'
import { echo, hello, keptRequests, rawApplication, serving } from '../../support/responder.ts'
import { until } from '../../support/until.ts'
import {
  begin,
  GET_VALUES,
  PARAMS,
  PLAIN,
  pair,
  pairs,
  params,
  rec,
  request,
  STDIN,
  STDOUT,
  stdin,
  stdinEnd,
  stream,
  UNKNOWN_TYPE,
} from '../../support/wire.ts'

describe('Go, net/http/fcgi', () => {
  // TestSize
  it.each([0, 127, 128, 1_000, 33_554_431])('a value of %i bytes arrives', async size => {
    const app = rawApplication(one => one.reply(`${one.params.VALUE?.length} ${one.params.AFTER}`))
    const { connect } = await serving(app, { limits: { maxParamsSize: 34_000_000 } })
    const client = await connect()
    const content = Buffer.concat([pair('VALUE', 'v'.repeat(size)), pair('AFTER', 'it')])
    client.send(begin(1), stream(PARAMS, 1, content), rec(PARAMS, 1), stdinEnd(1))
    expect((await client.reply()).text).toBe(`${size} it`)
  })

  it.each([0, 127, 128, 1_000, 33_554_431])('a body of %i bytes goes there and back', async size => {
    const { connect } = await serving(echo)
    const client = await connect()
    const body = randomBytes(size)
    expect((await client.ask({ body })).body.equals(body)).toBe(true)
  })

  it('FCGI_GET_VALUES is answered with these bytes (TestGetValues)', async () => {
    const { connect } = await serving(hello)
    const socket = (await connect()).socket.removeAllListeners('data')
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.write(
      Buffer.concat([Buffer.from([1, 9, 0, 0, 0, 17, 7, 0, 15, 0]), Buffer.from('FCGI_MPXS_CONNS'), Buffer.alloc(7)]),
    )
    const expected = Buffer.concat([
      Buffer.from([1, 10, 0, 0, 0, 18, 6, 0, 15, 1]),
      Buffer.from('FCGI_MPXS_CONNS1'),
      Buffer.alloc(6),
    ])
    await until('the answer', () => Buffer.concat(chunks).length >= expected.length)
    expect(Buffer.concat(chunks)).toEqual(expected)
  })

  it('a pair longer than its stream is a violation (TestMalformedParams)', async () => {
    const { app, requests } = keptRequests()
    const { connect } = await serving(app)
    const client = await connect()
    client.send(begin(1), rec(PARAMS, 1, Buffer.from([50, 50, 3, 4, 5, 6, 7, 8, 9, 10])), rec(PARAMS, 1))
    await client.closed()
    expect(requests).toHaveLength(0)
  })

  // TestChildServeCleansUp
  it.each([
    ['FCGI_ABORT_REQUEST', rec(2, 1)],
    ['the end of the connection', undefined],
  ])('a body that is cut off by %s is not taken for whole', async (_, bytes) => {
    const { app, nth } = keptRequests()
    const { connect } = await serving(app)
    const client = await connect()
    client.send(begin(1), params(1), stdin(1, 'x'.repeat(100)))
    const one = await nth(0)
    const events: string[] = []
    one.onStdinEnd = () => events.push('end')
    one.onAbort = why => events.push(why)
    one.exchange.resumeStdin()
    if (bytes === undefined) client.socket.end()
    else client.send(bytes)
    await until('abort', () => events.length > 0)
    expect(events).toEqual(['client-gone'])
  })

  it('an application that does not read does not hide FCGI_ABORT_REQUEST', async () => {
    const { app, nth } = keptRequests()
    const { connect } = await serving(app)
    const client = await connect()
    client.send(begin(1), params(1), begin(3), params(3), stdin(1, Buffer.alloc(1_000_000)), rec(2, 1), rec(2, 3))
    const reasons: string[] = []
    for (const n of [0, 1]) (await nth(n)).onAbort = why => reasons.push(why)
    await Promise.all([client.reply(1), client.reply(3)])
    expect((await nth(0)).exchange.aborted && (await nth(1)).exchange.aborted).toBe(true)
  })
})

describe('nginx, fastcgi_keepalive.t', () => {
  it.each(SPLITS)('requests follow each other on one connection, cut in mid-header and late, %s', async (_, split) => {
    const { connect } = await serving(echo)
    const client = await connect()
    const requests = Array.from({ length: 8 }, (_, n) => request({ body: 'b'.repeat(n * 11) }))
    let held: Buffer = Buffer.alloc(0)
    for (const [n, bytes] of requests.entries()) {
      // The first bytes of the next header come along with the end of this request.
      const next = (requests[n + 1] ?? Buffer.alloc(0)).subarray(0, 3)
      client.expect(1)
      await client.sendPieces(Buffer.concat([bytes.subarray(held.length), next]), split)
      held = next
      expect((await client.reply()).text).toBe('b'.repeat(n * 11))
    }
  })

  it('a reply is cut wherever the network likes', async () => {
    const body = randomBytes(70_000)
    const { connect } = await serving(rawApplication(one => one.reply(body)))
    const client = await connect()
    for (let round = 0; round < 5; round++) expect((await client.ask()).body.equals(body)).toBe(true)
  })
})

describe('PHP', () => {
  it('76922: FCGI_GET_VALUES does not close the connection', async () => {
    const { connect } = await serving(hello)
    const client = await connect()
    for (let round = 1; round <= 3; round++) {
      client.send(rec(GET_VALUES, 0, pairs([['FCGI_MAX_REQS', '']])))
      await client.until('answer', () => client.management.length === round)
      expect((await client.ask()).text).toBe('hello')
    }
  })

  it('72185: a reply whose first write is empty has no empty record', async () => {
    const app = rawApplication(one => {
      one.head()
      one.exchange.write('')
      setImmediate(() => one.exchange.end('late'))
    })
    const { connect } = await serving(app)
    const { records, text } = await (await connect()).ask()
    expect(text).toBe('late')
    expect(records.findIndex(record => record.content.length === 0)).toBe(records.length - 2)
  })

  it('78405: hundreds of idle connections that are kept hold up nobody', async () => {
    const { connect, responder } = await serving(hello)
    const idle = await Promise.all(Array.from({ length: 300 }, () => connect()))
    for (const client of idle) expect((await client.ask()).text).toBe('hello')
    expect((await (await connect()).ask()).text).toBe('hello')
    for (const client of idle) expect((await client.ask()).text).toBe('hello')
    expect(responder.stats().connections).toBe(301)
  })
})

describe('others', () => {
  it.each(['unix', 'tcp'] as const)(
    'uWSGI PR 609: no reply is lost when the end of STDIN comes last (%s)',
    async over => {
      const { connect } = await serving(hello, { over })
      for (let round = 0; round < 300; round++) {
        const client = await connect()
        client.send(begin(1, { keep: false }), params(1), stdin(1, 'body'))
        if (round % 3 > 0) await turn()
        client.send(stdinEnd(1))
        expect((await client.reply()).text).toBe('hello')
        expect(await client.closed()).toBe('end')
      }
    },
  )

  it('HyperFastCgi 55: replies that are written at the same time do not tear each other apart', async () => {
    const bodies = Array.from({ length: 20 }, () => randomBytes(400_000))
    const app = rawApplication(one => {
      const body = bodies[Number(one.params.N)] as Buffer
      one.head()
      let at = 0
      const go = (): void => {
        while (at < body.length) {
          const piece = body.subarray(at, at + 1 + ((at * 7) % 30_000))
          at += piece.length
          if (!one.exchange.write(piece)) return
          if (at % 3 === 0) return void setImmediate(go)
        }
        one.exchange.end()
      }
      one.onDrain = go
      go()
    })
    const { connect } = await serving(app)
    const client = await connect()
    for (const n of bodies.keys()) client.send(request({ id: n + 1, params: { ...PLAIN, N: String(n) } }))
    for (const [n, body] of bodies.entries()) expect((await client.reply(n + 1)).body.equals(body)).toBe(true)
  })

  it('fastcgi-stream: type 0 does not lose the place in the stream', async () => {
    const { connect } = await serving(hello)
    const client = await connect()
    client.send(rec(0, 0, 'eight by'), rec(0, 5, 'nothing'), request())
    expect((await client.reply()).text).toBe('hello')
    expect(client.management).toMatchObject([{ type: UNKNOWN_TYPE, content: Buffer.alloc(8) }])
  })

  it('node-fastcgi: KEEP_CONN is honoured, and its absence as well', async () => {
    const { connect } = await serving(hello)
    const client = await connect()
    for (let round = 0; round < 5; round++) await client.ask()
    await client.ask({ keep: false })
    expect(await client.closed()).toBe('end')
  })

  it('node-fastcgi: a pair that straddles two records is decoded as one', async () => {
    const { connect } = await serving(rawApplication(one => one.reply(JSON.stringify(one.params))))
    const client = await connect()
    const content = pairs({ NAME: 'value', OTHER: 'x'.repeat(200) })
    for (let cut = 1; cut < content.length; cut += 3) {
      client.send(
        begin(1),
        rec(PARAMS, 1, content.subarray(0, cut)),
        rec(PARAMS, 1, content.subarray(cut)),
        rec(PARAMS, 1),
      )
      client.send(stdinEnd(1))
      expect(JSON.parse((await client.reply()).text)).toEqual({ NAME: 'value', OTHER: 'x'.repeat(200) })
    }
  })

  it('Kitura-net 180: a reply over 64 KiB is cut into records', async () => {
    const { connect } = await serving(rawApplication(one => one.reply('k'.repeat(200_000))))
    const { records } = await (await connect()).ask()
    expect(records.filter(record => record.type === STDOUT).length).toBeGreaterThan(3)
  })

  it('HHVM 2240: aborts in every state of a request harm nobody', async () => {
    const { connect } = await serving(hello)
    const client = await connect()
    const states = [
      [],
      [begin(7)],
      [begin(7), rec(PARAMS, 7, pairs(PLAIN))],
      [begin(7), params(7)],
      [request({ id: 7 })],
    ]
    for (const state of [...states, [begin(7), params(7), stream(STDIN, 7, 'half')]]) {
      client.send(Buffer.concat([...state, rec(2, 7), rec(2, 7)]))
      if (state.length > 0) await client.reply(7)
      expect((await client.ask()).text).toBe('hello')
    }
  })

  it('h11: what follows a request does not change it', async () => {
    const { connect } = await serving(echo)
    for (const trailing of [begin(2), begin(2).subarray(0, 5), stdin(1, 'late'), rec(GET_VALUES, 0)]) {
      const client = await connect()
      client.send(Buffer.concat([request({ body: 'body' }), trailing]))
      expect((await client.reply()).text).toBe('body')
    }
  })
})
