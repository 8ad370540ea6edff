/** Methods and request bodies. */

import { randomUUID } from 'node:crypto'
import { expect } from 'vitest'
import { fetchWhole, keepAliveAgent, open } from '../../support/http-client.ts'
import { digestBody, digestOf, patternOf } from '../../support/pattern.ts'
import type { Suite } from '../prove-behind.ts'

const MiB = 1 << 20

export function bodies({ check, limits, site, callable, expectHello }: Suite): void {
  check('GET', async () => {
    const { status, headers, body } = await fetchWhole(site().port, '/hello')
    expect(status).toBe(200)
    expect(headers).toMatchObject({ 'content-type': 'text/plain', 'x-application': callable })
    expect(body.toString()).toBe(`Hello from ${callable}\n`)
  })

  check('HEAD has the headers of GET and no body, and the connection goes on', async () => {
    const agent = keepAliveAgent()
    const get = await fetchWhole(site().port, '/hello', { agent })
    const head = await fetchWhole(site().port, '/hello', { method: 'HEAD', agent })
    expect(head.status).toBe(200)
    expect(head.body.length).toBe(0)
    for (const name of ['content-type', 'content-length']) expect(head.headers[name]).toBe(get.headers[name])
    expect((await fetchWhole(site().port, '/hello', { agent })).body).toEqual(get.body)
    agent.destroy()
  })

  check('POST', async () => {
    const body = [Buffer.from('name=value&x=%20')]
    const reply = await fetchWhole(site().port, '/collect', { method: 'POST', headers: { 'Content-Length': 16 }, body })
    expect(reply.body.toString()).toBe('name=value&x=%20')
  })

  check('POST with an empty body', async () => {
    const reply = await fetchWhole(site().port, '/hash', { method: 'POST', headers: { 'Content-Length': 0 } })
    expect(JSON.parse(reply.body.toString())).toEqual(digestOf(0))
  })

  check('PUT, PATCH, DELETE and OPTIONS reach the application', async () => {
    for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
      const reply = await fetchWhole(site().port, '/inspect', { method })
      expect(JSON.parse(reply.body.toString()).method).toBe(method)
    }
  })

  check(
    'POST in chunks, without a length',
    async () => {
      const reply = await fetchWhole(site().port, '/hash', { method: 'POST', body: patternOf(limits.chunkedBody) })
      expect(JSON.parse(reply.body.toString())).toEqual(digestOf(limits.chunkedBody))
    },
    'chunkedBody',
  )

  check('64 MiB up, byte for byte', async () => {
    const size = 64 * MiB
    const headers = { 'Content-Length': size }
    const reply = await fetchWhole(site().port, '/hash', { method: 'POST', headers, body: patternOf(size) })
    expect(JSON.parse(reply.body.toString())).toEqual(digestOf(size))
  })

  check('64 MiB down, byte for byte', async () => {
    const response = await open(site().port, `/bytes?size=${64 * MiB}`)
    expect(await digestBody(response)).toEqual(digestOf(64 * MiB))
  })

  check('8 MiB up, then the same 8 MiB down', async () => {
    const size = 8 * MiB
    const headers = { 'Content-Length': size }
    const response = await open(site().port, '/collect', { method: 'POST', headers, body: patternOf(size) })
    expect(await digestBody(response)).toEqual(digestOf(size))
  })

  check(
    'a body sent back while it is still being read',
    async () => {
      const size = limits.streamingEcho
      const headers = { 'Content-Length': size }
      const response = await open(site().port, '/echo', { method: 'POST', headers, body: patternOf(size) })
      expect(await digestBody(response)).toEqual(digestOf(size))
    },
    'streamingEcho',
  )

  check(
    'an upload reaches the application while it comes',
    async () => {
      const id = randomUUID()
      const { conductor, port } = site()
      async function* inTwoParts(): AsyncGenerator<Buffer> {
        yield Buffer.alloc(100_000, 'a')
        await conductor.arrived(id, 'first-piece')
        conductor.open(id, 'first-piece')
        yield Buffer.alloc(100_000, 'b')
      }
      const path = `/pieces?${conductor.query(id)}`
      const options = { method: 'POST', headers: { 'Content-Length': 200_000 }, body: inTwoParts() }
      expect((await fetchWhole(port, path, options)).body.toString()).toBe('200000')
    },
    'streamsUploads',
  )

  check('a body that the application does not read', async () => {
    const size = 4 * MiB
    const headers = { 'Content-Length': size }
    const reply = await fetchWhole(site().port, '/ignore', { method: 'POST', headers, body: patternOf(size) })
    expect(reply).toMatchObject({ status: 200, body: Buffer.from('not read') })
    await expectHello()
  })

  check(
    'an upload above the limit of the configuration is refused',
    async () => {
      const headers = { 'Content-Length': 200 * MiB, Expect: '100-continue' }
      expect((await fetchWhole(site().port, '/hash', { method: 'POST', headers })).status).toBe(413)
    },
    'refusesLargeUploads',
  )
}
