import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { fetchWhole, open } from '../support/http-client.ts'
import { type InProcessSite, inProcessSite } from '../support/in-process-site.ts'
import { soon, until } from '../support/until.ts'

const FOLDER = 'deploy/examples'
const opened: InProcessSite[] = []

afterEach(async () => {
  for (const site of opened.splice(0)) await site.close()
})

async function serve(name: string, mount?: string): Promise<InProcessSite> {
  const site = await inProcessSite(`${FOLDER}/${name}`, mount === undefined ? {} : { mount })
  opened.push(site)
  return site
}

const json = 'application/json'
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

interface Exchanged {
  readonly path: string
  readonly method?: string
  readonly send?: unknown
  readonly status?: number
  readonly headers?: Record<string, unknown>
  readonly body: string | RegExp | object
}

/** What each example is asked, and what it answers. */
const EXAMPLES: Readonly<Record<string, readonly Exchanged[]>> = {
  // What it decides: test/e2e/authorizer.test.ts.
  'download.js': [{ path: '/none', status: 404, body: 'Not here\n' }],
  'authorizer.js': [{ path: '/', status: 501, body: /no application/ }],
  'hello.js': [{ path: '/you', body: 'Hello, /you\n' }],
  'middleware.js': [
    { path: '/', headers: { 'server-timing': expect.stringContaining('app;dur=') }, body: 'Hello, /\n' },
  ],
  'listener.js': [{ path: '/a?b', body: { method: 'GET', url: '/a?b', client: '127.0.0.1', server: 'runfcgi' } }],
  'express.js': [
    { path: '/', headers: { 'content-type': 'text/html; charset=utf-8' }, body: /Express/ },
    { path: '/hello/w%C3%B6rld', body: { hello: 'wörld', ip: '127.0.0.1' } },
    { path: '/echo', method: 'POST', send: { a: [1, 'ü'] }, status: 201, body: { a: [1, 'ü'] } },
    { path: '/none', status: 404, body: /Cannot GET \/none/ },
  ],
  'koa.js': [
    {
      path: '/x?y=z',
      headers: { 'set-cookie': ['seen=yes; path=/; httponly'] },
      body: { framework: 'koa', path: '/x', query: { y: 'z' } },
    },
  ],
  'fastify.js': [
    { path: '/', body: { framework: 'fastify' } },
    { path: '/hello/x', body: { hello: 'x' } },
    { path: '/greet', method: 'POST', send: { name: 'Zoë' }, status: 201, body: { greeting: 'Hello, Zoë' } },
    { path: '/greet', method: 'POST', send: {}, status: 400, body: /must have required property/ },
  ],
  'hono.js': [
    { path: '/', body: 'Hono over FastCGI' },
    { path: '/hello/x', body: { hello: 'x', server: 'runfcgi' } },
    { path: '/echo', method: 'POST', send: { a: 1 }, status: 201, body: { a: 1 } },
    { path: '/count', body: '1\n2\n3\n' },
  ],
  'fetch.js': [
    { path: '/?name=you', body: { hello: 'you', method: 'GET' } },
    { path: '/', method: 'DELETE', body: { hello: '127.0.0.1', method: 'DELETE' } },
    { path: '/x', status: 404, body: 'Not here\n' },
  ],
  'upload.js': [{ path: '/', method: 'PUT', send: 'abc', body: { size: 5, sha256: sha256(Buffer.from('"abc"')) } }],
}

describe('the examples', () => {
  it('are all run by this test, and none is longer than 20 lines', () => {
    const names = readdirSync(FOLDER).filter(name => name.endsWith('.js'))
    expect(names.sort()).toEqual([...Object.keys(EXAMPLES), 'sse.js'].sort())
    for (const name of names) {
      expect(readFileSync(path.join(FOLDER, name), 'utf8').trimEnd().split('\n').length, name).toBeLessThanOrEqual(20)
    }
  })

  it.each(Object.keys(EXAMPLES))('%s does what it shows', async name => {
    const { port, messages } = await serve(name)
    for (const { path: target, method = 'GET', send, status = 200, headers = {}, body } of EXAMPLES[name] ?? []) {
      const sent =
        send === undefined ? {} : { headers: { 'Content-Type': json }, body: [Buffer.from(JSON.stringify(send))] }
      const reply = await fetchWhole(port, target, { method, ...sent })
      const text = reply.body.toString()
      expect([target, reply.status, text]).toEqual([target, status, expect.any(String)])
      expect(reply.headers).toMatchObject(headers)
      if (typeof body === 'string') expect(text).toBe(body)
      else if (body instanceof RegExp) expect(text).toMatch(body)
      else expect(JSON.parse(text)).toEqual(body)
    }
    expect(messages).toEqual([])
  })

  it.each(['express.js', 'koa.js', 'fastify.js', 'hono.js'])('%s runs below a mount point', async name => {
    const { port } = await serve(name, '/app')
    const reply = await fetchWhole(port, '/app/')
    expect([reply.status, reply.body.toString().length > 10]).toEqual([200, true])
  })

  it('sse.js sends each event as it happens, and stops when the reader leaves', async () => {
    const { port, stats } = await serve('sse.js')
    const response = await open(port, '/')
    expect(response.headers['content-type']).toBe('text/event-stream')
    let text = ''
    response.on('data', chunk => {
      text += chunk
    })
    await until('three events', () => text.includes('data: 3 '))
    expect(stats().inflight).toBe(1)
    response.destroy()
    await until('the application has stopped', () => stats().inflight === 0)
  })

  it('upload.js takes 32 MB without a declared length', async () => {
    const { port } = await serve('upload.js')
    const piece = Buffer.alloc(2 ** 20, 'a')
    const hash = createHash('sha256')
    for (let count = 0; count < 32; count++) hash.update(piece)
    const reply = await fetchWhole(port, '/', { method: 'POST', body: Array(32).fill(piece) })
    expect(JSON.parse(reply.body.toString())).toEqual({ size: 32 * 2 ** 20, sha256: hash.digest('hex') })
  })
})

