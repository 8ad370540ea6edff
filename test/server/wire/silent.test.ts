/**
 * Where the specification is silent: what the responder does, in the order of the design's list. Rules that the web
 * servers force are in rules.test.ts.
 */

import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { planFor } from '../../../src/cgi/plan.ts'
import { SPLITS } from '../../fcgi/feed.ts'
import { echo, hello, keptRequests, rawApplication, serving } from '../../support/responder.ts'
import { until } from '../../support/until.ts'
import {
  abort,
  begin,
  type Client,
  END,
  GET_VALUES,
  PARAMS,
  PLAIN,
  pairs,
  params,
  rec,
  request,
  STDERR,
  STDIN,
  STDOUT,
  stdin,
  stdinEnd,
  stream,
} from '../../support/wire.ts'

/** Nothing more is on its way: whatever `client` sent has been read and answered. */
async function settled(client: Client): Promise<void> {
  const before = client.management.length
  client.send(rec(GET_VALUES, 0))
  await client.until('answer', () => client.management.length > before)
}

describe('1: requests with and without KEEP_CONN on one connection', () => {
  it.each([
    ['the one without ends last', [1, 3, 5]],
    ['the one without ends first', [3, 1, 5]],
    ['the one without ends in between', [1, 3, 5].reverse()],
  ])('close it when the last one in flight ends: %s', async (_, order) => {
    const { app, nth } = keptRequests()
    const { connect } = await serving(app)
    const client = await connect()
    client.send(request({ id: 1 }), request({ id: 3, keep: false }), request({ id: 5 }))
    for (const id of order) {
      expect(client.ending).toBeUndefined()
      ;(await nth((id - 1) / 2)).reply(`${id}`)
      expect((await client.reply(id)).text).toBe(`${id}`)
      if (id !== order.at(-1)) await settled(client)
    }
    expect(await client.closed()).toBe('end')
  })

  it('keep it open while all ask for it', async () => {
    const { connect } = await serving(hello)
    const client = await connect()
    for (let round = 0; round < 10; round++) await client.ask()
    await settled(client)
    expect(client.ending).toBeUndefined()
  })
})

describe('2: FCGI_ABORT_REQUEST', () => {
  it('tells the application, and END_REQUEST with appStatus 1 goes out at once', async () => {
    const { app, nth } = keptRequests()
    const { connect, ended } = await serving(app)
    const client = await connect()
    client.send(begin(1), params(1), stdin(1, 'half of it'))
    const one = await nth(0)
    const reasons: string[] = []
    one.onAbort = why => {
      reasons.push(why)
      one.reply('too late')
      one.exchange.stderr('too late as well')
      one.exchange.fail(new Error('and this'))
    }
    client.send(abort(1))
    const reply = await client.reply()
    expect(reply.records).toMatchObject([{ type: END, content: Buffer.from([0, 0, 0, 1, 0, 0, 0, 0]) }])
    await settled(client)
    expect(reasons).toEqual(['client-gone'])
    expect(one.exchange.aborted).toBe(true)
    expect(ended).toMatchObject([{ aborted: true, status: 0 }])
  })

  it('in mid-reply ends the streams that were used first', async () => {
    const { app, nth } = keptRequests()
    const { connect } = await serving(app)
    const client = await connect()
    client.send(begin(1), params(1))
    const one = await nth(0)
    one.head()
    one.exchange.write('some')
    one.exchange.stderr('log')
    await client.until('the start', () => client.stdout().includes('some'))
    client.send(abort(1))
    const reply = await client.reply()
    expect([reply.appStatus, reply.text, reply.stderr]).toEqual([1, 'some', 'log'])
  })

  it.each(SPLITS)('before the end of PARAMS starts no application, %s', async (_, split) => {
    const { app, requests } = keptRequests()
    const { connect } = await serving(app)
    const client = await connect()
    await client.sendPieces(
      Buffer.concat([begin(1), stream(PARAMS, 1, pairs(PLAIN)), abort(1), rec(PARAMS, 1), stdinEnd(1)]),
      split,
    )
    expect((await client.reply()).records).toMatchObject([{ type: END }])
    await settled(client)
    expect(requests).toHaveLength(0)
  })

  it('without KEEP_CONN closes the connection', async () => {
    const { connect } = await serving(keptRequests().app)
    const client = await connect()
    client.send(begin(1, { keep: false }), params(1), abort(1))
    await client.reply()
    expect(await client.closed()).toBe('end')
  })
})

