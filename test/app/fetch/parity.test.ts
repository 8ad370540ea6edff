/**
 * A fetch handler runs unchanged. So each one here runs twice, under @hono/node-server and over FastCGI with the gateway in
 * front, and what its client received and what it noted must be the same.
 */

import { once } from 'node:events'
import type { Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { createAdaptorServer } from '@hono/node-server'
import { Hono } from 'hono'
import { compress } from 'hono/compress'
import { setCookie } from 'hono/cookie'
import { etag } from 'hono/etag'
import { streamSSE } from 'hono/streaming'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FetchFunction, fetchApplication } from '../../../src/app/fetch/fetch.ts'
import { installLightGlobals } from '../../../src/app/fetch/light-globals.ts'
import { options } from '../../support/adapter-options.ts'
import { fetchWhole, open, type RequestOptions } from '../../support/http-client.ts'
import { applicationOverFastCgi } from '../../support/listeners.ts'
import { until } from '../../support/until.ts'

/** What the server in front adds; and the length, which this one knows where the other sends chunks. */
const NOT_COMPARED = ['date', 'connection', 'keep-alive', 'transfer-encoding', 'server', 'content-length']

interface Serving {
  readonly port: number
  close(): Promise<void>
}

async function overHttp(fetch: FetchFunction): Promise<Serving> {
  const server = createAdaptorServer({ fetch: fetch as never, overrideGlobalObjects: false }) as Server
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
  return { port: (server.address() as AddressInfo).port, close }
}

const overFastCgi = (fetch: FetchFunction): Promise<Serving> => applicationOverFastCgi(fetchApplication(fetch, options))

let restore = (): void => undefined
beforeAll(() => {
  restore = installLightGlobals()
})
afterAll(() => restore())

type Note = (what: unknown) => void
type Client = (port: number, notes: readonly unknown[]) => Promise<unknown>

/** One request; the whole reply. */
const send =
  (path: string, request: RequestOptions = {}): Client =>
  async port => {
    const { status, headers, body } = await fetchWhole(port, path, request)
    for (const name of NOT_COMPARED) delete headers[name]
    return { status, headers, body: body.length < 2_000 ? body.toString('latin1') : body.length }
  }

const post = (path: string, type: string, ...pieces: (string | Buffer)[]): Client =>
  send(path, {
    method: 'POST',
    headers: { 'Content-Type': type },
    body: pieces.map(piece => Buffer.from(piece as string)),
  })

function same(title: string, makeFetch: (note: Note) => FetchFunction, client: Client, last?: string): void {
  test(title, async () => {
    const outcomes: unknown[] = []
    for (const serve of [overHttp, overFastCgi]) {
      const notes: unknown[] = []
      const site = await serve(makeFetch(what => notes.push(what)))
      try {
        const received = await client(site.port, notes)
        if (last !== undefined) await until(`the note ${last}`, () => notes.includes(last))
        outcomes.push({ received, notes })
      } finally {
        await site.close()
      }
    }
    expect(outcomes[1]).toEqual(outcomes[0])
  })
}

const MIB = 1024 * 1024
const pieces = (count: number): Buffer[] => Array.from({ length: count }, (_, i) => Buffer.alloc(MIB / 16, i))

/** Where the standard says no type, @hono/node-server makes one up. */
const BINARY = { headers: { 'Content-Type': 'application/octet-stream' } }

