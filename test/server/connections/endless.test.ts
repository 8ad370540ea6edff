import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { KEEP_CONN, RecordType, Role } from '../../../src/fcgi/constants.ts'
import { encodePairs } from '../../../src/fcgi/pairs.ts'
import * as wire from '../../../src/fcgi/record.ts'
import { createServer, type FastCgiServer, type StartResponse, type WsgiEnviron } from '../../../src/index.ts'
import { probe } from '../../support/probe.ts'
import { until } from '../../support/until.ts'

const REQUEST = Buffer.from(
  wire.beginRequest(1, Role.responder, KEEP_CONN) +
    wire.record(
      RecordType.params,
      1,
      encodePairs([
        ['REQUEST_METHOD', 'GET'],
        ['REQUEST_URI', '/endless'],
      ]),
    ) +
    wire.streamEnd(RecordType.params, 1) +
    wire.streamEnd(RecordType.stdin, 1),
  'latin1',
)

let closed = 0

function application(environ: WsgiEnviron, startResponse: StartResponse): Iterable<string> {
  startResponse('200 OK', [['Content-Type', 'text/plain']])
  if (environ.REQUEST_URI !== '/endless') return ['hello']
  return (function* () {
    try {
      for (;;) yield 'x'.repeat(10_000)
    } finally {
      closed++
    }
  })()
}

let server: FastCgiServer
let folder = ''

async function listening(): Promise<{ kind: 'unix'; path: string }> {
  folder = await mkdtemp(path.join(os.tmpdir(), 'endless-'))
  closed = 0
  server = createServer(application, { interface: 'wsgi', gracefulTimeout: 0 })
  const target = { kind: 'unix', path: path.join(folder, 's.sock') } as const
  server.listen(target.path)
  await until('it listens', () => server.listening)
  return target
}

afterEach(async () => {
  server.close()
  await rm(folder, { recursive: true, force: true })
})

describe('a reply without end', () => {
  it('ends when its reader leaves, every time', async () => {
    const target = await listening()
    for (let round = 1; round <= 10; round++) {
      const client = connect(target.path)
      client.on('error', () => undefined)
      client.write(REQUEST)
      await until('it is being read', () => client.bytesRead > 200_000 || client.resume().destroyed)
      client.destroy()
      await until('the application was told', () => closed === round)
    }
    expect((await probe({ target, path: '/other' })).status).toBe(200)
  })

  it('leaves room for other requests while its reader takes all of it', async () => {
    const target = await listening()
    const client = connect(target.path).resume()
    client.on('error', () => undefined)
    client.write(REQUEST)
    await until('it is being read', () => client.bytesRead > 1_000_000)
    for (let at = 0; at < 5; at++) expect((await probe({ target, path: '/other' })).status).toBe(200)
    client.destroy()
    await until('the application was told', () => closed === 1)
  })
})
