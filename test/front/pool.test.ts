import type net from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { fetchWhole } from '../support/http-client.ts'
import type { ScriptedRequest } from '../support/scripted-responder.ts'
import { closeSites, hello, scriptedSite as site, withResolvers } from '../support/scripted-site.ts'
import { until } from '../support/until.ts'

afterEach(closeSites)

describe('a pool of connections', () => {
  it('closes those that are idle for too long', async () => {
    const { port, gateway, responder } = await site(hello, { pool: { idleMs: 20 } })
    await fetchWhole(port, '/')
    await until('the connection is closed', () => responder.sockets.size === 0)
    expect(gateway.stats()).toMatchObject({ open: 0, idle: 0 })
    expect((await fetchWhole(port, '/')).status).toBe(200)
  })

  it('keeps no more than it may', async () => {
    const { promise: all, resolve } = withResolvers()
    let asked = 0
    const answer = async (request: ScriptedRequest): Promise<void> => {
      if (++asked === 8) resolve()
      await all
      hello(request)
    }
    const { port, gateway, responder } = await site(answer, { pool: { maxIdle: 2 } })
    const replies = await Promise.all(Array.from({ length: 8 }, () => fetchWhole(port, '/')))
    expect(replies.every(reply => reply.status === 200)).toBe(true)
    expect(responder.connections()).toBe(8)
    await until('two are left', () => responder.sockets.size === 2)
    expect(gateway.stats()).toMatchObject({ open: 2, idle: 2 })
  })

  it.each([
    ['closed by the responder', (socket: net.Socket) => socket.end()],
    ['reset by the responder', (socket: net.Socket) => socket.destroy()],
    ['with garbage on it', (socket: net.Socket) => socket.write('garbage')],
  ])('forgets an idle connection %s', async (_what, spoil) => {
    const { port, gateway, responder } = await site(hello)
    await fetchWhole(port, '/')
    expect(gateway.stats().idle).toBe(1)
    for (const socket of responder.sockets) spoil(socket)
    await until('it is forgotten', () => gateway.stats().open === 0)
    expect((await fetchWhole(port, '/')).status).toBe(200)
  })

  it('does not use a connection again whose reply ended before its body, or that has bytes left over', async () => {
    const { port, gateway, responder } = await site(request => {
      hello(request)
      if (request.params.PATH_INFO === '/more') request.stdout('after the end')
    })
    await fetchWhole(port, '/', { method: 'POST', body: [Buffer.alloc(5_000_000)] })
    await until('it is closed', () => responder.sockets.size === 0)
    await fetchWhole(port, '/more')
    await until('it is closed as well', () => responder.sockets.size === 0)
    expect(gateway.stats()).toMatchObject({ open: 0, idle: 0 })
  })
})