describe('3: what closes the connection', () => {
  const live = Buffer.concat([begin(1), params(1)])
  it.each([
    ['BEGIN_REQUEST for a live id', Buffer.concat([live, begin(1)])],
    ['BEGIN_REQUEST for an id whose PARAMS have not ended', Buffer.concat([begin(1), begin(1)])],
    ['BEGIN_REQUEST of 7 bytes', rec(1, 1, Buffer.from([0, 1, 1, 0, 0, 0, 0]))],
    ['BEGIN_REQUEST of 9 bytes', rec(1, 1, Buffer.from([0, 1, 1, 0, 0, 0, 0, 0, 0]))],
    ['BEGIN_REQUEST without content', rec(1, 1)],
    ['STDIN with content before the end of PARAMS', Buffer.concat([begin(1), rec(STDIN, 1, 'too early')])],
  ])('%s', async (_, bytes) => {
    for (const [, split] of SPLITS) {
      const { connect } = await serving(keptRequests().app)
      const client = await connect()
      await client.sendPieces(bytes, split)
      await client.closed()
      expect(client.received).toBe(0)
    }
  })

  it('but not an empty STDIN before the end of PARAMS: there is no body', async () => {
    const { connect } = await serving(echo)
    const client = await connect()
    for (const [, split] of SPLITS) {
      await client.sendPieces(Buffer.concat([begin(1), stdinEnd(1), params(1)]), split)
      expect((await client.reply()).text).toBe('')
    }
  })

  it('nor an id that is used again as soon as it has been answered, even before its STDIN has ended', async () => {
    const { connect } = await serving(hello)
    const client = await connect()
    client.send(begin(1), params(1), stdin(1, 'not ended'))
    await client.reply()
    client.send(request({ id: 1 }))
    expect((await client.reply()).text).toBe('hello')
  })
})

describe('4: odd parameters', () => {
  it('empty names are dropped, NUL in a value is kept, the last of two wins', async () => {
    const app = rawApplication(one => {
      const { names, values } = one.exchange.params
      one.reply(JSON.stringify(planFor(names).environ(values)))
    })
    const { connect } = await serving(app)
    const entries: [string, string][] = [
      ...Object.entries(PLAIN),
      ['', 'nameless'],
      ['NUL', 'a\0b'],
      ['TWICE', 'first'],
      ['TWICE', 'last'],
      ['__proto__', 'polluted'],
      ['constructor', 'a name like any other'],
    ]
    const environ = JSON.parse((await (await connect()).ask({ params: entries })).text)
    expect(environ).toMatchObject({ NUL: 'a\0b', TWICE: 'last', constructor: 'a name like any other' })
    expect(Object.hasOwn(environ, '')).toBe(false)
    expect(Object.hasOwn(environ, '__proto__')).toBe(false)
  })

  it('a request may have no parameters at all', async () => {
    const { connect } = await serving(hello)
    expect((await (await connect()).ask({ params: {} })).text).toBe('hello')
  })
})

describe('5: the size of PARAMS', () => {
  it('256 KiB in all are served, one byte more is a 431, and the connection lives on', async () => {
    const { connect } = await serving(rawApplication(one => one.reply(String(one.params.X?.length))))
    const client = await connect()
    const room = 256 * 1024 - 6
    expect((await client.ask({ params: { X: 'v'.repeat(room) } })).text).toBe(String(room))
    const refused = await client.ask({ params: { X: 'v'.repeat(room + 1) }, body: 'and a body' })
    expect([refused.status, refused.protocolStatus]).toEqual([431, 0])
    expect((await client.ask({ params: { X: 'v' } })).text).toBe('1')
  })
})

describe('6: requests in flight', () => {
  it('are 128, the next is a 503 with REQUEST_COMPLETE', async () => {
    const { app, requests } = keptRequests()
    const { connect, responder } = await serving(app)
    const client = await connect()
    for (let id = 1; id <= 129; id++) client.send(request({ id }))
    const refused = await client.reply(129)
    expect([refused.status, refused.protocolStatus]).toEqual([503, 0])
    expect(responder.stats().inflight).toBe(128)
    for (const one of requests) one.reply('at last')
    for (let id = 1; id <= 128; id++) expect((await client.reply(id)).text).toBe('at last')
  })
})

