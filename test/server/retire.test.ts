/** A responder that leaves its connections to others: none is closed, and none is let go of in the middle of a request. */

import type { Socket } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Application, Exchange } from '../../src/app/exchange.ts'
import { serving } from '../support/responder.ts'
import { soon, until } from '../support/until.ts'
import { begin, params, request, stdinEnd } from '../support/wire.ts'

const HEAD = 'Status: 200 OK\r\n\r\n'

/** Answers at once, but for /kept: that is left to the test. */
class Sometimes implements Application {
  readonly interface = 'wsgi'
  readonly kept: Exchange[] = []

  handle(exchange: Exchange) {
    if (exchange.params.values.includes('/kept')) this.kept.push(exchange)
    else answer(exchange)
    return { onStdin: () => true, onStdinEnd() {}, onDrain() {}, onAbort() {} }
  }
}

function answer(exchange: Exchange): void {
  exchange.head(200, HEAD, -1)
  exchange.end('answered')
}

/** Sockets that were let go of; closed when the test is finished. */
function heir(): { readonly sockets: Socket[]; readonly take: (socket: Socket) => void } {
  const sockets: Socket[] = []
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
  })
  return { sockets, take: socket => void sockets.push(socket) }
}

describe('a responder that retires', () => {
  it('lets go of idle connections at once, and of a busy one when its request is answered', async () => {
    const app = new Sometimes()
    const { responder, connect } = await serving(app)
    const [idle, silent, busy] = await Promise.all([connect(), connect(), connect()])
    await idle.ask()
    busy.send(request({ params: { PATH_INFO: '/kept' } }))
    await until(
      'it has begun, and all are accepted',
      () => app.kept.length === 1 && responder.stats().connections === 3,
    )
    const { sockets, take } = heir()
    const retired = responder.retire(take)
    expect(sockets).toHaveLength(2)
    answer(app.kept[0] as Exchange)
    expect((await busy.reply()).text).toBe('answered')
    await soon('the end', retired)
    expect(sockets).toHaveLength(3)
    expect([idle.ending, silent.ending, busy.ending]).toEqual([undefined, undefined, undefined])
  })

  it('answers a request that it has begun to read before it lets go', async () => {
    const { responder, connect } = await serving(new Sometimes())
    const client = await connect()
    await client.ask()
    client.send(Buffer.concat([begin(1), params(1)]).subarray(0, 20))
    await until('it is read', () => responder.stats().connections === 1)
    await new Promise(resolve => setImmediate(() => setImmediate(resolve)))
    const { sockets, take } = heir()
    const retired = responder.retire(take)
    client.socket.write(Buffer.concat([Buffer.concat([begin(1), params(1)]).subarray(20), stdinEnd(1)]))
    expect((await client.reply()).text).toBe('answered')
    await soon('the end', retired)
    expect(sockets).toHaveLength(1)
  })

  it('lets go of few at a time, and serves the others meanwhile', async () => {
    const { responder, connect } = await serving(new Sometimes())
    const clients = await Promise.all(Array.from({ length: 5 }, () => connect()))
    for (const client of clients) await client.ask()
    const { sockets, take } = heir()
    const retired = responder.retire(take, 2)
    expect(sockets).toHaveLength(2)
    expect((await clients.at(-1)?.ask())?.text).toBe('answered')
    for (const left of [3, 4, 5]) {
      responder.arrived()
      expect(sockets).toHaveLength(left)
    }
    await soon('the end', retired)
  })
})

describe('a responder that sheds', () => {
  it('lets go of as many as are wanted of those that are in use, and goes on serving the others', async () => {
    const { responder, connect } = await serving(new Sometimes())
    const idle = await Promise.all(Array.from({ length: 3 }, () => connect()))
    const busy = await Promise.all(Array.from({ length: 5 }, () => connect()))
    // In use is what has asked lately.
    await until('five are in use', async () => {
      await Promise.all(busy.map(client => client.ask()))
      return responder.busyConnections() === 5
    })
    const { sockets, take } = heir()
    responder.shed(take, 2)
    expect(sockets).toHaveLength(2)
    expect(responder.stats().connections).toBe(6)
    expect(responder.busyConnections()).toBe(3)
    for (const client of [...idle, ...busy.slice(2), await connect()])
      expect((await client.ask()).text).toBe('answered')
    expect(sockets).toHaveLength(2)
  })

  it('leaves a connection with a request on it until that is answered', async () => {
    const app = new Sometimes()
    const { responder, connect } = await serving(app)
    const client = await connect()
    client.send(request({ params: { PATH_INFO: '/kept' } }))
    await until('it has begun', () => app.kept.length === 1)
    const { sockets, take } = heir()
    responder.shed(take, 1)
    expect(sockets).toHaveLength(0)
    answer(app.kept[0] as Exchange)
    expect((await client.reply()).text).toBe('answered')
    await until('it has left', () => sockets.length === 1)
    expect(client.ending).toBeUndefined()
  })

  it('keeps what could not leave for a second', async () => {
    const app = new Sometimes()
    const { responder, connect } = await serving(app)
    const [client, witness] = [await connect(), await connect()]
    client.send(request({ params: { PATH_INFO: '/kept' } }))
    await until('it has begun', () => app.kept.length === 1)
    const { sockets, take } = heir()
    responder.shed(take, 1)
    await until('nothing is in use for a second', async () => responder.busyConnections() === 0)
    const since = performance.now()
    await until(
      'a second has gone',
      async () => (await witness.ask()).status === 200 && performance.now() - since > 1_500,
    )
    answer(app.kept[0] as Exchange)
    expect((await client.reply()).text).toBe('answered')
    expect((await client.ask()).text).toBe('answered')
    expect(sockets).toHaveLength(0)
  })
})
