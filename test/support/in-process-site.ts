/** An application file behind our own responder and gateway, all in the test's process: HTTP in, real sockets between. */

import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { loadApplication } from '../../src/app/load/load.ts'
import { createGateway, type Gateway } from '../../src/front/gateway.ts'
import type { Log } from '../../src/log.ts'
import { DEFAULT_LIMITS } from '../../src/server/limits.ts'
import { createResponder, type ResponderStats } from '../../src/server/responder.ts'
import { bind } from '../../src/server/sockets/listen.ts'

export interface InProcessSite {
  readonly port: number
  readonly target: { readonly kind: 'unix'; readonly path: string }
  readonly gateway: Gateway
  /** Messages at levels warn and error, of the responder and of the gateway, and the application's STDERR. */
  readonly messages: string[]
  stats(): ResponderStats
  close(): Promise<void>
}

/** `file` counts from the top folder of the repository. */
export async function inProcessSite(file: string, options: { readonly mount?: string } = {}): Promise<InProcessSite> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'site-'))
  const { mount } = options
  const messages: string[] = []
  const note = (_details: object, message: string): void => void messages.push(message)
  const log: Log = { debug() {}, info() {}, warn: note, error: note }
  const concurrency = { multithread: false, multiprocess: false, runOnce: false }
  const cwd = path.resolve(import.meta.dirname, '../..')
  const app = await loadApplication({ app: `./${file}`, interface: 'auto', cwd }, { concurrency, mount })
  const target = { kind: 'unix', path: path.join(folder, 'fcgi.sock') } as const
  const bound = await bind(target)
  const responder = createResponder({ app, log, limits: DEFAULT_LIMITS, debug: false })
  responder.attach(bound.server)
  const gateway = createGateway({ target, log, mount, onStderr: text => messages.push(text) })
  const { port } = await gateway.listen({ port: 0 })
  const close = async (): Promise<void> => {
    await gateway.close(1_000)
    await responder.drain(1_000)
    await bound.close()
    await rm(folder, { recursive: true, force: true })
  }
  return { port, target, gateway, messages, stats: () => responder.stats(), close }
}
