/**
 * The twenty rules that follow from how web servers really speak FastCGI, each held against the whole responder over a
 * real socket. The client (test/support/wire.ts) refuses by itself what rules 3, 4, 5, 6 and 13 forbid.
 */

import { randomBytes } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { planFor } from '../../../src/cgi/plan.ts'
import { headerBlock } from '../../../src/cgi/reply.ts'
import { byteByByte, SPLITS } from '../../fcgi/feed.ts'
import {
  echo,
  hello,
  keptRequests,
  type RawRequest,
  rawApplication,
  serving,
  variables,
} from '../../support/responder.ts'
import { until } from '../../support/until.ts'
import {
  abort,
  begin,
  DATA,
  END,
  GET_VALUES,
  GET_VALUES_RESULT,
  PARAMS,
  PLAIN,
  pair,
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
  UNKNOWN_TYPE,
} from '../../support/wire.ts'

describe('rule 1: bytes are parsed as they come, wherever they are cut', () => {
  it.each(SPLITS)('a POST arrives %s', async (_, split) => {
    const { connect } = await serving(echo)
    const client = await connect()
    await client.sendPieces(request({ body: 'a body\n'.repeat(20) }), split)
    expect((await client.reply()).text).toBe('a body\n'.repeat(20))
  })

  it('a request is cut in two at each byte', async () => {
    const { connect } = await serving(echo)
    const client = await connect()
    const bytes = request({ body: 'body' })
    for (let at = 1; at < bytes.length; at++) {
      await client.sendPieces(bytes, whole => [whole.subarray(0, at), whole.subarray(at)])
      expect((await client.reply()).text).toBe('body')
    }
  })

  it('a request comes with all the padding there can be, and what the padding holds does not matter', async () => {
    const { connect } = await serving(variables)
    const client = await connect()
    const padded = (type: number, content: Buffer | string): Buffer => rec(type, 1, content, { padding: 255 })
    const bytes = Buffer.concat([
      rec(1, 1, Buffer.from([0, 1, 1, 0, 0, 0, 0, 0]), { padding: 255 }),
      padded(PARAMS, pairs(PLAIN)),
      padded(PARAMS, ''),
      padded(STDIN, 'x'),
      padded(STDIN, ''),
    ])
    for (const [, split] of SPLITS) {
      await client.sendPieces(bytes, split)
      expect(JSON.parse((await client.reply()).text)).toEqual(PLAIN)
    }
  })

  it('several requests share one buffer', async () => {
    const { connect } = await serving(echo)
    const client = await connect()
    client.send(Buffer.concat([1, 2, 3].map(id => request({ id, body: `for ${id}` }))))
    for (const id of [1, 2, 3]) expect((await client.reply(id)).text).toBe(`for ${id}`)
  })
})

describe('rule 2: PARAMS are joined before pairs are decoded', () => {
  const entries = { ...PLAIN, EMPTY: '', LONG: 'v'.repeat(5_000), [`HTTP_${'N'.repeat(200)}`]: 'long name' }
  it.each([1, 2, 3, 7, 100, 4_096])('a record holds %i bytes', async size => {
    const { connect } = await serving(variables)
    const client = await connect()
    const bytes = [begin(1), stream(PARAMS, 1, pairs(entries), size), rec(PARAMS, 1), stdinEnd(1)]
    client.send(Buffer.concat(bytes))
    expect(JSON.parse((await client.reply()).text)).toEqual(entries)
  })

  it('a record holds one pair', async () => {
    const { connect } = await serving(variables)
    const client = await connect()
    const records = Object.entries(entries).map(([name, value]) => rec(PARAMS, 1, pair(name, value)))
    client.send(begin(1), ...records, rec(PARAMS, 1), stdinEnd(1))
    expect(JSON.parse((await client.reply()).text)).toEqual(entries)
  })
})

