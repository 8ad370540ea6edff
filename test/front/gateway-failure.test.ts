import { once } from 'node:events'
import http from 'node:http'
import type net from 'node:net'
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { createGateway } from '../../src/front/gateway.ts'
import { silentLog } from '../../src/server/create-server.ts'
import { fetchWhole, keepAliveAgent, open } from '../support/http-client.ts'
import type { ScriptedRequest } from '../support/scripted-responder.ts'
import { closeSites, hello, raw, scriptedSite as site, withResolvers } from '../support/scripted-site.ts'
import { soon, until } from '../support/until.ts'

afterEach(closeSites)

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
    const { port, outcomes } = await site(answer)
    const reply = await fetchWhole(port, '/')
    expect(reply.status).toBe(status)
    await until('the outcome', () => outcomes.length === 1)
    expect(outcomes[0]?.status).toBe(status)
    expect(outcomes[0]?.problem).not.toBeNull()
  })

  it.each([
    ['breaks off', (request: ScriptedRequest) => request.socket.end()],
    ['ends short of its Content-Length', (request: ScriptedRequest) => request.end()],
    ['turns into garbage', (request: ScriptedRequest) => request.socket.write('garbage')],
  ])('cuts the connection to the client if the reply %s', async (_what, next) => {
    const { port, outcomes } = await site(async request => {
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
    await until('the outcome', () => outcomes.length === 1)
    expect(outcomes[0]).toMatchObject({ status: 200, bytes: 4 })
    expect(outcomes[0]?.problem).not.toBeNull()
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
    // Only the test lets time pass: a machine that stands still for a moment has not shown who is silent.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    let asked = 0
    const { port } = await site(() => asked++, { timeoutMs: 100 })
    const silent = fetchWhole(port, '/')
    await until('the application has the request', () => asked === 1)
    vi.advanceTimersByTime(100)
    expect((await silent).status).toBe(504)
    const half = raw(port, 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: close\r\n\r\n')
    await until('the application has the other request', () => asked === 2)
    vi.advanceTimersByTime(100)
    expect(await half).toMatch(/^HTTP\/1\.1 408 /)
  })

  it('closes the connection to the responder if the client goes away', async () => {
    const asked: string[] = []
    let closed = 0
    const { port, outcomes } = await site(request => {
      asked.push(request.params.PATH_INFO ?? '')
      request.socket.on('close', () => {
        closed++
      })
      if (request.params.PATH_INFO === '/begun') request.stdout('\r\nfirst')
    })
    const response = await open(port, '/begun')
    response.destroy()
    await until('the connection to the responder is closed', () => closed === 1)
    await until('the outcome', () => outcomes.length === 1)
    const early = http.get({ host: '127.0.0.1', port, path: '/early', agent: false }).on('error', () => {})
    await until('the responder has the second request', () => asked.includes('/early'))
    early.destroy()
    await until('its connection is closed', () => closed === 2)
    await until('its outcome', () => outcomes.length === 2)
    expect(outcomes.map(({ status }) => status)).toEqual([200, 499])
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
    outgoing.flushHeaders()
    await until('the application has the request', () => socket !== undefined)
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