describe('8: an application that does not read', () => {
  it('stops the socket from being read when its request is the only one', async () => {
    const { app, nth } = keptRequests()
    const { connect } = await serving(app)
    const client = await connect()
    const other = await connect()
    const body = randomBytes(24 * 1024 * 1024)
    client.send(request({ body }))
    const one = await nth(0)
    // No more is taken although the server is busy with others: it is not slow, it has stopped.
    let unsent = -1
    for (let n = 1; unsent !== client.socket.writableLength; n++) {
      unsent = client.socket.writableLength
      for (let round = 0; round < 50; round++) await settled(other)
      expect(n).toBeLessThan(1_000)
    }
    expect(unsent).toBeGreaterThan(20 * 1024 * 1024)
    expect((await one.body()).equals(body)).toBe(true)
    one.reply('read')
    expect((await client.reply()).text).toBe('read')
  })

  it('may stop and go on as often as it likes', async () => {
    const body = randomBytes(3_000_000)
    const { connect } = await serving(
      rawApplication(one => {
        const chunks: Buffer[] = []
        one.onStdin = chunk => {
          chunks.push(chunk)
          if (chunks.length % 3 === 0) one.exchange.pauseStdin()
          setImmediate(() => one.exchange.resumeStdin())
          return chunks.length % 2 === 0
        }
        one.onStdinEnd = () => one.reply(Buffer.concat(chunks))
        one.exchange.resumeStdin()
      }),
    )
    const reply = await (await connect()).ask({ body })
    expect(reply.body.equals(body)).toBe(true)
  })

  it('does not hold up the other requests of its connection, and still gets its body whole', async () => {
    const { app, nth } = keptRequests()
    const { connect } = await serving(app)
    const client = await connect()
    const body = randomBytes(5_000_000)
    client.send(begin(1), params(1), begin(3), params(3), stream(STDIN, 1, body), stdinEnd(1), stdinEnd(3))
    ;(await nth(1)).reply('second')
    expect((await client.reply(3)).text).toBe('second')
    const first = await nth(0)
    expect((await first.body()).equals(body)).toBe(true)
    first.reply('first')
    expect((await client.reply(1)).text).toBe('first')
  })

  it('is answered with 413 when too much waits for it, and the others go on', async () => {
    const { app, nth } = keptRequests()
    const { connect } = await serving(app, { limits: { bodyBuffer: 10_000, maxSpool: 100_000 } })
    const client = await connect()
    client.send(begin(1), params(1), begin(3), params(3))
    const reasons: string[] = []
    ;(await nth(0)).onAbort = why => reasons.push(why)
    client.send(stdin(1, Buffer.alloc(200_000)))
    expect((await client.reply(1)).status).toBe(413)
    expect(reasons).toEqual(['body-too-large'])
    client.send(stdinEnd(1), stdinEnd(3))
    ;(await nth(1)).reply('second')
    expect((await client.reply(3)).text).toBe('second')
    expect((await nth(0)).exchange.aborted).toBe(true)
  })
})

describe('9: a peer that writes everything before it reads', () => {
  it.each(['unix', 'tcp'] as const)('gets the reply of an application that answers while it reads (%s)', async over => {
    const body = randomBytes(12 * 1024 * 1024)
    const app = rawApplication(one => {
      one.head()
      // The application keeps to the flow control on both sides.
      one.onStdin = chunk => one.exchange.write(chunk)
      one.onDrain = () => one.exchange.resumeStdin()
      one.onStdinEnd = () => one.exchange.end()
      one.exchange.resumeStdin()
    })
    const { connect } = await serving(app, { over })
    const client = await connect()
    client.socket.pause()
    client.send(request({ keep: false, body }))
    await until('all is sent', () => client.socket.writableLength === 0)
    client.socket.resume()
    expect((await client.reply()).body.equals(body)).toBe(true)
    expect(await client.closed()).toBe('end')
  })
})

