/**
 * Upgrades in place under load, behind real web servers: eight clients send GET and POST requests while one process after
 * another takes over the sockets and the open connections. UPGRADES=20 makes it long.
 */

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { apacheProxyReuse } from '../support/apache.ts'
import { lighttpd } from '../support/lighttpd.ts'
import { nginxKeepAlive } from '../support/nginx.ts'
import { isAlive } from '../support/processes.ts'
import { stand } from '../support/runfcgi.ts'
import { createSite } from '../support/site.ts'
import { until } from '../support/until.ts'
import type { WebServerKind } from '../support/web-server.ts'
import { Load } from './storm-load.ts'

const METHODS = ['threaded', 'prefork', 'inline'] as const
const UPGRADES = Number(process.env.UPGRADES ?? 2)
const CLIENTS = 8

const pidIn = (file: string): number => (existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0)

/** The successor is not a child of the test: it is known by the pidfile. */
async function end(pidfile: string): Promise<void> {
  const pid = pidIn(pidfile)
  if (pid === 0) return
  process.kill(pid, 'SIGTERM')
  await until('the last one ends', () => !isAlive(pid))
}

function upgrades(kind: WebServerKind, method: string): void {
  test(`method=${method} behind ${kind.name} answers every request while processes succeed each other`, async () => {
    const site = createSite('node')
    const pidfile = join(site.folder, 'site.pid')
    const program = await stand(site, [`method=${method}`, 'maxchildren=2', `pidfile=${pidfile}`])
    await until('it serves', () => pidIn(pidfile) === program.pid)
    const server = await kind.start(site)
    const load = new Load(server.port, CLIENTS)
    try {
      for (let upgrade = 1; upgrade <= UPGRADES; upgrade++) {
        const pid = pidIn(pidfile)
        const before = load.answered
        process.kill(pid, 'SIGUSR2')
        await until('another has taken its place', () => ![0, pid].includes(pidIn(pidfile)))
        await until('the old one ends', () => !isAlive(pid))
        await until('requests are answered', () => load.answered > before + CLIENTS)
      }
    } finally {
      await load.stop()
      await end(pidfile)
      await server.stop()
      await program.stop()
    }
    const { get, post, failures } = load.tally
    console.log(
      `${kind.name}, ${method}: ${UPGRADES} upgrades, GET ${JSON.stringify(get)}, POST ${JSON.stringify(post)}`,
    )
    expect(failures).toEqual([])
    expect(existsSync(pidfile)).toBe(false)
    if (site.socket !== undefined) expect(existsSync(site.socket)).toBe(false)
    site.remove()
  }, 300_000)
}

for (const kind of [nginxKeepAlive, apacheProxyReuse, lighttpd] satisfies WebServerKind[]) {
  describe.skipIf(kind.missing !== undefined)(`upgrades behind ${kind.name}`, () => {
    for (const method of METHODS) upgrades(kind, method)
  })
}
