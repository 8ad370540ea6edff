/** Several addresses behind one site, and several sites in one web server: the configurations for both. */

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import * as apache from '../support/apache.ts'
import * as caddy from '../support/caddy.ts'
import * as haproxy from '../support/haproxy.ts'
import { fetchWhole } from '../support/http-client.ts'
import * as lighttpd from '../support/lighttpd.ts'
import * as nginx from '../support/nginx.ts'
import { freePorts } from '../support/ports.ts'
import { stand } from '../support/runfcgi.ts'
import { createSite, type Site, STATIC_TEXT } from '../support/site.ts'
import { until } from '../support/until.ts'

const undo: (() => unknown)[] = []

afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

function makeSite(): Site {
  const site = createSite('node')
  undo.push(site.remove)
  return site
}

/** The application, which answers /who with this name. */
async function run(site: Site, name: string): Promise<() => Promise<void>> {
  const running = await stand(site, ['method=inline', 'ping=/ping'], { NAME: name })
  undo.push(running.stop)
  return running.stop
}

async function whoAt(port: number, Host = '127.0.0.1'): Promise<string> {
  const { status, body } = await fetchWhole(port, '/who', { headers: { Host } })
  return status === 200 ? body.toString() : String(status)
}

const FRONTS = {
  nginx: [nginx.nginx.missing, nginx.startBalanced],
  Apache: [apache.apacheProxy.missing, apache.startBalanced],
  lighttpd: [lighttpd.lighttpd.missing, lighttpd.startBalanced],
  Caddy: [caddy.caddy.missing, caddy.startBalanced],
  HAProxy: [haproxy.haproxy.missing, haproxy.startBalanced],
} as const

describe('an application at two addresses', () => {
  for (const [name, [missing, startBalanced]] of Object.entries(FRONTS)) {
    test.skipIf(missing !== undefined)(
      `behind ${name}: both are asked, and one does when the other has stopped`,
      async () => {
        const site = makeSite()
        const [second = 0] = await freePorts(1)
        await run(site, 'first')
        const stopSecond = await run({ ...site, port: second }, 'second')
        const server = await startBalanced(site, second)
        undo.push(server.stop)
        const seen = new Set<string>()
        await until('both have answered', async () => {
          // At once: lighttpd gives all to the first while that has nothing to do.
          const answers = Array.from({ length: 8 }, () => whoAt(server.port))
          for (const who of await Promise.all(answers)) seen.add(who)
          return seen.size > 1
        })
        expect(seen).toEqual(new Set(['first', 'second']))
        await stopSecond()
        const answers = []
        for (let i = 0; i < 20; i++) answers.push(await whoAt(server.port))
        // Apache sends no request twice: one may find out.
        const told = name === 'Apache' ? answers.filter((who, at) => who !== '503' || at > 1) : answers
        expect(new Set(told)).toEqual(new Set(['first']))
      },
    )
  }
})

test.skipIf(lighttpd.lighttpd.missing !== undefined)(
  'several sites in one lighttpd, told apart by their names',
  async () => {
    const site = makeSite()
    mkdirSync(join(site.folder, 'other'))
    const other = { ...site, socket: join(site.folder, 'other/site.sock') }
    await run(site, 'one')
    await run(other, 'two')
    const server = await lighttpd.startSites(site, { 'one.example': site.socket, 'two.example': other.socket })
    undo.push(server.stop)
    const [port = 0] = server.ports
    expect(await whoAt(port, 'one.example')).toBe('one')
    expect(await whoAt(port, `www.two.example:${port}`)).toBe('two')
    expect(await whoAt(port, 'three.example')).toBe('404')
    const file = await fetchWhole(port, '/static/hello.txt', { headers: { Host: 'two.example' } })
    expect(file.body.toString()).toBe(STATIC_TEXT)
  },
)
