import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterEach, describe, expect, it } from 'vitest'
import { fetchWhole, keepAliveAgent, open } from '../support/http-client.ts'
import { scriptedResponder } from '../support/scripted-responder.ts'
import { closeLater, closeSites, hello, raw, scriptedSite as site, withResolvers } from '../support/scripted-site.ts'
import { soon, until } from '../support/until.ts'

afterEach(closeSites)

describe('a gateway', () => {
  it('forwards a request and its reply', async () => {
    let params: Readonly<Record<string, string>> = {}
    const { port, outcomes } = await site(request => {
      params = request.params
      request.reply('Status: 201 Made\r\nX-A: 1\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\nbody')
    })
    const reply = await fetchWhole(port, '/a%20b?c=d', { headers: { 'x-custom': 'yes' } })
    expect(reply).toMatchObject({
      status: 201,
      headers: { 'x-a': '1', 'set-cookie': ['a=b', 'c=d'], 'content-length': '4' },
    })
    expect(reply.body.toString()).toBe('body')
    expect(params).toMatchObject({
      REQUEST_METHOD: 'GET',
      REQUEST_URI: '/a%20b?c=d',
      PATH_INFO: '/a b',
      QUERY_STRING: 'c=d',
      SERVER_PORT: String(port),
      REMOTE_ADDR: '127.0.0.1',
      HTTP_X_CUSTOM: 'yes',
    })
    await until('the outcome', () => outcomes.length === 1)
    expect(outcomes[0]).toEqual({ status: 201, bytes: 4, problem: null })
  })

  it('passes bodies both ways byte for byte, declared and chunked', async () => {
    const { port } = await site(async request => {
      const body = await request.body()
      request.stdout(`X-Length: ${request.params.CONTENT_LENGTH ?? 'none'}\r\n\r\n`)
      for (let at = 0; at < body.length; at += 60_000) request.stdout(body.toString('latin1', at, at + 60_000))
      request.end()
    })
    const body = Buffer.from(Array.from({ length: 1_000_003 }, (_, index) => index % 253))
    const pieces = [body.subarray(0, 10), body.subarray(10, 500_000), body.subarray(500_000)]
    const chunked = await fetchWhole(port, '/', { method: 'POST', body: pieces })
    expect(chunked.headers['x-length']).toBe('none')
    expect(chunked.body.equals(body)).toBe(true)
    const headers = { 'Content-Length': body.length }
    const declared = await fetchWhole(port, '/', { method: 'PUT', body: pieces, headers })
    expect(declared.headers['x-length']).toBe(String(body.length))
    expect(declared.body.equals(body)).toBe(true)
  })

  it('passes on each piece of a reply as it comes', async () => {
    const { promise: go, resolve: next } = withResolvers()
    const { port } = await site(async request => {
      request.stdout('Content-Type: text/event-stream\r\n\r\n')
      await go
      request.stdout('data: 1\n\n').end()
    })
    const response = await open(port, '/')
    expect(response.headers['content-type']).toBe('text/event-stream')
    const pieces: string[] = []
    response.on('data', chunk => pieces.push(String(chunk)))
    next()
    await soon('the end', once(response, 'end'))
    expect(pieces).toEqual(['data: 1\n\n'])
  })

  it('streams the body to the application while the client is still sending it', async () => {
    const { port } = await site(async request => {
      await until('the first piece', () => request.stdin.length > 0)
      request.stdout(`\r\nfirst: ${request.stdin[0]}\n`)
      request.stdout(`all: ${await request.body()}\n`).end()
    })
    const outgoing = http.request({ host: '127.0.0.1', port, method: 'POST', agent: false })
    outgoing.write('one')
    const [response] = (await soon('the head', once(outgoing, 'response'))) as [http.IncomingMessage]
    expect(String(await soon('the echo', once(response, 'data')))).toBe('first: one\n')
    outgoing.end(' two')
    expect(String(await soon('the rest', once(response, 'data')))).toBe('all: one two\n')
  })

  it('keeps its connection to the responder and uses it again', async () => {
    const { port, responder, gateway } = await site(hello)
    for (let count = 0; count < 5; count++) expect((await fetchWhole(port, '/')).body.toString()).toBe('hello\n')
    expect(responder.connections()).toBe(1)
    expect(gateway.stats()).toEqual({ open: 1, idle: 1, waiting: 0, inFlight: 0 })
  })

  it('opens a connection for each request that runs at the same time', async () => {
    const { promise: go, resolve: next } = withResolvers()
    const { port, responder } = await site(async request => {
      await go
      hello(request)
    })
    const replies = Array.from({ length: 10 }, () => fetchWhole(port, '/'))
    await until('ten connections', () => responder.connections() === 10)
    next()
    for (const reply of replies) expect((await reply).status).toBe(200)
  })

  it('lets requests wait for one another when it may make few connections at a time', async () => {
    const { port, responder } = await site(hello, { pool: { maxConnecting: 2 } })
    const replies = await Promise.all(Array.from({ length: 100 }, () => fetchWhole(port, '/')))
    expect(replies.every(reply => reply.status === 200)).toBe(true)
    expect(responder.connections()).toBeLessThan(100)
  })

  it('tries again while the responder’s queue of connections is full', async () => {
    const responder = await scriptedResponder(hello, 1)
    closeLater(responder.close)
    // The system says so at once when two wait already: connecting more in one go fails.
    const sockets = Array.from({ length: 20 }, () => net.connect(responder.target.path))
    const refused = sockets.map(socket =>
      once(socket, 'connect').then(
        () => '',
        error => error.code,
      ),
    )
    expect(await Promise.all(refused)).toContain('EAGAIN')
    for (const socket of sockets) socket.destroy()
    const { port } = await site(hello, { target: responder.target })
    const replies = await Promise.all(Array.from({ length: 100 }, () => fetchWhole(port, '/')))
    expect(replies.every(reply => reply.status === 200)).toBe(true)
  })

  it('forgets a waiting request whose client has gone', async () => {
    const answered: string[] = []
    const { port, gateway, outcomes } = await site(
      request => {
        answered.push(request.params.PATH_INFO ?? '')
        hello(request)
      },
      { target: { kind: 'unix', path: '/nowhere/at/all' }, pool: { maxConnecting: 0 } },
    )
    const outgoing = http.get({ host: '127.0.0.1', port, agent: false }).on('error', () => {})
    await until('the request waits', () => gateway.stats().waiting === 1)
    outgoing.destroy()
    await until('it is forgotten', () => gateway.stats().waiting === 0)
    expect([outcomes[0]?.status, answered]).toEqual([499, []])
  })

  it('sends a request again on a new connection when the kept one proves closed', async () => {
    let served = 0
    const { port, responder, outcomes } = await site(request => {
      // Whoever comes second on a connection is not answered any more.
      if (++served === 2) request.socket.destroy()
      else hello(request)
    })
    await fetchWhole(port, '/')
    expect((await fetchWhole(port, '/')).status).toBe(200)
    expect([served, responder.connections()]).toEqual([3, 2])
    await until('both outcomes', () => outcomes.length === 2)
    expect(outcomes.map(record => record.problem)).toEqual([null, null])
  })

  it('sends no request twice that a new connection lost, or that had begun its reply', async () => {
    let served = 0
    const { port } = await site(request => {
      served++
      if (request.params.PATH_INFO === '/begun' && served > 1) request.stderr('begun')
      if (served === 1) hello(request)
      else request.socket.end()
    })
    await fetchWhole(port, '/')
    expect((await fetchWhole(port, '/begun')).status).toBe(502)
    expect(served).toBe(2)
    expect((await fetchWhole(port, '/lost')).status).toBe(502)
    expect(served).toBe(3)
  })

  it('gives a request that must not be repeated a connection of its own', async () => {
    const { port, responder } = await site(async request => {
      await request.body()
      hello(request)
    })
    await fetchWhole(port, '/')
    await fetchWhole(port, '/', { method: 'POST', body: [Buffer.from('x')] })
    await fetchWhole(port, '/', { method: 'POST', headers: { 'Content-Length': 0 } })
    expect(responder.connections()).toBe(3)
  })

  it('answers HEAD, 204 and 304 without a body, whatever the application writes', async () => {
    const { port } = await site(request =>
      request.reply(`Status: ${request.params.QUERY_STRING}\r\nContent-Length: 4\r\n\r\nbody`),
    )
    for (const [method, status, length] of [
      ['HEAD', 200, '4'],
      ['GET', 204, undefined],
      ['GET', 304, '4'],
    ] as const) {
      const reply = await fetchWhole(port, `/?${status}`, { method })
      expect([reply.status, reply.body.length, reply.headers['content-length']]).toEqual([status, 0, length])
      expect(reply.headers['transfer-encoding']).toBeUndefined()
    }
  })

  it('keeps headers that concern one connection from the client', async () => {
    const { port } = await site(request =>
      request.reply(
        'Connection: close, X-Hop\r\nKeep-Alive: timeout=1\r\nTransfer-Encoding: chunked\r\nX-Hop: 1\r\nX-End: 2\r\n\r\nok',
      ),
    )
    const agent = keepAliveAgent()
    const reply = await fetchWhole(port, '/', { agent })
    expect(reply.headers).toMatchObject({ connection: 'keep-alive', 'content-length': '2', 'x-end': '2' })
    expect(reply.headers).not.toHaveProperty('x-hop')
    agent.destroy()
  })

  it('invites a body with 100 Continue once it has somebody to give it to', async () => {
    const { port } = await site(async request => request.reply(`\r\n${await request.body()}`))
    const outgoing = http.request({
      host: '127.0.0.1',
      port,
      method: 'POST',
      headers: { Expect: '100-continue' },
      agent: false,
    })
    outgoing.flushHeaders()
    await soon('100 Continue', once(outgoing, 'continue'))
    outgoing.end('payload')
    const [response] = (await soon('the head', once(outgoing, 'response'))) as [http.IncomingMessage]
    expect(String(await soon('the body', once(response, 'data')))).toBe('payload')
  })

  it('does not invite a body if the responder is gone', async () => {
    const { port, responder } = await site(hello)
    await responder.close()
    const reply = await raw(
      port,
      'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n',
    )
    expect(reply).toMatch(/^HTTP\/1\.1 502 Bad Gateway\r\n/)
  })

  it('serves HTTP/1.0 and several requests sent at once', async () => {
    const { port } = await site(request => request.reply(`\r\n${request.params.PATH_INFO};`))
    expect(await raw(port, 'GET /old HTTP/1.0\r\n\r\n')).toMatch(/\r\n\r\n\/old;$/)
    const two = 'GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n'
    expect(await raw(port, two)).toMatch(/\/1;HTTP\/1\.1 200 OK.*\/2;$/s)
  })

  it('puts STDERR where it is told', async () => {
    const { port, stderr } = await site(request => {
      request.stderr('something is odd\n')
      hello(request)
    })
    expect((await fetchWhole(port, '/')).status).toBe(200)
    expect(stderr).toEqual(['something is odd\n'])
  })

  it('serves below its mount point only', async () => {
    const { port } = await site(
      request => request.reply(`\r\n${request.params.SCRIPT_NAME}|${request.params.PATH_INFO}`),
      { mount: '/app/' },
    )
    expect((await fetchWhole(port, '/app/x')).body.toString()).toBe('/app|/x')
    expect((await fetchWhole(port, '/app')).body.toString()).toBe('/app|')
    expect((await fetchWhole(port, '/apple')).status).toBe(404)
    expect((await fetchWhole(port, '/app/../etc')).status).toBe(404)
  })

  it('refuses what is no proper request', async () => {
    const { port, responder } = await site(hello)
    for (const head of [
      'GET /%zz HTTP/1.1\r\nHost: h',
      'GET /../x HTTP/1.1\r\nHost: h',
      'GET / HTTP/1.1\r\nHost: a\r\nHost: b',
      'GET * HTTP/1.1\r\nHost: h',
    ]) {
      expect(await raw(port, `${head}\r\nConnection: close\r\n\r\n`)).toMatch(/^HTTP\/1\.1 400 /)
    }
    expect(responder.connections()).toBe(0)
  })
})