describe('10: a body that nobody wants any more', () => {
  it('is read and dropped, and the connection can be used again', async () => {
    const { connect } = await serving(hello)
    const client = await connect()
    for (let round = 0; round < 3; round++) {
      client.send(begin(1), params(1))
      expect((await client.reply()).text).toBe('hello')
      client.send(stream(STDIN, 1, Buffer.alloc(8 * 1024 * 1024)), stdinEnd(1))
    }
    expect((await client.ask({ id: 3 })).text).toBe('hello')
  })

  it('does not hold up the end of the connection on our side, which nginx waits for', async () => {
    const { connect } = await serving(hello)
    const client = await connect()
    client.send(begin(1, { keep: false }), params(1), stdin(1, 'this is not all'))
    expect((await client.reply()).text).toBe('hello')
    expect(await client.closed()).toBe('end')
  })

  it('closes the connection when it is more than 64 MiB', async () => {
    const { connect } = await serving(hello)
    const client = await connect()
    client.send(begin(1), params(1))
    await client.reply()
    const piece = stream(STDIN, 1, Buffer.alloc(1024 * 1024))
    let sent = 0
    while (client.ending === undefined) {
      client.socket.write(piece)
      sent++
      await until('room', () => client.ending !== undefined || client.socket.writableLength < piece.length)
    }
    // The headers of the records count as well: the 64th piece may be the one too many.
    expect(sent).toBeGreaterThanOrEqual(64)
  })
})

describe('11: a peer that closes its sending side', () => {
  it.each(['unix', 'tcp'] as const)('after whole requests gets their replies, then the end (%s)', async over => {
    const { app, nth } = keptRequests()
    const { connect } = await serving(app, { over })
    const client = await connect()
    client.send(request({ id: 1 }), request({ id: 2, body: 'with a body' }))
    client.socket.end()
    const [first, second] = [await nth(0), await nth(1)]
    expect(String(await second.body())).toBe('with a body')
    second.reply('second')
    expect((await client.reply(2)).text).toBe('second')
    // STDERR has ended for this peer: what comes now must not come after its end.
    first.exchange.stderr('for nobody')
    first.reply('first')
    expect((await client.reply(1)).text).toBe('first')
    expect(await client.closed()).toBe('end')
  })

  it.each([
    ['in mid-body', Buffer.concat([begin(1), params(1), stdin(1, 'half')])],
    ['before the body', Buffer.concat([begin(1), params(1)])],
    ['within a STDIN record', Buffer.concat([begin(1), params(1), stdin(1, 'half a record').subarray(0, 12)])],
  ])('%s has its request aborted', async (_, bytes) => {
    const { app, nth } = keptRequests()
    const { connect, responder } = await serving(app)
    const client = await connect()
    client.send(bytes)
    const reasons: string[] = []
    ;(await nth(0)).onAbort = why => reasons.push(why)
    client.socket.end()
    expect(await client.closed()).toBe('end')
    expect(reasons).toEqual(['client-gone'])
    expect(responder.stats()).toMatchObject({ connections: 0, inflight: 0 })
  })

  it('in mid-PARAMS, within a header, or at once, is let go', async () => {
    const { app, requests } = keptRequests()
    const { connect } = await serving(app)
    for (const bytes of [Buffer.alloc(0), begin(1), begin(1).subarray(0, 3), params(1).subarray(0, 20)]) {
      const client = await connect()
      client.send(bytes)
      client.socket.end()
      expect(await client.closed()).toBe('end')
      expect(client.received).toBe(0)
    }
    expect(requests).toHaveLength(0)
  })
})

describe('13: the end of STDERR', () => {
  it('is sent only if STDERR was used, and every STDERR record is padded', async () => {
    const app = rawApplication(one => {
      for (let length = 1; length <= 16; length++) one.exchange.stderr('e'.repeat(length))
      one.exchange.stderr(Buffer.alloc(200_000, 'x'))
      one.reply('x')
    })
    const { connect } = await serving(app)
    const { records, stderr } = await (await connect()).ask()
    const lengths = records.filter(record => record.type === STDERR).map(record => record.content.length)
    expect(lengths.filter(length => length === 0)).toHaveLength(1)
    expect(stderr.length).toBe(136 + 200_000)
    const quiet = await (await (await serving(hello)).connect()).ask()
    expect(quiet.records.map(record => record.type)).toEqual([STDOUT, STDOUT, END])
  })
})

