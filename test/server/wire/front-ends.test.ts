/**
 * Web servers imitated: each sends its requests in the pieces and with the flags that its source code does, and insists
 * on what it insists on. The servers themselves are run in test/e2e.
 */

import { createHash, randomBytes } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import fastcgiStream from 'fastcgi-stream'
import { describe, expect, it } from 'vitest'
import { random } from '../../fcgi/feed.ts'
import { type RawRequest, rawApplication, type Serving, serving } from '../../support/responder.ts'
import { until } from '../../support/until.ts'
import {
  begin,
  type Client,
  END,
  GET_VALUES,
  GET_VALUES_RESULT,
  PARAMS,
  pair,
  pairs,
  params,
  type Reply,
  rec,
  STDIN,
  stdin,
  stdinEnd,
  stream,
} from '../../support/wire.ts'

const digest = (body: Buffer): string => createHash('sha256').update(body).digest('hex')

/** Tells what it was sent, and uses STDERR. */
async function answer(request: RawRequest): Promise<void> {
  const body = await request.body()
  request.exchange.stderr('seen\n')
  request.reply(JSON.stringify({ params: request.params, length: body.length, digest: digest(body) }))
}

const tellTale = rawApplication(request => void answer(request))

/** What nginx sends with a request of a browser, more or less. */
const ENTRIES: readonly (readonly [string, string])[] = Object.entries({
  QUERY_STRING: 'a=1&b=2',
  REQUEST_METHOD: 'POST',
  CONTENT_TYPE: '',
  CONTENT_LENGTH: '',
  SCRIPT_NAME: '/app',
  REQUEST_URI: '/app/page?a=1&b=2',
  DOCUMENT_URI: '/app/page',
  DOCUMENT_ROOT: '/srv/www',
  SERVER_PROTOCOL: 'HTTP/1.1',
  GATEWAY_INTERFACE: 'CGI/1.1',
  SERVER_SOFTWARE: 'imitation',
  REMOTE_ADDR: '192.0.2.7',
  REMOTE_PORT: '50123',
  SERVER_ADDR: '192.0.2.1',
  SERVER_PORT: '80',
  SERVER_NAME: 'example.org',
  REDIRECT_STATUS: '200',
  HTTP_HOST: 'example.org',
  HTTP_COOKIE: 'c'.repeat(3_000),
  HTTP_USER_AGENT: 'Mozilla/5.0 (X11; Linux x86_64)',
})

const BODIES = [Buffer.alloc(0), Buffer.from('short'), randomBytes(100_000), randomBytes(2_000_003)]

function expectAnswer(reply: Reply, body: Buffer, entries = ENTRIES): void {
  expect(reply).toMatchObject({ status: 200, appStatus: 0, protocolStatus: 0, stderr: 'seen\n' })
  const seen = JSON.parse(reply.text)
  expect(seen).toEqual({ params: Object.fromEntries(entries), length: body.length, digest: digest(body) })
}

/** Pairs in records of at most `size` bytes, none cut. */
function alignedParams(id: number, size: number): Buffer[] {
  const records: Buffer[] = []
  let content = Buffer.alloc(0)
  for (const [name, value] of ENTRIES) {
    const next = pair(name, value)
    if (content.length + next.length > size) {
      records.push(rec(PARAMS, id, content))
      content = Buffer.alloc(0)
    }
    content = Buffer.concat([content, next])
  }
  return [...records, rec(PARAMS, id, content), rec(PARAMS, id)]
}

const newConnectionEach = async (
  { connect }: Serving,
  send: (client: Client, body: Buffer) => unknown,
): Promise<void> => {
  for (const body of BODIES) {
    const client = await connect()
    await send(client, body)
    expectAnswer(await client.reply(), body)
    expect(await client.closed()).toBe('end')
  }
}