const openssl = ['/usr/bin/openssl', '/usr/local/bin/openssl'].find(file => existsSync(file))

describe('a gateway with a certificate', () => {
  it.skipIf(openssl === undefined)('serves HTTPS and says so', async () => {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'tls-'))
    const [cert, key] = [path.join(folder, 'cert.pem'), path.join(folder, 'key.pem')]
    const subject = ['-subj', '/CN=localhost', '-days', '1']
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    await promisify(execFile)(openssl as string, ['req', '-x509', ...curve, ...subject, '-out', cert, '-keyout', key])
    const tls = { cert: await readFile(cert), key: await readFile(key) }
    await rm(folder, { recursive: true })
    const { port } = await site(
      request => request.reply(`\r\n${request.params.HTTPS} ${request.params.REQUEST_SCHEME}`),
      { tls },
    )
    const outgoing = https.get({ host: '127.0.0.1', port, ca: tls.cert, servername: 'localhost', agent: false })
    const [response] = (await soon('the head', once(outgoing, 'response'))) as [http.IncomingMessage]
    expect(String(await soon('the body', once(response, 'data')))).toBe('on https')
  })
})

describe('a local redirect', () => {
  it('is answered with what the other path gives, without the body', async () => {
    const seen: string[] = []
    const { port } = await site(async request => {
      const { REQUEST_METHOD, REQUEST_URI, CONTENT_LENGTH = 'none' } = request.params
      seen.push(`${REQUEST_METHOD} ${REQUEST_URI} ${CONTENT_LENGTH} ${(await request.body()).length}`)
      request.reply(REQUEST_URI === '/from' ? 'Location: /to?x=y\r\n\r\n' : '\r\narrived')
    })
    const reply = await fetchWhole(port, '/from', {
      method: 'POST',
      headers: { 'Content-Length': 3 },
      body: [Buffer.from('abc')],
    })
    expect([reply.status, reply.body.toString()]).toEqual([200, 'arrived'])
    expect(seen).toEqual(['POST /from 3 3', 'GET /to?x=y none 0'])
  })

  it('that never ends is cut short', async () => {
    let served = 0
    const { port, problems } = await site(request => {
      served++
      request.reply('Location: /again\r\n\r\n')
    })
    expect((await fetchWhole(port, '/')).status).toBe(502)
    expect(served).toBe(11)
    expect(problems.join()).toContain('local redirects')
  })

  it('cannot leave the mount point', async () => {
    const { port } = await site(request => request.reply('Location: /elsewhere\r\n\r\n'), { mount: '/app' })
    expect((await fetchWhole(port, '/app')).status).toBe(502)
  })

  it('to another host, or with a status, is the client’s', async () => {
    const { port } = await site(request =>
      request.reply(`${decodeURIComponent(request.params.QUERY_STRING ?? '')}\r\n\r\n`),
    )
    const absolute = await fetchWhole(port, `/?${encodeURIComponent('Location: http://h/x')}`)
    expect([absolute.status, absolute.headers.location]).toEqual([302, 'http://h/x'])
    const stated = await fetchWhole(port, `/?${encodeURIComponent('Status: 303\r\nLocation: /x')}`)
    expect([stated.status, stated.headers.location]).toEqual([303, '/x'])
  })
})
