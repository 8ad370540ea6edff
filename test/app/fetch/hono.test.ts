import { getConnInfo } from '@hono/node-server/conninfo'
import { Hono } from 'hono'
import { getCookie, setCookie } from 'hono/cookie'
import { HTTPException } from 'hono/http-exception'
import { stream, streamSSE, streamText } from 'hono/streaming'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FetchContext, fetchApplication } from '../../../src/app/fetch/fetch.ts'
import { installLightGlobals } from '../../../src/app/fetch/light-globals.ts'
import { options } from '../../support/adapter-options.ts'
import { type ExchangeInit, MemoryExchange, paramsFor, request } from '../../support/exchange.ts'

const app = new Hono<{ Bindings: FetchContext }>()

app.get('/', c => c.text('Hello'))
app.get('/users/:id', c => c.json({ id: c.req.param('id'), q: c.req.query('q'), url: c.req.url }))
app.get('/html', c => c.html('<p>ž</p>'))
app.get('/head', c => c.text('body', 200, { 'X-Own': 'yes' }))
app.get('/old', c => c.redirect('/new'))
app.get('/nothing', c => c.body(null, 204))
app.get('/bytes', c => c.body(new Uint8Array([1, 2, 3]).buffer, 200, { 'Content-Type': 'image/png' }))
app.get('/cookies', c => {
  for (const name of ['a', 'b', 'c']) setCookie(c, name, `${name}1`, { httpOnly: true })
  return c.text(getCookie(c, 'seen') ?? 'none')
})
app.get('/env', c =>
  c.text(`${c.env.env.REMOTE_USER} ${c.req.header('x-forwarded-for')} ${c.req.header('User-Agent')}`),
)
app.get('/client', c => c.json(getConnInfo(c)))
app.get('/throw', () => {
  throw new Error('unexpected')
})
app.get('/teapot', () => {
  throw new HTTPException(418, { message: 'short and stout' })
})
app.post('/json', async c => c.json({ got: await c.req.json() }, 201))
app.post('/form', async c => {
  const { name, file, many } = await c.req.parseBody({ all: true })
  return c.json({ name, many, file: file instanceof File ? [file.name, await file.text()] : file })
})
app.post('/twice', async c => c.text(`${await c.req.text()} ${JSON.stringify(await c.req.json())}`))
app.post('/clone', async c => c.text(`${await c.req.raw.clone().text()} ${await c.req.text()}`))
app.get('/lines', c =>
  streamText(c, async out => {
    for (const line of ['one', 'two', 'three']) await out.writeln(line)
  }),
)
app.get('/events', c =>
  streamSSE(c, async out => {
    for (let id = 1; id <= 3; id += 1) await out.writeSSE({ event: 'tick', id: `${id}`, data: `line ${id}` })
  }),
)
app.get('/endless', c =>
  stream(c, async out => {
    out.onAbort(() => {
      endlessAborted.push(c.req.path)
    })
    while (!out.aborted) {
      await out.write('tick\n')
      await out.sleep(1)
    }
  }),
)
const endlessAborted: string[] = []

const timed = new Hono()
timed.use(async (c, next) => {
  await next()
  c.header('X-After', 'added')
})
timed.get('/page', c => c.text('page', 200, { 'X-Page': '1' }))
timed.get('/raw', () => new Response('raw', { headers: { 'X-Page': '2' } }))
app.route('/timed', timed)

app.onError((error, c) =>
  error instanceof HTTPException ? error.getResponse() : c.text(`caught ${error.message}`, 500),
)
app.notFound(c => c.text(`no ${c.req.path}`, 404))

const site = fetchApplication(app as never, options)