describe('rule 3: a reply carries the id of its request', () => {
  it.each([1, 2, 255, 256, 32_768, 65_535])('id %i', async id => {
    const { connect } = await serving(echo)
    const client = await connect()
    const reply = await client.ask({ id, body: 'x' })
    expect(new Set(reply.records.map(record => record.id))).toEqual(new Set([id]))
  })

  it('on one connection replies come in whatever order the application gives them', async () => {
    const { app, nth } = keptRequests()
    const { connect } = await serving(app)
    const client = await connect()
    client.send(...[1, 3, 5].map(id => request({ id, params: { ...PLAIN, PATH_INFO: `/${id}` } })))
    for (const n of [1, 2, 0]) {
      const one = await nth(n)
      one.reply(one.params.PATH_INFO as string)
      const id = 2 * n + 1
      expect((await client.reply(id)).text).toBe(`/${id}`)
    }
  })
})

describe('rule 4: only STDOUT, STDERR and END_REQUEST come unasked', () => {
  it('whatever a request meets', async () => {
    const { app, nth } = keptRequests()
    const { connect } = await serving(app, { limits: { maxParamsSize: 1_000, maxInflight: 3 } })
    const client = await connect()
    client.send(request({ id: 1 }), request({ id: 2 }), request({ id: 3 }), request({ id: 4 }))
    client.send(request({ id: 5, params: { BIG: 'x'.repeat(2_000) } }))
    client.send(begin(6, { role: 2 }), begin(7, { role: 3 }))
    for (const id of [4, 5, 6, 7]) await client.reply(id)
    ;(await nth(0)).exchange.stderr('something for the log')
    ;(await nth(0)).reply('fine')
    ;(await nth(1)).exchange.fail(new Error('before the head'))
    ;(await nth(2)).head()
    ;(await nth(2)).exchange.write('some')
    ;(await nth(2)).exchange.fail(new Error('after the head'))
    const types = new Set<number>()
    for (const id of [1, 2, 3]) for (const record of (await client.reply(id)).records) types.add(record.type)
    expect(types).toEqual(new Set([STDOUT, STDERR, END]))
    expect(client.management).toEqual([])
  })
})

describe('rule 5: there is exactly one END_REQUEST', () => {
  /** Another request on the same connection gets its reply: what came before it would have been a fault by now. */
  const reply = (one: RawRequest): void => one.reply('x')
  const fail = (one: RawRequest): void => one.exchange.fail(new Error('no'))
  const end = (one: RawRequest): void => one.exchange.end('x')
  const LATE: [name: string, first: (one: RawRequest) => unknown, then: (one: RawRequest) => unknown][] = [
    ['end() twice', reply, end],
    ['an error after end()', reply, fail],
    ['a write after end()', reply, one => one.exchange.write('more')],
    ['STDERR after end()', reply, one => one.exchange.stderr('more')],
    ['another head after end()', reply, one => one.head('500 Again')],
    ['two errors', fail, fail],
    ['end() after an error', fail, end],
    ['end() without a head', end, end],
  ]
  it.each(LATE)('after %s', async (_, first, then) => {
    const { app, nth } = keptRequests()
    const { connect, responder } = await serving(app)
    const client = await connect()
    client.send(request())
    const one = await nth(0)
    first(one)
    then(one)
    await client.reply(1)
    client.send(request({ id: 2 }))
    ;(await nth(1)).reply('second')
    expect((await client.reply(2)).text).toBe('second')
    expect(responder.stats().inflight).toBe(0)
  })

  it.each(SPLITS)('after ABORT_REQUEST, a second one, and one after the end, %s', async (_, split) => {
    const { app, nth, requests } = keptRequests()
    const { connect, responder } = await serving(app)
    const client = await connect()
    await client.sendPieces(
      Buffer.concat([begin(1), params(1), abort(1), abort(1), stdin(1, 'late'), stdinEnd(1)]),
      split,
    )
    expect((await client.reply(1)).protocolStatus).toBe(0)
    requests[0]?.reply('too late')
    await client.sendPieces(Buffer.concat([request({ id: 2 }), abort(9)]), split)
    ;(await nth(1)).reply('second')
    await client.reply(2)
    await client.sendPieces(Buffer.concat([abort(2), request({ id: 2 })]), split)
    ;(await nth(2)).reply('third')
    expect((await client.reply(2)).text).toBe('third')
    expect(responder.stats()).toMatchObject({ inflight: 0, requests: 3 })
  })
})