describe('14: an error of the application', () => {
  it('before the head is a plain 500 without details, with the stack on STDERR and in the log', async () => {
    const { connect, log } = await serving(rawApplication(one => one.exchange.fail(new Error('secret detail'))))
    const client = await connect()
    const reply = await client.ask()
    expect([reply.status, reply.appStatus, reply.protocolStatus]).toEqual([500, 0, 0])
    expect(reply.text).not.toContain('secret')
    expect(reply.stderr).toMatch(/Error: secret detail\n\s+at /)
    expect(log).toMatchObject([{ level: 'error', details: { method: 'GET', uri: '/' } }])
    expect((await client.ask()).status).toBe(500)
  })

  it('before the head shows its stack to the client with debug', async () => {
    const { connect } = await serving(
      rawApplication(one => one.exchange.fail(new Error('detail ä'))),
      { debug: true },
    )
    expect((await (await connect()).ask()).text).toMatch(/Error: detail ä\n\s+at /)
  })

  it('that is thrown while the request starts is the same', async () => {
    const app = rawApplication(() => {
      throw new Error('at once')
    })
    const { connect } = await serving(app)
    const client = await connect()
    expect((await client.ask()).status).toBe(500)
    expect((await client.ask({ body: 'x' })).status).toBe(500)
  })

  it('that is no Error is reported all the same', async () => {
    for (const thrown of [undefined, null, 'text', 42, { an: 'object' }, Object.create(null)]) {
      const { connect } = await serving(rawApplication(one => one.exchange.fail(thrown)))
      expect((await (await connect()).ask()).status).toBe(500)
    }
  })

  it('after the head cuts the reply off with appStatus 1', async () => {
    const { app, nth } = keptRequests()
    const { connect } = await serving(app)
    const client = await connect()
    client.send(request())
    const one = await nth(0)
    one.head()
    one.exchange.write('some')
    one.exchange.fail(new Error('later'))
    const reply = await client.reply()
    expect([reply.status, reply.text, reply.appStatus]).toEqual([200, 'some', 1])
    client.send(request())
    ;(await nth(1)).reply('next')
    expect((await client.reply()).text).toBe('next')
  })

  it.each([false, true])(
    'that leaves Content-Length bytes missing closes the connection, others first: %s',
    async others => {
      const { app, nth } = keptRequests()
      const { connect } = await serving(app)
      const client = await connect()
      client.send(request({ id: 1 }))
      if (others) client.send(request({ id: 2 }))
      const one = await nth(0)
      one.head('200 OK', { 'Content-Length': '100' })
      one.exchange.write('fewer than 100')
      one.exchange.fail(new Error('later'))
      expect((await client.reply(1)).appStatus).toBe(1)
      if (others) {
        await settled(client)
        ;(await nth(1)).reply('the other')
        expect((await client.reply(2)).text).toBe('the other')
      }
      expect(await client.closed()).toBe('end')
    },
  )

  it('also when the application ends it as if all were well', async () => {
    const { app, nth } = keptRequests()
    const { connect } = await serving(app)
    const client = await connect()
    client.send(request())
    const one = await nth(0)
    one.head('200 OK', { 'Content-Length': '100' })
    one.exchange.end('fewer')
    expect((await client.reply()).text).toBe('fewer')
    expect(await client.closed()).toBe('end')
  })

  it.each(['at once', 'bit by bit'])('a body that is longer than its Content-Length is cut there: %s', async how => {
    const { app, nth } = keptRequests()
    const { connect } = await serving(app)
    const client = await connect()
    client.send(request())
    const one = await nth(0)
    one.head('200 OK', { 'Content-Length': '4' })
    if (how === 'at once') one.exchange.end('something')
    else {
      for (const chunk of ['so', Buffer.from('met'), 'hi']) one.exchange.write(chunk)
      one.exchange.end(Buffer.from('ng'))
    }
    const reply = await client.reply()
    expect([reply.text, reply.appStatus]).toEqual(['some', 0])
    expect(reply.stderr).toBe('runfcgi: the body is longer than its Content-Length of 4 and was cut there\n')
    client.send(request())
    ;(await nth(1)).reply('next')
    expect((await client.reply()).text).toBe('next')
  })
})
