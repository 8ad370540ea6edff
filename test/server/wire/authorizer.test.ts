/** The role Authorizer on the wire (FastCGI 1.0 §6.3): lighttpd ends an empty STDIN, mod_fcgid sends none at all. */

import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Authorizer, authorizing } from '../../../src/app/authorizer.ts'
import type { AdapterOptions } from '../../../src/app/exchange.ts'
import { launch, project } from '../../cli/command.ts'
import { probe } from '../../support/probe.ts'
import { hello, keptRequests, serving } from '../../support/responder.ts'
import { until } from '../../support/until.ts'
import { begin, type Client, connectClient, PLAIN, params, type Reply, stdin, stdinEnd } from '../../support/wire.ts'

const options: AdapterOptions = { concurrency: { multithread: false, multiprocess: false, runOnce: false } }

const gate: Authorizer = ({ REQUEST_URI }) => (REQUEST_URI === '/in' ? { variables: { USER: 'ann' } } : false)

const app = authorizing(hello, gate, options)

const asked = (id: number, uri: string, { keep = true, role = 2 } = {}): Buffer =>
  Buffer.concat([begin(id, { role, keep }), params(id, { ...PLAIN, REQUEST_URI: uri })])

const verdict = ({ status, headers, protocolStatus }: Reply) => [status, headers.get('variable-user'), protocolStatus]

const STDIN = [
  ['no STDIN', Buffer.alloc(0)],
  ['an empty STDIN', stdinEnd(1)],
  ['a body that is not its business', Buffer.concat([stdin(1, 'x'.repeat(100_000)), stdinEnd(1)])],
] as const

describe('an authorizer', () => {
  it.each(STDIN)('decides about a request with %s', async (_, rest) => {
    const { connect } = await serving(app)
    const client = await connect()
    for (const uri of ['/in', '/out', '/in']) {
      client.send(asked(1, uri), rest)
      expect(verdict(await client.reply())).toEqual(uri === '/in' ? [200, 'ann', 0] : [403, null, 0])
    }
    expect((await client.ask({ id: 1 })).text).toBe('hello')
  })

  it.each(STDIN)('answers whole before it closes a connection that is not kept, after %s', async (_, rest) => {
    const { connect } = await serving(app, { over: 'tcp' })
    const client = await connect()
    client.socket.allowHalfOpen = false
    client.send(Buffer.concat([asked(1, '/in', { keep: false }), rest]))
    expect(verdict(await client.reply())).toEqual([200, 'ann', 0])
    expect(await client.closed()).toBe('end')
  })

  it('answers a peer that has closed its sending side', async () => {
    const { connect } = await serving(app)
    const client = await connect()
    client.send(asked(1, '/in'))
    client.socket.end()
    expect(verdict(await client.reply())).toEqual([200, 'ann', 0])
  })

  it('is not started for a request that is cut off in its variables', async () => {
    const { app: kept, requests } = keptRequests()
    const { connect, responder } = await serving({ ...kept, authorizes: true })
    const client = await connect()
    client.send(asked(1, '/in').subarray(0, 40))
    client.socket.end()
    await once(client.socket, 'close')
    await until('nothing is open', () => responder.stats().connections === 0)
    expect(requests).toEqual([])
  })

  it('that there is not is said with a reply that lighttpd understands, and FCGI_UNKNOWN_ROLE', async () => {
    const { connect } = await serving(hello)
    const client = await connect()
    client.send(asked(1, '/in'), stdinEnd(1))
    expect(await client.reply()).toMatchObject({ protocolStatus: 3, status: 501 })
  })

  it('is asked by probe, when that is told to', async () => {
    const { target } = await serving(app)
    const params = { FCGI_ROLE: 'AUTHORIZER', REQUEST_URI: '/in' }
    const reply = await probe({ target: { kind: 'unix', path: (target as { path: string }).path }, params })
    expect([reply.status, reply.headers[0]]).toEqual([200, ['Variable-USER', 'ann']])
  })

  it('leaves the role Filter unknown', async () => {
    const { connect } = await serving(app)
    const client = await connect()
    client.send(asked(1, '/in', { role: 3 }), stdinEnd(1))
    expect((await client.reply()).protocolStatus).toBe(3)
  })
})

describe('however the application is run', () => {
  const gated = `
    export const authorizer = ({ REQUEST_URI }) => (REQUEST_URI === '/in' ? { variables: { USER: 'ann' } } : false)
    export default (request, response) => response.end('hello')`

  const METHODS = [[], ['method=threaded'], ['method=prefork'], ['method=prefork', 'concurrency=1']]

  it.each(METHODS.map(settings => [settings.join(' ') || 'one process', settings] as const))(
    'an export named authorizer decides, and a reload may take it away: %s',
    async (_, settings) => {
      const folder = project({ 'app.mjs': gated })
      const socket = join(folder.path, 's')
      const running = launch(['stand', `socket=${socket}`, 'maxchildren=1', ...settings], { cwd: folder.path })
      await running.says('"ready"')
      await until('the socket is there', () => existsSync(socket))
      let client: Client = await connectClient({ path: socket })
      client.send(asked(1, '/in'), stdinEnd(1))
      expect(verdict(await client.reply())).toEqual([200, 'ann', 0])
      client.send(asked(1, '/out'), stdinEnd(1))
      expect(verdict(await client.reply())).toEqual([403, null, 0])
      expect((await client.ask()).text).toBe('hello')
      client.socket.destroy()
      if (settings.length > 0) {
        folder.file('app.mjs', `export default (request, response) => response.end('hello')`)
        running.kill('SIGHUP')
        await running.says('generation 2 serves')
        client = await connectClient({ path: socket })
        client.send(asked(1, '/in'), stdinEnd(1))
        expect((await client.reply()).protocolStatus).toBe(3)
        client.socket.destroy()
      }
      running.kill('SIGTERM')
      expect((await running.outcome()).code).toBe(0)
    },
  )

  it('a file may have an authorizer only', async () => {
    const folder = project({ 'app.mjs': gated.replace(/export default.*/, '') })
    const socket = join(folder.path, 's')
    const running = launch(['stand', `socket=${socket}`], { cwd: folder.path })
    await running.says('"ready"')
    const client = await connectClient({ path: socket })
    client.send(asked(1, '/in'), stdinEnd(1))
    expect(verdict(await client.reply())).toEqual([200, 'ann', 0])
    expect((await client.ask()).status).toBe(501)
    client.socket.destroy()
    running.kill('SIGTERM')
    await running.outcome()
  })
})
