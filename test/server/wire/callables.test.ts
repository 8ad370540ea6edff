/** What the rules ask of replies, held against each of the three callables on the wire: rules 6, 8, 9, 14, 15, 17. */

import type { IncomingMessage, ServerResponse } from 'node:http'
import { describe, expect, it } from 'vitest'
import type { Application, InterfaceName } from '../../../src/app/exchange.ts'
import { toApplication } from '../../../src/app/load/load.ts'
import { serving } from '../../support/responder.ts'
import { PLAIN, type Reply } from '../../support/wire.ts'

interface Answer {
  readonly status?: number
  readonly headers?: readonly (readonly [name: string, value: string])[]
  readonly body?: string
}

/** The same answer by each kind of callable. */
const callables: Record<InterfaceName, (answer: () => Answer) => unknown> = {
  wsgi: answer => (_environ: unknown, startResponse: (status: string, headers: unknown) => void) => {
    const { status = 200, headers = [], body = '' } = answer()
    startResponse(`${status} Whatever`, headers)
    return [body]
  },
  node: answer => (_request: IncomingMessage, response: ServerResponse) => {
    const { status = 200, headers = [], body = '' } = answer()
    response.statusCode = status
    for (const [name, value] of headers) response.appendHeader(name, value)
    response.end(body)
  },
  fetch: answer => () => {
    const { status = 200, headers = [], body = '' } = answer()
    // Of a string a Response makes text/plain by itself.
    const none = status === 204 || status === 304 || body === ''
    return new Response(none ? null : body, { status, headers: headers.map(([name, value]) => [name, value]) })
  },
}

const HOP_BY_HOP = ['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'proxy-connection', 'te', 'trailer']

describe.each(Object.keys(callables) as InterfaceName[])('a callable of kind %s', kind => {
  const make = (answer: () => Answer): Promise<Application> =>
    toApplication(callables[kind](answer), kind, {
      concurrency: { multithread: false, multiprocess: false, runOnce: false },
    })

  async function ask(answer: Answer, method = 'GET'): Promise<Reply> {
    const { connect } = await serving(await make(() => answer))
    const reply = await (await connect()).ask({ params: { ...PLAIN, REQUEST_METHOD: method } })
    for (const name of HOP_BY_HOP) expect(reply.headers.has(name)).toBe(false)
    return reply
  }

  it('answers in one write, its head whole in the first record', async () => {
    const { connect } = await serving(await make(() => ({ headers: [['Content-Type', 'text/plain']], body: 'hello' })))
    const client = await connect()
    for (let round = 0; round < 5; round++) {
      const before = client.chunks.length
      const reply = await client.ask()
      expect([reply.status, reply.text]).toEqual([200, 'hello'])
      expect(reply.records[0]?.content.toString('latin1')).toMatch(/^Status: 200 .*\r\n\r\nhello$/s)
      expect(client.chunks.length - before).toBe(1)
    }
  })

  it('has no body for HEAD', async () => {
    const reply = await ask({ headers: [['Content-Type', 'text/plain']], body: 'dropped' }, 'HEAD')
    expect(reply.status).toBe(200)
    expect(reply.body.length).toBe(0)
  })

  it.each([204, 304])('has no body with status %i', async status => {
    const reply = await ask({ status, body: 'dropped' })
    expect(reply.status).toBe(status)
    expect(reply.body.length).toBe(0)
    expect(Number(reply.headers.get('Content-Length') ?? 0)).toBe(0)
  })

  it('has the exact Content-Length or none', async () => {
    const reply = await ask({ body: 'snow \u2603' })
    expect(reply.text).toBe('snow \u2603')
    expect(Number(reply.headers.get('Content-Length') ?? 8)).toBe(8)
  })

  it('keeps three Set-Cookie headers apart', async () => {
    const cookies = ['a=1', 'b=2; Path=/', 'c=3'].map(value => ['Set-Cookie', value] as const)
    expect((await ask({ headers: cookies })).headers.getSetCookie()).toEqual(['a=1', 'b=2; Path=/', 'c=3'])
  })

  it('does not pass hop-by-hop headers on', async () => {
    const headers = [
      ['Connection', 'close'],
      ['Keep-Alive', 'timeout=5'],
      ['X-Kept', 'yes'],
    ] as const
    expect((await ask({ headers, body: 'x' })).headers.get('X-Kept')).toBe('yes')
  })

  it.each([
    ['X-A', 'a\r\nSet-Cookie: evil=1'],
    ['X-A', 'a\nb'],
    ['X-A', 'a\0b'],
    ['X-A\r\nSet-Cookie', 'evil=1'],
    ['X A', 'b'],
  ])('answers 500 to a header that would break the block (%j: %j)', async (name, value) => {
    const reply = await ask({ headers: [[name, value]] })
    expect(reply.status).toBe(500)
    expect(reply.headers.has('Set-Cookie')).toBe(false)
    expect(reply.stderr).not.toBe('')
  })

  it('has nothing invented for it', async () => {
    const reply = await ask({ body: '' })
    const names = [...reply.headers.keys()].filter(name => name !== 'content-length')
    expect(names).toEqual(['status'])
  })
})
