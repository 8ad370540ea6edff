/**
 * Reloads under load, behind real web servers: eight clients send GET and POST requests while the application is replaced
 * again and again, and every reply is counted. STORM_RELOADS=30 makes a minute of it.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { apacheProxyReuse } from '../support/apache.ts'
import { haproxy } from '../support/haproxy.ts'
import { lighttpd } from '../support/lighttpd.ts'
import { nginxKeepAlive } from '../support/nginx.ts'
import { stand } from '../support/runfcgi.ts'
import { createSite } from '../support/site.ts'
import { until } from '../support/until.ts'
import type { WebServerKind } from '../support/web-server.ts'
import { Load } from './storm-load.ts'

const METHODS = ['threaded', 'prefork'] as const
const RELOADS = Number(process.env.STORM_RELOADS ?? 4)
const CLIENTS = 8

/** Between the reloads of the long form, which is about what happens while nothing is reloaded as well. */
const LONG_PAUSE_MS = 2_000

function storm(kind: WebServerKind, method: string): void {
  test(`method=${method} behind ${kind.name} answers every request while it is reloaded`, async () => {
    const site = createSite('node')
    const program = await stand(site, [`method=${method}`, 'maxchildren=2', 'log-level=info'])
    await until('it serves', () => program.output().includes('"ready"'))
    const server = await kind.start(site)
    const load = new Load(server.port, CLIENTS)
    try {
      for (let generation = 2; generation <= RELOADS + 1; generation++) {
        process.kill(program.pid, 'SIGHUP')
        await until(`generation ${generation} serves`, () =>
          program.output().includes(`generation ${generation} serves`),
        )
        const before = load.answered
        await until('requests are answered', () => load.answered > before + CLIENTS)
        if (RELOADS > 10) await sleep(LONG_PAUSE_MS)
      }
    } finally {
      await load.stop()
      await server.stop()
      await program.stop()
      site.remove()
    }
    const { get, post, failures } = load.tally
    console.log(`${kind.name}, ${method}: ${RELOADS} reloads, GET ${JSON.stringify(get)}, POST ${JSON.stringify(post)}`)
    expect(failures).toEqual([])
    expect(get.success).toBeGreaterThan(CLIENTS)
    expect(post.success).toBeGreaterThan(CLIENTS)
  }, 300_000)
}

for (const kind of [nginxKeepAlive, apacheProxyReuse, lighttpd, haproxy] satisfies WebServerKind[]) {
  describe.skipIf(kind.missing !== undefined)(`reloads behind ${kind.name}`, () => {
    for (const method of METHODS) storm(kind, method)
  })
}