describe('rule 6: STDOUT is never empty before its end', () => {
  it('whatever empty pieces the application writes', async () => {
    const app = rawApplication(one => {
      one.exchange.flush()
      one.head()
      one.exchange.write('')
      one.exchange.write(Buffer.alloc(0))
      one.exchange.flush()
      one.exchange.write('a')
      one.exchange.write('', true)
      one.exchange.write(new Uint8Array(0))
      one.exchange.stderr('')
      one.exchange.write('b')
      one.exchange.end('')
    })
    const { connect } = await serving(app)
    const reply = await (await connect()).ask()
    expect(reply.text).toBe('ab')
    const stdout = reply.records.filter(record => record.type === STDOUT).map(record => record.content.length)
    expect(stdout.indexOf(0)).toBe(stdout.length - 1)
    expect(reply.records.some(record => record.type === STDERR)).toBe(false)
  })

  it('nor is there one in a reply that has none', async () => {
    const { connect } = await serving(hello)
    const client = await connect()
    client.send(begin(1, { role: 3 }), stdinEnd(1))
    expect((await client.reply()).records.map(record => record.type)).toEqual([END])
  })
})

describe('rule 7: STDIN is read to its end before the connection is closed', () => {
  it.each(['unix', 'tcp'] as const)('by an application that answers without reading (%s)', async over => {
    const { connect } = await serving(hello, { over })
    for (let round = 0; round < 20; round++) {
      const client = await connect()
      // All of it is written before a byte is read, as Caddy and mod_fcgid do.
      client.socket.pause()
      client.send(begin(1, { keep: false }), params(1), stdin(1, Buffer.alloc(3_000_000)), stdinEnd(1))
      await until('all is sent', () => client.socket.writableLength === 0)
      client.socket.resume()
      expect((await client.reply()).text).toBe('hello')
      expect(await client.closed()).toBe('end')
    }
  })

  it('and all of a long reply has been taken', async () => {
    const body = randomBytes(5_000_000)
    const { connect, ended } = await serving(rawApplication(one => one.reply(body)))
    const client = await connect()
    client.socket.pause()
    client.send(request({ keep: false }))
    await until('the application is done', () => ended.length === 1)
    client.socket.resume()
    expect((await client.reply()).body.equals(body)).toBe(true)
    expect(await client.closed()).toBe('end')
  })

  it('by one that writes while it is sent more', async () => {
    const { app, nth } = keptRequests()
    const { connect } = await serving(app)
    const client = await connect()
    client.send(begin(1, { keep: false }), params(1))
    const one = await nth(0)
    one.head()
    const seen: string[] = []
    one.onStdin = chunk => {
      seen.push(String(chunk))
      return one.exchange.write(`got ${chunk}\n`)
    }
    one.onStdinEnd = () => one.exchange.end('bye')
    one.exchange.resumeStdin()
    for (const piece of ['1', '2', '3']) {
      client.send(stdin(1, piece))
      await client.until(`answer to ${piece}`, () => client.stdout().includes(`got ${piece}\n`))
    }
    client.send(stdinEnd(1))
    expect((await client.reply()).text).toBe('got 1\ngot 2\ngot 3\nbye')
    expect(await client.closed()).toBe('end')
  })
})

describe('rule 8: the whole header block is in the first STDOUT record, a small reply is one write', () => {
  it.each(SPLITS)('a request that came %s is answered in one piece', async (_, split) => {
    const { connect } = await serving(hello)
    const client = await connect()
    for (let round = 0; round < 5; round++) {
      const before = client.chunks.length
      await client.sendPieces(request(), split)
      const { records } = await client.reply()
      expect(client.chunks.length - before).toBe(1)
      expect(records.map(record => record.type)).toEqual([STDOUT, STDOUT, END])
      expect(records[0]?.content.toString('latin1')).toMatch(/^Status: 200 OK\r\n.*\r\n\r\nhello$/s)
    }
  })

  it('a head that is flushed before the body is one record', async () => {
    const app = rawApplication(one => {
      one.head('200 OK', Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`X-Header-${n}`, 'v'.repeat(100)])))
      one.exchange.flush()
      setImmediate(() => one.exchange.end(Buffer.alloc(100_000, 'x')))
    })
    const { connect } = await serving(app)
    const { records, body } = await (await connect()).ask()
    expect(records[0]?.content.toString('latin1')).toMatch(/^Status: 200 OK\r\n.*\r\n\r\n$/s)
    expect(body.length).toBe(100_000)
  })
})

