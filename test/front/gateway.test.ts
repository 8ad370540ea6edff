import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { Target } from '../../src/front/connection.ts'
import { createGateway, type Gateway, type GatewayOptions, type GatewayRecord } from '../../src/front/gateway.ts'
import { silentLog } from '../../src/log.ts'
import { fetchWhole, keepAliveAgent, open } from '../support/http-client.ts'
import { type ScriptedRequest, type ScriptedResponder, scriptedResponder } from '../support/scripted-responder.ts'
import { soon, until } from '../support/until.ts'

interface Site {
  readonly port: number
  readonly gateway: Gateway
  readonly responder: ScriptedResponder
  readonly records: GatewayRecord[]
  readonly stderr: string[]
  /** What the gateway put in its log. */
  readonly problems: string[]
}

const opened: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close()
})

/** A gateway in front of a scripted responder. */
async function site(
  answer: (request: ScriptedRequest) => unknown,
  options: Partial<GatewayOptions> & { target?: Target } = {},
): Promise<Site> {
  const responder = await scriptedResponder(answer)
  opened.push(responder.close)
  const records: GatewayRecord[] = []
  const stderr: string[] = []
  const problems: string[] = []
  const note = (_details: object, message: string): void => void problems.push(message)
  const gateway = createGateway({
    target: responder.target,
    log: { ...silentLog, error: note, warn: note, info: note },
    onRequest: record => records.push(record),
    onStderr: text => stderr.push(text),
    ...options,
  })
  opened.push(() => gateway.close(0))
  const { port } = await gateway.listen({ port: 0 })
  return { port, gateway, responder, records, stderr, problems }
}

/** Everything the server sends in answer to raw bytes, until it closes. */
async function raw(port: number, text: string): Promise<string> {
  const socket = net.connect(port, '127.0.0.1')
  socket.write(text, 'latin1')
  let reply = ''
  socket.setEncoding('latin1').on('data', chunk => {
    reply += chunk
  })
  await soon('the end of the connection', once(socket, 'close'))
  return reply
}

const hello = (request: ScriptedRequest): void => request.reply('Content-Type: text/plain\r\n\r\nhello\n')

