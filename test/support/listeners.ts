/**
 * The same Node listener behind two servers: node:http, and the FastCGI responder with the gateway in front of it (HTTP in,
 * FastCGI over a Unix socket, the adapter). What a client and the listener see must not differ: "runs unchanged".
 */

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Application } from '../../src/app/exchange.ts'
import { type NodeListener, nodeApplication } from '../../src/app/node/node.ts'
import { createGateway } from '../../src/front/gateway.ts'
import { silentLog } from '../../src/server/create-server.ts'
import { DEFAULT_LIMITS } from '../../src/server/limits.ts'
import { createResponder } from '../../src/server/responder.ts'
import { bind } from '../../src/server/sockets/listen.ts'
import { options } from './adapter-options.ts'

export interface Site {
  /** Of the HTTP server, on 127.0.0.1. */
  readonly port: number
  /** What was written to the web server's error log. */
  readonly stderr: string[]
  close(): Promise<void>
}

export async function overHttp(listener: NodeListener): Promise<Site> {
  const server = createServer(listener as RequestListener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
  return { port: (server.address() as AddressInfo).port, stderr: [], close }
}

export function overFastCgi(listener: NodeListener): Promise<Site> {
  return applicationOverFastCgi(nodeApplication(listener, options))
}

/** Any application, below `mount`, behind the gateway. */
export async function applicationOverFastCgi(app: Application, mount = ''): Promise<Site> {
  const folder = mkdtempSync(join(tmpdir(), 'listener-'))
  const path = join(folder, 's')
  const bound = await bind({ kind: 'unix', path })
  const responder = createResponder({ app, log: silentLog, limits: DEFAULT_LIMITS, debug: false })
  responder.attach(bound.server)
  const stderr: string[] = []
  const gateway = createGateway({
    target: { kind: 'unix', path },
    log: silentLog,
    mount,
    onStderr: text => void stderr.push(text),
  })
  const { port } = await gateway.listen({ host: '127.0.0.1', port: 0 })
  const close = async (): Promise<void> => {
    await gateway.close(0)
    await responder.drain(0)
    await bound.close()
    await app.close?.()
    rmSync(folder, { recursive: true })
  }
  return { port, stderr, close }
}