describe('rule 9: replies without a body have none, and no hop-by-hop header', () => {
  it('an error page of our own for HEAD is a head only', async () => {
    const { connect } = await serving(rawApplication(one => one.exchange.fail(new Error('no'))))
    const reply = await (await connect()).ask({ params: { ...PLAIN, REQUEST_METHOD: 'HEAD' } })
    expect(reply.status).toBe(500)
    expect(reply.body.length).toBe(0)
  })

  it('an error page of our own has its exact length', async () => {
    const { connect } = await serving(rawApplication(one => one.exchange.fail(new Error('no'))))
    const reply = await (await connect()).ask()
    expect(reply.body.length).toBeGreaterThan(0)
    expect(reply.headers.get('Content-Length')).toBe(String(reply.body.length))
  })

  it('a header block has no hop-by-hop header', () => {
    const names = ['Connection', 'Keep-Alive', 'Transfer-Encoding', 'Upgrade', 'Proxy-Connection', 'TE', 'Trailer']
    const block = headerBlock('200 OK', [...names.map(name => [name, 'x'] as const), ['X-Kept', 'y']])
    expect(block).toBe('Status: 200 OK\r\nX-Kept: y\r\n\r\n')
  })
})

describe('rule 10: overload is a real 503 and REQUEST_COMPLETE', () => {
  it('for the request above the limit only', async () => {
    const { app, nth, requests } = keptRequests()
    const { connect } = await serving(app, { limits: { maxInflight: 2 } })
    const client = await connect()
    client.send(request({ id: 1 }), request({ id: 2 }), request({ id: 3 }))
    const refused = await client.reply(3)
    expect([refused.status, refused.protocolStatus, refused.appStatus]).toEqual([503, 0, 0])
    expect(refused.headers.get('Retry-After')).toBe('1')
    expect(refused.body.length).toBeGreaterThan(0)
    ;(await nth(0)).reply('first')
    await client.reply(1)
    client.send(request({ id: 3 }))
    ;(await nth(2)).reply('third')
    expect((await client.reply(3)).text).toBe('third')
    expect(requests).toHaveLength(3)
    requests[1]?.reply('second')
    expect((await client.reply(2)).text).toBe('second')
  })
})

describe('rule 11: the end of STDIN decides how long the body is', () => {
  it.each([undefined, '', '-1', '0', '3', '999999', 'junk'])('CONTENT_LENGTH %j', async length => {
    const { connect } = await serving(echo)
    const entries = { ...PLAIN, REQUEST_METHOD: 'POST', ...(length === undefined ? {} : { CONTENT_LENGTH: length }) }
    const reply = await (await connect()).ask({ params: entries, body: 'seven b' })
    expect(reply.text).toBe('seven b')
  })
})

describe('rule 12: a client that goes away is a closed socket or FCGI_ABORT_REQUEST', () => {
  it.each(['unix', 'tcp'] as const)('a socket that is closed in mid-reply ends the request (%s)', async over => {
    const { app, nth } = keptRequests()
    const { connect, ended } = await serving(app, { over })
    const client = await connect()
    client.send(request())
    const one = await nth(0)
    let reason: string | undefined
    one.onAbort = why => {
      reason = why
    }
    one.head()
    one.exchange.write('some')
    await client.until('the start of the reply', () => client.stdout().includes('some'))
    client.socket.destroy()
    await until('abort', () => reason !== undefined)
    expect(reason).toBe('client-gone')
    expect(one.exchange.aborted).toBe(true)
    expect(one.exchange.write('more')).toBe(false)
    expect(ended).toMatchObject([{ aborted: true, status: 200 }])
  })

  it.each(['unix', 'tcp'] as const)('a socket that is closed in mid-upload ends the request (%s)', async over => {
    const { app, nth } = keptRequests()
    const { connect } = await serving(app, { over })
    const client = await connect()
    client.send(begin(1), params(1), stdin(1, 'some'))
    const one = await nth(0)
    const events: string[] = []
    one.onStdin = chunk => events.push(String(chunk)) > 0
    one.onStdinEnd = () => events.push('end')
    one.onAbort = why => events.push(why)
    one.exchange.resumeStdin()
    await until('body', () => events.length > 0)
    client.socket.destroy()
    await until('abort', () => events.length > 1)
    expect(events).toEqual(['some', 'client-gone'])
  })

  it('ABORT_REQUEST ends its own request only, and the connection lives on', async () => {
    const { app, nth } = keptRequests()
    const { connect } = await serving(app)
    const client = await connect()
    client.send(begin(1), params(1), begin(3), params(3), stdin(1, 'unfinished'))
    const [first, second] = [await nth(0), await nth(1)]
    const reasons: string[] = []
    first.onAbort = why => reasons.push(`first ${why}`)
    second.onAbort = why => reasons.push(`second ${why}`)
    client.send(abort(1))
    expect((await client.reply(1)).protocolStatus).toBe(0)
    await until('abort', () => reasons.length > 0)
    client.send(stdinEnd(3))
    second.reply('not mine')
    expect((await client.reply(3)).text).toBe('not mine')
    expect(reasons).toEqual(['first client-gone'])
  })
})