describe.each(['unix', 'tcp'] as const)('over %s', over => {
  const serve = () => serving(tellTale, { over })

  it('mod_fastcgi sends one PARAMS record per pair and never keeps the connection', async () => {
    await newConnectionEach(await serve(), (client, body) => {
      client.send(begin(1, { keep: false }))
      for (const [name, value] of ENTRIES) client.send(rec(PARAMS, 1, pair(name, value)))
      client.send(rec(PARAMS, 1), stream(STDIN, 1, body, 8_192), stdinEnd(1))
    })
  })

  it('mod_proxy_fcgi writes BEGIN, PARAMS and STDIN apart, and the end of STDIN last', async () => {
    await newConnectionEach(await serve(), async (client, body) => {
      const pieces = [begin(1, { keep: false }), ...alignedParams(1, 16_384)]
      for (let at = 0; at < body.length; at += 8_000) pieces.push(rec(STDIN, 1, body.subarray(at, at + 8_000)))
      for (const piece of [...pieces, stdinEnd(1)]) {
        client.send(piece)
        await turn()
      }
    })
  })

  it('mod_fcgid writes the whole body before it reads a byte', async () => {
    await newConnectionEach(await serve(), async (client, body) => {
      client.socket.pause()
      client.send(begin(1, { keep: false }), params(1, ENTRIES), stream(STDIN, 1, body, 8_000), stdinEnd(1))
      await until('all is sent', () => client.socket.writableLength === 0)
      client.socket.resume()
    })
  })

  it('lighttpd sends STDIN in records of 64 KiB less one', async () => {
    await newConnectionEach(await serve(), (client, body) => {
      client.send(Buffer.concat([begin(1, { keep: false }), params(1, ENTRIES)]), stream(STDIN, 1, body), stdinEnd(1))
    })
  })

  it('Caddy writes everything before it reads, PARAMS in random order', async () => {
    const next = random(7)
    const shuffled = () => [...ENTRIES].sort(() => next() - 0.5)
    const server = await serve()
    for (let round = 0; round < 5; round++)
      await newConnectionEach(server, async (client, body) => {
        client.socket.pause()
        const request = [begin(1, { keep: false }), params(1, shuffled()), stream(STDIN, 1, body, 65_500), stdinEnd(1)]
        client.send(Buffer.concat(request))
        await until('all is sent', () => client.socket.writableLength === 0)
        client.socket.resume()
      })
  })

  it('h2o cuts a pair in two, and keeps the connection', async () => {
    const entries = [...ENTRIES, ['HTTP_X_LONG', 'x'.repeat(65_500)], ['HTTP_X_LONGER', 'y'.repeat(70_000)]] as const
    const { connect } = await serve()
    const client = await connect()
    for (const body of BODIES) {
      const head = stream(PARAMS, 1, pairs(entries), 65_535)
      client.send(begin(1), head, rec(PARAMS, 1), stream(STDIN, 1, body, 65_535), stdinEnd(1))
      expectAnswer(await client.reply(), body, entries)
    }
    expect(client.ending).toBeUndefined()
  })

  it('nginx sends a request in one buffer, padded, and keeps the connection only if nothing follows END_REQUEST', async () => {
    const { connect } = await serve()
    const client = await connect()
    for (const body of BODIES) {
      const content = pairs(ENTRIES)
      const pieces = [begin(1), rec(PARAMS, 1, content, { padding: -content.length & 7 }), rec(PARAMS, 1)]
      for (let at = 0; at < body.length; at += 32_768) {
        const part = body.subarray(at, at + 32_768)
        pieces.push(rec(STDIN, 1, part, { padding: -part.length & 7 }))
      }
      client.send(Buffer.concat([...pieces, stdinEnd(1)]))
      const reply = await client.reply()
      expectAnswer(reply, body)
      expect(reply.records.at(-1)).toMatchObject({ type: END, padding: 0 })
    }
    const sizes = client.chunks.reduce((sum, size) => sum + size, 0)
    expect(sizes).toBe(client.received)
    expect(client.ending).toBeUndefined()
  })

  it('HAProxy asks for the limits first, then multiplexes on the ids 1, 3, 5 … of one connection', async () => {
    const { connect } = await serve()
    const client = await connect()
    const names = ['FCGI_MAX_REQS', 'FCGI_MPXS_CONNS']
    client.send(rec(GET_VALUES, 0, pairs(names.map(name => [name, ''] as const)), { padding: 4 }))
    await client.until('the limits', () => client.management.length === 1)
    const result = pairs([
      ['FCGI_MAX_REQS', '128'],
      ['FCGI_MPXS_CONNS', '1'],
    ])
    expect(client.management[0]).toMatchObject({ type: GET_VALUES_RESULT, content: result })

    const bodies = Array.from({ length: 40 }, (_, n) => (BODIES[n % 3] as Buffer).subarray(0, 30_000))
    const next = random(11)
    const queues = bodies.map((body, n) => {
      const id = 2 * n + 1
      const pieces = [begin(id), params(id, ENTRIES)]
      for (let at = 0; at < body.length; at += 5_000) pieces.push(stdin(id, body.subarray(at, at + 5_000)))
      return [...pieces, stdinEnd(id)]
    })
    while (queues.some(queue => queue.length > 0)) {
      const piece = queues[Math.floor(next() * queues.length)]?.shift()
      if (piece !== undefined) client.send(piece)
      if (next() < 0.05) await turn()
    }
    for (const [n, body] of bodies.entries()) expectAnswer(await client.reply(2 * n + 1), body)
    client.send(begin(1), params(1, ENTRIES), stdinEnd(1))
    expectAnswer(await client.reply(1), Buffer.alloc(0))
  })

  it('fastcgi-stream, a codec that nobody of us wrote, sends a request', async () => {
    const { connect } = await serve()
    const client = await connect()
    const { FastCGIStream, records } = fastcgiStream
    const codec = new FastCGIStream(client.socket)
    for (const body of BODIES.slice(0, 3)) {
      client.expect(1)
      codec.writeRecord(1, new records.BeginRequest(1, 1))
      // Pairs without a value are bare names to this codec.
      codec.writeRecord(1, new records.Params(ENTRIES))
      codec.writeRecord(1, new records.Params())
      for (let at = 0; at < body.length; at += 60_000)
        codec.writeRecord(1, new records.StdIn(Buffer.from(body.subarray(at, at + 60_000))))
      codec.writeRecord(1, new records.StdIn())
      expectAnswer(await client.reply(), body)
    }
    codec.writeRecord(0, new records.GetValues(['FCGI_MPXS_CONNS']))
    await client.until('the answer', () => client.management.length === 1)
    client.expect(1)
    codec.writeRecord(1, new records.BeginRequest(1, 0))
    codec.writeRecord(1, new records.Params(ENTRIES))
    codec.writeRecord(1, new records.AbortRequest())
    expect((await client.reply()).appStatus).toBe(1)
    expect(await client.closed()).toBe('end')
  })
})