for (const light of [true, false]) {
  describe(light ? 'Hono with light requests and responses' : 'Hono with genuine requests and responses', () => {
    let restore = (): void => undefined
    beforeAll(() => {
      if (light) restore = installLightGlobals()
    })
    afterAll(() => restore())

    const get = (target: string, more: Record<string, string> = {}) =>
      request(site, { params: { ...paramsFor(target), ...more } })
    const post = (target: string, type: string, body: ExchangeInit['body'] & object) =>
      request(site, { params: { ...paramsFor(target, 'POST'), CONTENT_TYPE: type }, body })

    test('answers text', async () => {
      const { status, text, headers } = await get('/')
      expect([status, text, headers.get('content-type')]).toEqual([200, 'Hello', 'text/plain;charset=UTF-8'])
    })

    test.each([
      ['192.0.2.7', '4711', { address: '192.0.2.7', port: 4711, addressType: 'IPv4' }],
      ['2001:db8::7', '4711', { address: '2001:db8::7', port: 4711, addressType: 'IPv6' }],
      ['', '', {}],
    ])('tells the client %j, as under @hono/node-server', async (REMOTE_ADDR, REMOTE_PORT, remote) => {
      expect(JSON.parse((await get('/client', { REMOTE_ADDR, REMOTE_PORT })).text)).toEqual({ remote })
    })

    test('routes below a mount point', async () => {
      const { text } = await request(site, { params: paramsFor('/users/a%20b?q=%C5%BE', 'GET', '/mount') })
      expect(JSON.parse(text)).toEqual({ id: 'a b', q: 'ž', url: 'http://localhost/users/a%20b?q=%C5%BE' })
    })

    test('answers html, bytes, a redirect, no content, 404', async () => {
      expect((await get('/html')).text).toBe('<p>ž</p>')
      expect((await get('/bytes')).body).toEqual(Buffer.from([1, 2, 3]))
      const { status, headers } = await get('/old')
      expect([status, headers.get('location')]).toEqual([302, '/new'])
      const empty = await get('/nothing')
      expect([empty.status, empty.text, empty.headers.has('content-length')]).toEqual([204, '', false])
      const missing = await get('/missing')
      expect([missing.status, missing.text]).toEqual([404, 'no /missing'])
    })

    test('answers HEAD with the head of GET', async () => {
      const { status, headers, text } = await request(site, { params: paramsFor('/head', 'HEAD') })
      expect([status, headers.get('x-own'), text]).toEqual([200, 'yes', ''])
    })

    test('sets three cookies and reads one', async () => {
      const { headers, text } = await get('/cookies', { HTTP_COOKIE: 'other=1; seen=yes' })
      expect(headers.getSetCookie()).toEqual([
        'a=a1; Path=/; HttpOnly',
        'b=b1; Path=/; HttpOnly',
        'c=c1; Path=/; HttpOnly',
      ])
      expect(text).toBe('yes')
    })

    test('sees the CGI variables and the headers', async () => {
      const more = { REMOTE_USER: 'ann', HTTP_X_FORWARDED_FOR: '10.0.0.1', HTTP_USER_AGENT: 'test' }
      expect((await get('/env', more)).text).toBe('ann 10.0.0.1 test')
    })

    test('reads JSON, forms and multipart', async () => {
      expect((await post('/json', 'application/json', ['{"a":', '"ž"}'])).text).toBe('{"got":{"a":"ž"}}')
      const form = await post('/form', 'application/x-www-form-urlencoded', ['name=%C5%BE&many=1&many=2'])
      expect(JSON.parse(form.text)).toEqual({ name: 'ž', many: ['1', '2'] })
      const parts = [
        '--xx\r\nContent-Disposition: form-data; name="name"\r\n\r\nann\r\n',
        '--xx\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\ncontent\r\n--xx--\r\n',
      ]
      const multipart = await post('/form', 'multipart/form-data; boundary=xx', parts)
      expect(JSON.parse(multipart.text)).toEqual({ name: 'ann', file: ['a.txt', 'content'] })
    })

    test('reads a body twice, as itself and as a clone', async () => {
      expect((await post('/twice', 'application/json', ['{"a":1}'])).text).toBe('{"a":1} {"a":1}')
      expect((await post('/clone', 'text/plain', ['abc'])).text).toBe('abc abc')
    })

    test('adds headers after the handler', async () => {
      for (const [path, page] of [
        ['/timed/page', '1'],
        ['/timed/raw', '2'],
      ] as const) {
        const { headers } = await get(path)
        expect([headers.get('x-page'), headers.get('x-after')]).toEqual([page, 'added'])
      }
    })

    test('streams text and events', async () => {
      expect((await get('/lines')).text).toBe('one\ntwo\nthree\n')
      const { text, headers } = await get('/events')
      expect(headers.get('content-type')).toMatch('text/event-stream')
      expect(text).toBe([1, 2, 3].map(id => `event: tick\ndata: line ${id}\nid: ${id}\n\n`).join(''))
    })

    test('stops streaming when the client goes away', async () => {
      endlessAborted.length = 0
      const exchange = new MemoryExchange({ params: paramsFor('/endless') }).run(site)
      while (exchange.writes.length < 3) await new Promise(resolve => setImmediate(resolve))
      exchange.abort()
      while (endlessAborted.length === 0) await new Promise(resolve => setImmediate(resolve))
      expect(endlessAborted).toEqual(['/endless'])
    })

    test('handles its own errors', async () => {
      const caught = await get('/throw')
      expect([caught.status, caught.text]).toEqual([500, 'caught unexpected'])
      const teapot = await get('/teapot')
      expect([teapot.status, teapot.text]).toEqual([418, 'short and stout'])
    })
  })
}