describe('rule 13: a long reply is cut into records of 65,528 bytes', () => {
  it.each([65_527, 65_528, 65_529, 131_056, 1_000_000])('%i bytes', async size => {
    const body = randomBytes(size)
    const app = rawApplication(one => {
      one.head()
      one.exchange.flush()
      one.exchange.end(body)
    })
    const { connect } = await serving(app)
    const reply = await (await connect()).ask()
    expect(reply.body.equals(body)).toBe(true)
    const stdout = reply.records.filter(record => record.type === STDOUT).slice(1, -1)
    expect(stdout.slice(0, -1).every(record => record.content.length === 65_528 && record.padding === 0)).toBe(true)
    expect(reply.records.every(record => (record.content.length + record.padding) % 8 === 0)).toBe(true)
  })

  it('text as well as bytes', async () => {
    const text = 'ä'.repeat(100_000)
    const { connect } = await serving(rawApplication(one => one.reply(text)))
    const reply = await (await connect()).ask()
    expect(reply.text).toBe(text)
  })
})

describe('rules 14 and 15: repeated parameters are joined, HTTP_PROXY is dropped', () => {
  it('in the environ that an application sees', async () => {
    const app = rawApplication(one => {
      const { names, values } = one.exchange.params
      one.reply(JSON.stringify(planFor(names).environ(values)))
    })
    const { connect } = await serving(app)
    const entries: [string, string][] = [
      ...Object.entries(PLAIN),
      ['HTTP_COOKIE', 'a=1'],
      ['HTTP_X', 'one'],
      ['HTTP_PROXY', 'http://evil.example'],
      ['HTTP_COOKIE', 'b=2'],
      ['HTTP_X', 'two'],
      ['REMOTE_USER', 'first'],
      ['REMOTE_USER', 'last'],
    ]
    const client = await connect()
    // More often than the layout of names is compiled after.
    for (let round = 0; round < 120; round++) {
      const environ = JSON.parse((await client.ask({ params: entries })).text)
      expect(environ).toMatchObject({ HTTP_COOKIE: 'a=1; b=2', HTTP_X: 'one, two', REMOTE_USER: 'last' })
      expect(environ).not.toHaveProperty('HTTP_PROXY')
    }
  })
})

describe('rule 16: the application starts at the end of PARAMS', () => {
  it('without waiting for STDIN', async () => {
    const { connect } = await serving(hello)
    const client = await connect()
    client.send(begin(1), params(1))
    expect((await client.reply()).text).toBe('hello')
  })

  it('and not before', async () => {
    const { app, requests } = keptRequests()
    const { connect } = await serving(app)
    const client = await connect()
    client.send(begin(1), stream(PARAMS, 1, pairs(PLAIN)))
    client.send(request({ id: 2 }))
    await until('the other request', () => requests.length === 1)
    expect(requests).toHaveLength(1)
    client.send(rec(PARAMS, 1), stdinEnd(1))
    await until('both', () => requests.length === 2)
    for (const one of requests) one.reply('')
    await client.reply(1)
  })
})

