import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { launch, project } from '../cli/command.ts'
import { probe } from '../support/probe.ts'
import { hello, keptRequests, serving } from '../support/responder.ts'
import { until } from '../support/until.ts'
import { begin, connectClient, PLAIN, params, request, stdinEnd } from '../support/wire.ts'

const asking = (uri: string, more = {}) => ({
  ...PLAIN,
  REQUEST_URI: uri,
  SCRIPT_NAME: uri.replace(/\?.*/, ''),
  ...more,
})

describe('ping', () => {
  it('is answered without the application, whatever the query', async () => {
    const { connect } = await serving(hello, { ping: '/ping' })
    const client = await connect()
    for (const uri of ['/ping', '/ping?now']) {
      const reply = await client.ask({ params: asking(uri) })
      expect([reply.status, reply.text, reply.headers.get('content-length')]).toEqual([200, 'pong\n', '5'])
    }
    const head = await client.ask({ params: asking('/ping', { REQUEST_METHOD: 'HEAD' }) })
    expect([head.status, head.text, head.headers.get('content-length')]).toEqual([200, '', '5'])
  })

  it('is found without REQUEST_URI, from SCRIPT_NAME and PATH_INFO', async () => {
    const { connect } = await serving(hello, { ping: '/app/ping' })
    const asked = { REQUEST_METHOD: 'GET', SCRIPT_NAME: '/app', PATH_INFO: '/ping' }
    expect((await (await connect()).ask({ params: asked })).text).toBe('pong\n')
  })

  it('is nothing special elsewhere, nor when it is not set', async () => {
    const { connect } = await serving(hello, { ping: '/ping' })
    const client = await connect()
    for (const uri of ['/', '/ping/', '/pin', '/a/ping', '//ping', '/ping%20'])
      expect((await client.ask({ params: asking(uri) })).text).toBe('hello')
    const { connect: other } = await serving(hello)
    expect((await (await other()).ask({ params: asking('/ping') })).text).toBe('hello')
  })

  it('takes and drops a body', async () => {
    const { connect } = await serving(hello, { ping: '/ping' })
    const client = await connect()
    const body = Buffer.alloc(300_000)
    expect((await client.ask({ params: asking('/ping', { REQUEST_METHOD: 'POST' }), body })).text).toBe('pong\n')
    expect((await client.ask()).text).toBe('hello')
  })

  it('is 503 on a connection that is still open while the server stops', async () => {
    const { app, nth } = keptRequests()
    const { connect, responder } = await serving(app, { ping: '/ping' })
    const client = await connect()
    client.send(request({ id: 1 }), begin(2), params(2, asking('/ping')).subarray(0, 30))
    const kept = await nth(0)
    const drained = responder.drain(60_000)
    client.send(params(2, asking('/ping')).subarray(30), stdinEnd(2))
    expect((await client.reply(2)).status).toBe(503)
    kept.reply('last')
    expect((await client.reply(1)).text).toBe('last')
    await drained
  })

  it('never answers an authorizer', async () => {
    const { connect } = await serving({ ...hello, authorizes: true }, { ping: '/ping' })
    const client = await connect()
    client.send(begin(1, { role: 2 }), params(1, asking('/ping')))
    expect((await client.reply()).text).toBe('hello')
  })

  it.each(['prefork', 'threaded'])(
    'is answered while the only child is busy, method=%s concurrency=1',
    async method => {
      const wait = `import { existsSync, writeFileSync } from 'node:fs'
      export default async (request, response) => {
        writeFileSync('begun', '')
        while (!existsSync('go')) await new Promise(resolve => setTimeout(resolve, 5))
        response.end('done')
      }`
      const folder = project({ 'app.mjs': wait })
      const socket = join(folder.path, 's')
      const settings = ['ping=/ping', `method=${method}`, 'maxchildren=1', 'concurrency=1', 'daemonize=false']
      const running = launch(['start', `socket=${socket}`, ...settings], { cwd: folder.path })
      await running.says('"ready"')
      const client = await connectClient({ path: socket })
      client.send(request())
      await until('the application is at work', () => existsSync(join(folder.path, 'begun')))
      expect(String((await probe({ target: { kind: 'unix', path: socket }, path: '/ping' })).body)).toBe('pong\n')
      folder.file('go', '')
      expect((await client.reply()).text).toBe('done')
      client.socket.destroy()
      running.kill('SIGTERM')
      expect((await running.outcome()).code).toBe(0)
    },
  )
})