describe('a bare handler', () => {
  const always = (make: () => Response | Promise<Response>) => () => make

  same(
    'text',
    always(() => new Response('hello ž')),
    send('/'),
  )
  same(
    'nothing',
    always(() => new Response(null, { status: 204 })),
    send('/'),
  )
  same(
    'a status and its text',
    always(() => new Response('x', { status: 418 })),
    send('/'),
  )
  same(
    'not modified',
    always(() => new Response(null, { status: 304, headers: { ETag: '"a"' } })),
    send('/'),
  )
  same(
    'JSON',
    always(() => Response.json({ a: [1, 'ž'] })),
    send('/'),
  )
  same(
    'a redirect',
    always(() => Response.redirect('http://example.com/x', 307)),
    send('/'),
  )
  same(
    'HEAD',
    always(() => new Response('body', { headers: { 'X-A': 'b' } })),
    send('/', { method: 'HEAD' }),
  )
  same(
    'three cookies',
    always(() => {
      const headers = new Headers({ 'X-A': 'b' })
      for (const name of ['a', 'b', 'c']) headers.append('Set-Cookie', `${name}=1`)
      return new Response('x', { headers })
    }),
    send('/'),
  )
  same(
    'the method, the url and the headers of the request',
    () => request => Response.json([request.method, new URL(request.url).pathname, new URL(request.url).search]),
    send('/a%20b/%C3%BC/c%2Fd?x=%C3%BC&y', { method: 'PUT' }),
  )
  same(
    'repeated request headers',
    () => request => Response.json(['x-a', 'cookie', 'user-agent', 'x-none'].map(name => request.headers.get(name))),
    send('/', { headers: { 'X-A': ['1', '2'], Cookie: ['a=1', 'b=2'], 'User-Agent': 'test' } }),
  )
  same(
    'an upload that goes back as it comes',
    () => request => new Response(request.body as never, BINARY),
    send('/', { method: 'POST', body: pieces(128) }),
  )
  same(
    'an upload read whole',
    () => async request => new Response(String((await request.arrayBuffer()).byteLength)),
    send('/', { method: 'POST', body: pieces(128), headers: { 'Content-Length': 8 * MIB } }),
  )
  same(
    'an upload that nobody reads',
    () => () => new Response('not read'),
    send('/', { method: 'POST', body: pieces(4), headers: { 'Content-Length': MIB / 4 } }),
  )
  same(
    'a download of 8 MiB in pieces',
    () => () => {
      const all = pieces(128)
      const pull = (controller: ReadableStreamDefaultController) => {
        const piece = all.shift()
        if (piece === undefined) controller.close()
        else controller.enqueue(piece)
      }
      return new Response(new ReadableStream({ pull }), BINARY)
    },
    send('/'),
  )
  same(
    '8 MiB of text',
    always(() => new Response('ž'.repeat(4 * MIB))),
    send('/'),
  )
  same(
    '8 MiB of bytes',
    always(() => new Response(new Uint8Array(8 * MIB), BINARY)),
    send('/'),
  )
  same(
    'a client that goes away',
    note => request => {
      request.signal.addEventListener('abort', () => note('aborted'))
      const pull = async (controller: ReadableStreamDefaultController) => {
        await new Promise(resolve => setTimeout(resolve, 1))
        controller.enqueue(Buffer.from('tick'))
      }
      return new Response(new ReadableStream({ pull, cancel: () => note('cancelled') }))
    },
    async port => {
      const response = await open(port, '/')
      await once(response, 'data')
      response.destroy()
      return 'left'
    },
    'cancelled',
  )
  same(
    'a client that goes away in the middle of its body',
    note => async request => {
      note('started')
      await request.text().catch(() => note('body cut off'))
      return new Response('nobody reads this')
    },
    async (port, notes) => {
      const socket = connect(port, '127.0.0.1')
      socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf')
      await until('the handler', () => notes.includes('started'))
      socket.destroy()
      return 'left'
    },
    'body cut off',
  )
})

describe('a Hono application', () => {
  const make = (): FetchFunction => {
    const app = new Hono()
    app.use('/tagged/*', etag())
    app.use('/zipped', compress())
    app.get('/', c => c.text('Hello'))
    app.get('/tagged/page', c => c.html('<p>tagged</p>'))
    app.get('/zipped', c => c.text('long '.repeat(1_000)))
    app.get('/cookies', c => {
      for (const name of ['a', 'b', 'c']) setCookie(c, name, '1', { path: '/', secure: true })
      c.header('X-Late', 'yes')
      return c.json({ cookies: 3 })
    })
    app.post('/form', async c => {
      const form = await c.req.parseBody()
      const { file } = form
      return c.json({ ...form, file: file instanceof File ? [file.name, file.type, file.size] : file })
    })
    app.post('/json', async c => c.json(await c.req.json()))
    app.get('/events', c =>
      streamSSE(c, async out => {
        for (const data of ['one', 'two']) await out.writeSSE({ data })
      }),
    )
    app.get('/throw', () => {
      throw new Error('unexpected')
    })
    app.onError((error, c) => c.text(error.message, 500))
    return app.fetch as unknown as FetchFunction
  }

  same('text', make, send('/'))
  same('404', make, send('/missing?x'))
  same('cookies and a header', make, send('/cookies'))
  same('an ETag', make, send('/tagged/page'))
  same('a compressed reply', make, send('/zipped', { headers: { 'Accept-Encoding': 'gzip' } }))
  same('JSON', make, post('/json', 'application/json', '{"a":', '"ž"}'))
  same('JSON that is none', make, post('/json', 'application/json', '{'))
  same('a form', make, post('/form', 'application/x-www-form-urlencoded', 'a=1&b=%C5%BE'))
  same(
    'a file',
    make,
    post(
      '/form',
      'multipart/form-data; boundary=xx',
      '--xx\r\nContent-Disposition: form-data; name="file"; filename="f"\r\nContent-Type: image/png\r\n\r\n',
      Buffer.alloc(100_000, 7),
      '\r\n--xx--\r\n',
    ),
  )
  same('server-sent events', make, send('/events'))
  same('an error that the application handles', make, send('/throw'))

  test('an ETag that matches is 304, from the light Response too', async () => {
    const site = await overFastCgi(make())
    try {
      const first = await open(site.port, '/tagged/page')
      await buffer(first)
      const headers = { 'If-None-Match': first.headers.etag }
      expect((await fetchWhole(site.port, '/tagged/page', { headers })).status).toBe(304)
    } finally {
      await site.close()
    }
  })
})
