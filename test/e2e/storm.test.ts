/**
 * Reloads under load, behind real web servers: eight clients send GET and POST requests while the application is replaced
 * again and again, and every reply is counted. RUNFCGI_STORM_RELOADS=30 makes a minute of it.
 */

import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { apacheProxyReuse } from '../support/apache.ts'
import { fetchWhole, keepAliveAgent } from '../support/http-client.ts'
import { lighttpd } from '../support/lighttpd.ts'
import { nginxKeepAlive } from '../support/nginx.ts'
import { stand } from '../support/runfcgi.ts'
import { createSite } from '../support/site.ts'
import { until } from '../support/until.ts'
import type { WebServerKind } from '../support/web-server.ts'

const METHODS = ['threaded', 'prefork'] as const
const RELOADS = Number(process.env.RUNFCGI_STORM_RELOADS ?? 4)
const CLIENTS = 8

/** How a request can end. */
type Outcome = 'success' | 'reset' | 'refused' | 'write error' | 'read timeout' | 'unexpected'

interface Tally {
  readonly get: Record<string, number>
  readonly post: Record<string, number>
  readonly details: string[]
}

function outcomeOf(error: unknown): Outcome {
  const { code = '' } = error as NodeJS.ErrnoException
  if (code === 'ECONNRESET') return 'reset'
  if (code === 'ECONNREFUSED') return 'refused'
  if (code === 'EPIPE') return 'write error'
  return /in vain/.test(String(error)) ? 'read timeout' : 'unexpected'
}

/** One client, one connection, GET and POST in turn until told to stop. */
async function client(port: number, tally: Tally, done: () => boolean): Promise<void> {
  const agent = keepAliveAgent()
  const body = randomBytes(16_384)
  const hash = createHash('sha256').update(body).digest('hex')
  const count = (kind: 'get' | 'post', outcome: Outcome, details: string): void => {
    tally[kind][outcome] = (tally[kind][outcome] ?? 0) + 1
    if (outcome !== 'success' && tally.details.length < 20) tally.details.push(`${kind} ${details}`)
  }
  while (!done()) {
    for (const kind of ['get', 'post'] as const) {
      try {
        const reply =
          kind === 'get'
            ? await fetchWhole(port, '/hello', { agent })
            : await fetchWhole(port, '/hash', {
                method: 'POST',
                body: [body],
                agent,
                headers: { 'Content-Length': body.length },
              })
        const right = reply.status === 200 && (kind === 'get' || reply.body.toString().includes(hash))
        count(kind, right ? 'success' : 'unexpected', `${reply.status} ${reply.body.toString().slice(0, 200)}`)
      } catch (error) {
        count(kind, outcomeOf(error), String(error))
      }
    }
  }
  agent.destroy()
}

function storm(kind: WebServerKind, method: string): void {
  test(`method=${method} behind ${kind.name} answers every request while it is reloaded`, async () => {
    const site = createSite('node')
    const program = await stand(site, [`method=${method}`, 'maxchildren=2', 'log-level=info'])
    await until('it serves', () => program.output().includes('"ready"'))
    const server = await kind.start(site)
    const tally: Tally = { get: {}, post: {}, details: [] }
    let over = false
    try {
      const clients = Array.from({ length: CLIENTS }, () => client(server.port, tally, () => over))
      for (let generation = 2; generation <= RELOADS + 1; generation++) {
        process.kill(program.pid, 'SIGHUP')
        await until(`generation ${generation} serves`, () =>
          program.output().includes(`generation ${generation} serves`),
        )
        await sleep(RELOADS > 10 ? 2_000 : 200)
      }
      over = true
      await Promise.all(clients)
    } finally {
      over = true
      await server.stop()
      await program.stop()
      site.remove()
    }
    console.log(
      `${kind.name}, ${method}: ${RELOADS} reloads, GET ${JSON.stringify(tally.get)}, POST ${JSON.stringify(tally.post)}`,
    )
    expect(tally.details).toEqual([])
    expect(tally.get.success).toBeGreaterThan(CLIENTS)
    expect(tally.post.success).toBeGreaterThan(CLIENTS)
  }, 300_000)
}

for (const kind of [nginxKeepAlive, apacheProxyReuse, lighttpd] satisfies WebServerKind[]) {
  describe.skipIf(kind.missing !== undefined)(`reloads behind ${kind.name}`, () => {
    for (const method of METHODS) storm(kind, method)
  })
}