describe('rule 17: header names and values that break the block are refused, none is invented', () => {
  it.each([
    ['X-A', 'a\r\nSet-Cookie: evil=1'],
    ['X-A', 'a\nb'],
    ['X-A', 'a\0b'],
    ['X-A', 'a\rb'],
    ['X-A: b\r\nX-B', 'c'],
    ['X A', 'b'],
    ['', 'b'],
    ['X-A', 'snow \u2603'],
  ])('%j: %j', (name, value) => {
    expect(() => headerBlock('200 OK', [[name, value]])).toThrow()
  })

  it('a status that breaks the block is refused', () => {
    expect(() => headerBlock('200 OK\r\nX: y', [])).toThrow()
  })

  it('no Content-Type is invented', async () => {
    expect(headerBlock('200 OK', [])).toBe('Status: 200 OK\r\n\r\n')
    const { connect } = await serving(
      rawApplication(one => {
        one.head()
        one.exchange.end('x')
      }),
    )
    expect([...(await (await connect()).ask()).headers.keys()]).toEqual(['status'])
  })
})

describe('rule 18: what is unknown is answered or ignored, what is wrong closes the connection', () => {
  it.each([12, 13, 100, 255])('a management record of unknown type %i is answered', async type => {
    const { connect } = await serving(hello)
    for (const [, split] of SPLITS) {
      const client = await connect()
      await client.sendPieces(rec(type, 0, 'whatever', { padding: 3 }), split)
      await client.until('answer', () => client.management.length > 0)
      expect(client.management).toMatchObject([
        { type: UNKNOWN_TYPE, content: Buffer.from([type, 0, 0, 0, 0, 0, 0, 0]) },
      ])
      expect((await client.ask()).text).toBe('hello')
    }
  })

  it.each(SPLITS)(
    'records for ids that are not active, and unknown application types, are ignored %s',
    async (_, split) => {
      const { connect } = await serving(echo)
      const client = await connect()
      const junk = (id: number): Buffer =>
        Buffer.concat([
          stdin(id, 'x'),
          stdinEnd(id),
          rec(PARAMS, id, 'x'),
          rec(PARAMS, id),
          abort(id),
          rec(DATA, id, 'x'),
        ])
      const strange = [12, 77, 255].map(type => rec(type, 1, 'strange', { padding: 1 }))
      const answers = [rec(END, 2, Buffer.alloc(8)), rec(STDOUT, 2, 'x'), rec(STDERR, 2, 'x')]
      await client.sendPieces(
        Buffer.concat([
          junk(1),
          junk(9),
          ...strange,
          begin(1),
          ...strange,
          params(1),
          junk(2),
          stdin(1, 'body'),
          ...strange,
        ]),
        split,
      )
      await client.sendPieces(Buffer.concat([...answers, rec(DATA, 1, 'no filter'), stdinEnd(1)]), split)
      expect((await client.reply()).text).toBe('body')
    },
  )

  const WRONG: [name: string, bytes: Buffer][] = [
    ['version 0', rec(1, 1, Buffer.alloc(8), { version: 0 })],
    ['version 2', rec(1, 1, Buffer.alloc(8), { version: 2 })],
    ['a first byte that can be no version, and nothing after it', Buffer.from('G')],
    ['HTTP instead of FastCGI', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['a TLS hello', Buffer.from('16030100c8010000c4', 'hex')],
    ['GET_VALUES with an id', rec(GET_VALUES, 1)],
    ['GET_VALUES_RESULT with an id', rec(GET_VALUES_RESULT, 1)],
    ['UNKNOWN_TYPE with an id', rec(UNKNOWN_TYPE, 1, Buffer.alloc(8))],
    ['BEGIN_REQUEST without an id', rec(1, 0, Buffer.from([0, 1, 0, 0, 0, 0, 0, 0]))],
    ['ABORT_REQUEST without an id', rec(2, 0)],
    ['PARAMS without an id', rec(PARAMS, 0, 'x')],
    ['STDIN without an id', rec(STDIN, 0, 'x')],
    ['a pair that overruns its stream', Buffer.concat([begin(1), rec(PARAMS, 1, '\x05\x7fNAME'), rec(PARAMS, 1)])],
    [
      // CVE-2025-23016: the sum of both lengths overflowed.
      'lengths of 2^31 - 1',
      Buffer.concat([begin(1), rec(PARAMS, 1, '\xff\xff\xff\xff\xff\xff\xff\xffx'), rec(PARAMS, 1)]),
    ],
    ['a length that is cut', Buffer.concat([begin(1), rec(PARAMS, 1, '\x80\0'), rec(PARAMS, 1)])],
    ['a pair without a second length', Buffer.concat([begin(1), rec(PARAMS, 1, '\x03'), rec(PARAMS, 1)])],
    ['GET_VALUES that overruns', rec(GET_VALUES, 0, '\x7f\0')],
  ]
  describe.each(WRONG)('%s', (_, bytes) => {
    it.each(SPLITS)('closes this connection and no other, %s', async (__, split) => {
      const { connect, log } = await serving(hello)
      const [bad, good] = [await connect(), await connect()]
      await bad.sendPieces(bytes, split)
      expect(['end', 'ECONNRESET', 'EPIPE']).toContain(await bad.closed())
      expect(bad.received).toBe(0)
      expect(log.filter(entry => entry.level === 'warn')).toHaveLength(1)
      expect((await good.ask()).text).toBe('hello')
    })
  })

  it('a violation ends the other requests of its connection as if the client had gone', async () => {
    const { app, nth } = keptRequests()
    const { connect } = await serving(app)
    const client = await connect()
    client.send(begin(1), params(1))
    const one = await nth(0)
    const reasons: string[] = []
    one.onAbort = why => reasons.push(why)
    client.send(rec(GET_VALUES, 5))
    await client.closed()
    expect(reasons).toEqual(['client-gone'])
  })
})

describe('rule 19: roles and FCGI_GET_VALUES', () => {
  it.each([0, 2, 3, 4, 255, 256, 65_535])('role %i is refused with UNKNOWN_ROLE', async role => {
    const { connect } = await serving(hello)
    for (const [, split] of SPLITS) {
      const client = await connect()
      await client.sendPieces(Buffer.concat([begin(1, { role }), params(1), stdin(1, 'x'), stdinEnd(1)]), split)
      const reply = await client.reply()
      expect(reply.protocolStatus).toBe(3)
      // lighttpd takes an authorizer's reply without a status for a yes.
      expect(reply.status).toBe(role === 2 ? 501 : 0)
      expect((await client.ask({ id: 2 })).text).toBe('hello')
      expect((await client.ask({ id: 1 })).text).toBe('hello')
    }
  })

  it('a refused role without KEEP_CONN closes the connection after the END_REQUEST', async () => {
    const { connect } = await serving(hello)
    const client = await connect()
    client.send(begin(1, { keep: false, role: 3 }), params(1), stdinEnd(1))
    expect((await client.reply()).protocolStatus).toBe(3)
    expect(await client.closed()).toBe('end')
  })

  const ask = (...names: string[]): Buffer => rec(GET_VALUES, 0, pairs(names.map(name => [name, ''] as const)))
  const ALL: [string, string][] = [
    ['FCGI_MAX_CONNS', '77'],
    ['FCGI_MAX_REQS', '33'],
    ['FCGI_MPXS_CONNS', '1'],
  ]

  it.each(SPLITS)(
    'what is asked for and known is answered in one record, and the connection stays open, %s',
    async (_, split) => {
      const { connect } = await serving(hello, { limits: { maxConnections: 77, maxInflight: 33 } })
      const client = await connect()
      const questions: [Buffer, [string, string][]][] = [
        [ask('FCGI_MAX_CONNS', 'FCGI_MAX_REQS', 'FCGI_MPXS_CONNS'), ALL],
        [ask('FCGI_MPXS_CONNS'), ALL.slice(2)],
        [ask('NO_SUCH', 'FCGI_MAX_REQS', '', '__proto__', 'constructor'), [['FCGI_MAX_REQS', '33']]],
        [ask('FCGI_MAX_REQS', 'FCGI_MAX_REQS'), [['FCGI_MAX_REQS', '33']]],
        [ask('NO_SUCH'), []],
        [ask(), []],
      ]
      for (const [question, answer] of questions) {
        client.management.length = 0
        await client.sendPieces(question, split)
        await client.until('answer', () => client.management.length > 0)
        expect(client.management).toHaveLength(1)
        expect(client.management[0]).toMatchObject({ type: GET_VALUES_RESULT, content: pairs(answer) })
      }
      expect((await client.ask()).text).toBe('hello')
    },
  )

  it('in the middle of a request', async () => {
    const { connect } = await serving(echo)
    const client = await connect()
    client.send(begin(1), ask('FCGI_MPXS_CONNS'), params(1), ask('FCGI_MPXS_CONNS'), stdin(1, 'body'))
    await client.until('answers', () => client.management.length === 2)
    client.send(stdinEnd(1))
    expect((await client.reply()).text).toBe('body')
  })
})

describe('rule 20: bytes are latin1, and everything has a limit', () => {
  it('every byte from 0 to 255 passes in a value, and in a reply', async () => {
    const all = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).join('')
    const app = rawApplication(one => {
      one.head()
      one.exchange.end(one.params.ALL as string, true)
    })
    const { connect } = await serving(app)
    const reply = await (await connect()).ask({ params: { ...PLAIN, ALL: all } })
    expect(reply.body.toString('latin1')).toBe(all)
  })

  it('PARAMS: the limit is served, one byte more is a 431, and the connection lives on', async () => {
    const { connect } = await serving(hello, { limits: { maxParamsSize: 2_000 } })
    const client = await connect()
    const sized = (size: number) => ({ X: 'v'.repeat(size - 6) })
    expect(pairs(sized(2_000)).length).toBe(2_000)
    expect((await client.ask({ params: sized(2_000) })).status).toBe(200)
    expect((await client.ask({ params: sized(2_001) })).status).toBe(431)
    expect((await client.ask({ params: sized(60_000) })).status).toBe(431)
    await client.sendPieces(request({ params: sized(2_500) }), byteByByte)
    expect((await client.reply()).status).toBe(431)
    expect((await client.ask()).status).toBe(200)
  })

  it('ids whose PARAMS never end: the 65th closes the connection', async () => {
    const { app, requests } = keptRequests()
    const { connect } = await serving(app)
    const client = await connect()
    for (let id = 1; id <= 64; id++) client.send(begin(id))
    client.send(rec(GET_VALUES, 0))
    await client.until('answer', () => client.management.length === 1)
    client.send(begin(65))
    await client.closed()
    expect(requests).toHaveLength(0)
  })

  it('the age of a request whose PARAMS never end: 408', async () => {
    const { connect } = await serving(hello, { limits: { paramsTimeout: 1 } })
    const client = await connect()
    client.send(begin(1), stream(PARAMS, 1, pairs(PLAIN)))
    expect((await client.reply()).status).toBe(408)
    client.send(rec(PARAMS, 1), stdinEnd(1))
    expect((await client.ask({ id: 1 })).text).toBe('hello')
  })

  it('connections: one above the limit is closed at once', async () => {
    const { connect } = await serving(hello, { limits: { maxConnections: 2 } })
    const first = await connect()
    const second = await connect()
    await first.ask()
    await second.ask()
    const third = await connect()
    await third.closed()
    first.socket.destroy()
    await first.closed()
    await turn()
    await until('room', async () => {
      const next = await connect()
      next.send(request())
      return next.reply().then(
        () => true,
        () => false,
      )
    })
  })

  it('the body: above the limit is a 413', async () => {
    const { connect } = await serving(echo, { limits: { maxBodySize: 1_000 } })
    const client = await connect()
    expect((await client.ask({ body: 'x'.repeat(1_000) })).status).toBe(200)
    expect((await client.ask({ body: 'x'.repeat(1_001) })).status).toBe(413)
    expect((await client.ask({ body: 'x' })).status).toBe(200)
  })

  it('the time a request may take: 504 before the head', async () => {
    const reasons: string[] = []
    const app = rawApplication(one => {
      one.onAbort = why => reasons.push(why)
    })
    const { connect } = await serving(app, { limits: { requestTimeout: 1 } })
    expect((await (await connect()).ask()).status).toBe(504)
    expect(reasons).toEqual(['timeout'])
  })

  it('the time between two pieces of a body that is waited for: 408', async () => {
    const { connect } = await serving(echo, { limits: { stdinTimeout: 1 } })
    const client = await connect()
    client.send(begin(1), params(1), stdin(1, 'some'))
    expect((await client.reply()).status).toBe(408)
  })
})