describe('a gateway', () => {
  it('forwards a request and its reply', async () => {
    let params: Readonly<Record<string, string>> = {}
    const { port, records } = await site(request => {
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
    await until('the record', () => records.length === 1)
    expect(records[0]).toMatchObject({ method: 'GET', target: '/a%20b?c=d', status: 201, bytes: 4, problem: null })
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

  it('lets requests wait while the responder’s queue of connections is full', async () => {
    const { port, responder, records } = await site(hello, { pool: { maxConnecting: 4 } })
    const agent = new http.Agent({ maxSockets: 400 })
    const replies = await Promise.all(Array.from({ length: 400 }, () => fetchWhole(port, '/', { agent })))
    expect(new Set(replies.map(reply => reply.status))).toEqual(new Set([200]))
    expect(records.every(record => record.problem === null)).toBe(true)
    expect(responder.connections()).toBeLessThan(400)
    agent.destroy()
  })

  it('forgets a waiting request whose client has gone', async () => {
    const answered: string[] = []
    const { port, gateway, records } = await site(
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
    expect([records[0]?.status, answered]).toEqual([499, []])
  })

  it('sends a request again on a new connection when the kept one proves closed', async () => {
    let served = 0
    const { port, responder, records } = await site(request => {
      // Whoever comes second on a connection is not answered any more.
      if (++served === 2) request.socket.destroy()
      else hello(request)
    })
    await fetchWhole(port, '/')
    expect((await fetchWhole(port, '/')).status).toBe(200)
    expect([served, responder.connections()]).toEqual([3, 2])
    await until('both records', () => records.length === 2)
    expect(records.map(record => record.problem)).toEqual([null, null])
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

  it('adds variables that it is told to add', async () => {
    const params = { SCRIPT_FILENAME: '/srv/x.php', SERVER_NAME: 'fixed' }
    const { port } = await site(
      request => request.reply(`\r\n${request.params.SCRIPT_FILENAME} ${request.params.SERVER_NAME}`),
      { params },
    )
    expect((await fetchWhole(port, '/')).body.toString()).toBe('/srv/x.php fixed')
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

describe('when something goes wrong, a gateway', () => {
  it('answers 502 without details if nobody listens, and logs why', async () => {
    const first = await site(hello)
    await first.responder.close()
    const reply = await fetchWhole(first.port, '/')
    expect([reply.status, reply.headers['content-type']]).toEqual([502, 'text/html; charset=utf-8'])
    expect(reply.body.toString()).not.toContain(first.responder.target.path)
    expect(first.problems.join()).toMatch(/cannot connect to .*: no such file/)
  })

  it.each([
    ['no FastCGI', (request: ScriptedRequest) => request.socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'), 502],
    ['nothing', (request: ScriptedRequest) => request.socket.end(), 502],
    ['no head', (request: ScriptedRequest) => request.reply('just text'), 502],
    ['an empty reply', (request: ScriptedRequest) => request.end(), 502],
    ['a broken head', (request: ScriptedRequest) => request.reply('Status: 200\r\nno colon\r\n\r\nx'), 502],
    [
      'an endless head',
      (request: ScriptedRequest) => request.stdout(`A: ${'x'.repeat(60_000)}`).stdout('x'.repeat(60_000)),
      502,
    ],
    ['UNKNOWN_ROLE', (request: ScriptedRequest) => request.end(0, 3), 502],
    ['OVERLOADED', (request: ScriptedRequest) => request.end(0, 2), 503],
    ['CANT_MPX_CONN', (request: ScriptedRequest) => request.end(0, 1), 503],
  ])('answers for a responder that sends %s', async (_what, answer, status) => {
    const { port, records } = await site(answer)
    const reply = await fetchWhole(port, '/')
    expect(reply.status).toBe(status)
    await until('the record', () => records.length === 1)
    expect(records[0]?.status).toBe(status)
    expect(records[0]?.problem).not.toBeNull()
  })

  it.each([
    ['breaks off', (request: ScriptedRequest) => request.socket.end()],
    ['ends short of its Content-Length', (request: ScriptedRequest) => request.end()],
    ['turns into garbage', (request: ScriptedRequest) => request.socket.write('garbage')],
  ])('cuts the connection to the client if the reply %s', async (_what, next) => {
    const { port, records } = await site(async request => {
      request.stdout('Content-Length: 100\r\n\r\npart')
      await until('the client has the first part', () => started)
      next(request)
    })
    let started = false
    const response = await open(port, '/')
    started = true
    const failed = once(response, 'error')
    response.resume()
    await soon('the broken reply', failed)
    await until('the record', () => records.length === 1)
    expect(records[0]).toMatchObject({ status: 200, bytes: 4 })
    expect(records[0]?.problem).not.toBeNull()
  })

  it('cuts a chunked reply in whose middle the application failed', async () => {
    let started = false
    const { port } = await site(async request => {
      request.stdout('\r\npart')
      await until('the client has the first part', () => started)
      request.end(1)
    })
    const response = await open(port, '/')
    started = true
    await soon('the broken reply', once(response.resume(), 'error'))
  })

  it('passes on a whole error page although the application ended with a status', async () => {
    const { port } = await site(request => {
      request.socket.cork()
      request.stdout('Status: 500 Oops\r\n\r\nfailed').end(255)
      request.socket.uncork()
    })
    expect(await fetchWhole(port, '/')).toMatchObject({ status: 500, body: Buffer.from('failed') })
  })

  it('sends no more of a reply than its Content-Length', async () => {
    const { port } = await site(request => request.reply('Content-Length: 3\r\n\r\nabcdef'))
    const agent = keepAliveAgent()
    for (let count = 0; count < 2; count++) {
      expect((await fetchWhole(port, '/', { agent })).body.toString()).toBe('abc')
    }
    agent.destroy()
  })

  it('answers 504 if the application stays silent, and 408 if the client does', async () => {
    const { port } = await site(() => {}, { timeoutMs: 100 })
    expect((await fetchWhole(port, '/')).status).toBe(504)
    expect(await raw(port, 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: close\r\n\r\n')).toMatch(
      /^HTTP\/1\.1 408 /,
    )
  })

  it('closes the connection to the responder if the client goes away', async () => {
    let closed = false
    const { port, records } = await site(request => {
      request.socket.on('close', () => {
        closed = true
      })
      if (request.params.PATH_INFO === '/begun') request.stdout('\r\nfirst')
    })
    const response = await open(port, '/begun')
    response.destroy()
    await until('the connection to the responder is closed', () => closed)
    closed = false
    const early = http.get({ host: '127.0.0.1', port, path: '/early', agent: false }).on('error', () => {})
    await until('the request is under way', () => records.length === 1)
    await until('the second connection', () => early.socket !== null)
    early.destroy()
    await until('the record', () => records.length === 2)
    expect(records.map(record => record.status)).toEqual([200, 499])
  })

  it('answers before the body was read to its end, and lets the client finish', async () => {
    const { port } = await site(request => request.reply('Status: 413\r\n\r\ntoo large'))
    const body = Array.from({ length: 40 }, () => Buffer.alloc(65_536))
    const reply = await fetchWhole(port, '/', { method: 'POST', body, headers: { 'Content-Length': 40 * 65_536 } })
    expect([reply.status, reply.body.toString()]).toEqual([413, 'too large'])
  })
})

describe('back-pressure', () => {
  it('reaches the application if the client does not read', async () => {
    let sent = 0
    let blocked = false
    const { port } = await site(request => {
      request.stdout('\r\n')
      const pump = (): void => {
        while (request.socket.writableLength < 1_000_000) {
          request.stdout('x'.repeat(60_000))
          sent += 60_000
          if (sent > 200_000_000) return
        }
        blocked = true
      }
      request.socket.on('drain', pump)
      pump()
    })
    const response = await open(port, '/')
    await until('the responder is held back', () => blocked)
    let before = -1
    await until('nothing moves', async () => {
      const still = before === sent
      before = sent
      await new Promise(resolve => setTimeout(resolve, 50))
      return still
    })
    expect(sent).toBeLessThan(60_000_000)
    let got = 0
    response.on('data', chunk => {
      got += chunk.length
    })
    await until('it goes on', () => got > before)
    response.destroy()
  })

  it('reaches the client if the application does not read', async () => {
    let socket: net.Socket | undefined
    const { port } = await site(request => {
      socket = request.socket.pause()
      void request.body().then(body => request.reply(`\r\n${body.length}`))
    })
    const outgoing = http.request({ host: '127.0.0.1', port, method: 'POST', agent: false })
    const piece = Buffer.alloc(1_000_000)
    let sent = 0
    while (sent < 200_000_000 && (outgoing.write(piece) || (await drained(outgoing)))) sent += piece.length
    expect(sent).toBeLessThan(60_000_000)
    socket?.resume()
    outgoing.end()
    const [response] = (await soon('the head', once(outgoing, 'response'))) as [http.IncomingMessage]
    expect(Number(await soon('the body', once(response, 'data')))).toBe(sent + piece.length)
  })
})

/** Whether the request takes more within half a second. */
async function drained(outgoing: http.ClientRequest): Promise<boolean> {
  return Promise.race([
    once(outgoing, 'drain').then(() => true),
    new Promise<false>(resolve => setTimeout(() => resolve(false), 500)),
  ])
}

describe('closing a gateway', () => {
  it('lets running requests end, takes no more, and leaves nothing open', async () => {
    const { promise: go, resolve: next } = withResolvers()
    const { port, gateway, responder } = await site(async request => {
      request.stdout('\r\nfirst ')
      await go
      request.stdout('second').end()
    })
    const agent = keepAliveAgent()
    const response = await open(port, '/', { agent })
    const closed = gateway.close()
    await expect(fetchWhole(port, '/')).rejects.toThrow('ECONNREFUSED')
    next()
    let text = ''
    for await (const chunk of response) text += chunk
    expect(text).toBe('first second')
    await soon('the gateway to close', closed)
    await until('no connection is left', () => responder.sockets.size === 0)
    agent.destroy()
  })

  it('cuts off what does not end in time', async () => {
    const { port, gateway } = await site(request => request.stdout('\r\nfor ever'))
    const response = await open(port, '/')
    const failed = once(response.resume(), 'error')
    await soon('the gateway to close', gateway.close(10))
    await soon('the broken reply', failed)
  })

  it('says why it cannot listen', async () => {
    const { port, gateway } = await site(hello)
    const second = createGateway({ target: { kind: 'unix', path: '/nowhere' }, log: silentLog })
    await expect(second.listen({ port })).rejects.toThrow(
      `cannot serve HTTP on 127.0.0.1:${port}: the address is in use`,
    )
    expect(gateway.stats().inFlight).toBe(0)
  })
})

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {}
  const promise = new Promise<void>(done => {
    resolve = done
  })
  return { promise, resolve }
}