describe('the demo site', () => {
  it('shows the whole environ, escaped, and where the request came through', async () => {
    const { port, messages } = await serve('demo/app.js')
    const headers = { 'X-Evil': '<script>alert(1)</script>', Cookie: 'a="><b>' }
    const reply = await fetchWhole(port, '/?<i>&q=%C3%BC', { headers })
    const html = reply.body.toString()
    expect([reply.status, reply.headers['content-type']]).toEqual([200, 'text/html; charset=utf-8'])
    for (const name of [
      'REQUEST_METHOD',
      'QUERY_STRING',
      'HTTP_X_EVIL',
      'wsgi.input',
      'runfcgi.signal',
      'REMOTE_PORT',
    ]) {
      expect(html).toContain(`<th scope="row">${name}</th>`)
    }
    expect(html).toContain('&lt;script&gt;alert(1)&lt;/script&gt;')
    expect(html).not.toMatch(/<script>alert|<i>&|"><b>|\{\{/)
    expect(messages).toEqual([])
  })

  it('serves what its page refers to, also below a mount point and to HEAD', async () => {
    const { port } = await serve('demo/app.js', '/demo')
    const html = (await fetchWhole(port, '/demo/')).body.toString()
    expect(html).toContain('<base href="/demo/">')
    for (const name of ['page.css', 'page.js']) {
      expect(html).toContain(`"${name}"`)
      expect((await fetchWhole(port, `/demo/${name}`)).status).toBe(200)
    }
    const head = await fetchWhole(port, '/demo/page.css', { method: 'HEAD' })
    expect([head.status, head.body.length, Number(head.headers['content-length']) > 1000]).toEqual([200, 0, true])
    expect((await fetchWhole(port, '/demo/nothing')).status).toBe(404)
  })

  it('hashes uploads, counts visits in cookies, and waits', async () => {
    const { port } = await serve('demo/app.js')
    const body = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 256))
    const upload = JSON.parse((await fetchWhole(port, '/upload', { method: 'POST', body: [body] })).body.toString())
    expect(upload).toMatchObject({ size: body.length, sha256: sha256(body) })
    const first = await fetchWhole(port, '/visits', { headers: { Cookie: 'x=y; visits=7' } })
    expect(JSON.parse(first.body.toString())).toEqual({ sent: 'x=y; visits=7', visits: 8 })
    expect(first.headers['set-cookie']).toHaveLength(2)
    expect(JSON.parse((await fetchWhole(port, '/slow?ms=5')).body.toString())).toMatchObject({ slept: 5 })
    expect(JSON.parse((await fetchWhole(port, '/environ')).body.toString())).toMatchObject({ REQUEST_URI: '/environ' })
  })

  it('fails on purpose: with a 500, or by cutting the reply off', async () => {
    const { port, messages } = await serve('demo/app.js')
    const early = await fetchWhole(port, '/error')
    expect(early.status).toBe(500)
    expect(early.body.toString()).not.toContain('on purpose')
    const late = await open(port, '/error-late')
    await soon('the cut', once(late.resume(), 'error'))
    expect(messages.join('\n')).toMatch(/before it has sent anything.*in the middle of its reply/s)
  })

  it('streams to several readers, and notices when they leave', async () => {
    const { port, stats } = await serve('demo/app.js')
    const readers = await Promise.all([open(port, '/events'), open(port, '/events')])
    let text = ''
    readers[1]?.on('data', chunk => {
      text += chunk
    })
    await until('two events', () => /"count":2,.*"streams":2/.test(text))
    for (const reader of readers) reader.destroy()
    await until('both loops have ended', () => stats().inflight === 0)
  })
})
