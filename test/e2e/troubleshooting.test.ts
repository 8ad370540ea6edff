/**
 * The section "Troubleshooting" of the README: each row is brought about with the real web server, and its message
 * is found in that server's log.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { apacheProxy } from '../support/apache.ts'
import type { RunningProgram } from '../support/child-process.ts'
import { fetchWhole } from '../support/http-client.ts'
import { mainConfiguration, nginx } from '../support/nginx.ts'
import { stand } from '../support/runfcgi.ts'
import { createSite, type Site } from '../support/site.ts'
import { unprivileged } from '../support/unprivileged.ts'
import { until } from '../support/until.ts'
import { findProgram, type Launched, launch } from '../support/web-server.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** The rows of the section: who says it, what, what the client gets. */
function rowsOf(server: string): { status: number; message: string }[] {
  const [, after = ''] = readFileSync(join(root, 'README.md'), 'utf8').split('\n## Troubleshooting\n')
  const [section = ''] = after.split('\n## ')
  return section
    .split('\n')
    .map(line => line.split('|').map(cell => cell.trim()))
    .filter(([, who]) => who?.startsWith(server))
    .map(([, who = '', message = '']) => ({ status: Number(/\d+$/.exec(who)), message: message.replaceAll('`', '') }))
}

const APP = `
export default (request, response) => {
  if (request.url === '/kill') process.kill(process.pid, 'SIGKILL')
  else if (request.url === '/header') response.setHeader('X-Large', 'x'.repeat(20_000)).end()
  else if (request.url !== '/slow') response.end(request.url)
}`

/** How a message is brought about. */
interface Cause {
  /** What stands in the location; default: what passes requests to the socket. */
  readonly location?: (site: Site) => string | Promise<string>
  /** Of runfcgi; default: it does not run. */
  readonly settings?: readonly string[]
  /** Before anything is started. */
  readonly before?: (site: Site) => Promise<void>
  readonly path?: string
  readonly body?: Buffer
  /** What runfcgi has in its log. */
  readonly log?: string
}

const toSocket = ({ socket }: Site, more = ''): string => `include fastcgi_params; fastcgi_pass unix:${socket}; ${more}`

const CAUSES: Readonly<Record<string, Cause>> = {
  'failed (2: No such file or directory)': {},
  'failed (13: Permission denied)': { settings: ['socket-mode=600'] },
  'failed (111: Connection refused)': { before: leaveSocket },
  'upstream timed out (110: Connection timed out) while reading response header': {
    location: site => toSocket(site, 'fastcgi_read_timeout 1s;'),
    settings: [],
    path: '/slow',
  },
  'upstream prematurely closed connection while reading response header': {
    settings: ['method=prefork'],
    path: '/kill',
    log: 'signal SIGKILL',
  },
  'upstream sent too big header': { settings: [], path: '/header' },
  'client intended to send too large body': { settings: [], body: Buffer.alloc(2 << 20) },
  'upstream sent unsupported FastCGI protocol version: 72': {
    location: async () => `include fastcgi_params; fastcgi_pass 127.0.0.1:${await httpServer()};`,
  },
}

/** What a server leaves that was killed. */
async function leaveSocket({ socket }: Site): Promise<void> {
  const listen = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`
  await once(spawn(process.execPath, ['-e', listen, socket]), 'exit')
  expect(existsSync(socket)).toBe(true)
  chmodSync(socket, 0o666)
}

async function httpServer(): Promise<number> {
  const server = createServer((_, response) => response.end()).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

function site(): Site {
  const created = createSite('node')
  onTestFinished(() => created.remove())
  writeFileSync(join(created.folder, 'app.js'), APP)
  return created
}

async function startNginx(site: Site, locations: string): Promise<Launched> {
  const log = join(site.folder, 'nginx-error.log')
  cpSync('/etc/nginx/fastcgi_params', join(site.folder, 'fastcgi_params'))
  const server = await launch(site, 1, port => {
    const http = `server { listen 127.0.0.1:${port}; ${locations} }`
    writeFileSync(join(site.folder, 'nginx.conf'), mainConfiguration(site.folder, log, http))
    const args = ['-p', site.folder, '-c', join(site.folder, 'nginx.conf'), '-e', log]
    return { command: findProgram('nginx') as string, args, logFile: log }
  })
  onTestFinished(() => server.stop())
  return server
}

async function startRunfcgi(site: Site, settings: readonly string[]): Promise<RunningProgram> {
  const running = await stand(site, [...settings])
  onTestFinished(() => running.stop())
  return running
}

describe.skipIf(nginx.missing !== undefined)('what nginx says', () => {
  test('has a cause for each row, and a row for each cause', () => {
    expect(rowsOf('nginx').map(({ message }) => message)).toEqual(Object.keys(CAUSES))
  })

  // Who is not root has nobody that may not connect.
  const provable = rowsOf('nginx').filter(
    ({ message }) => unprivileged !== undefined || !message.includes('Permission'),
  )

  test.each(provable)('$status: $message', async ({ status, message }) => {
    const cause = CAUSES[message] as Cause
    const here = site()
    await cause.before?.(here)
    const running = cause.settings && (await startRunfcgi(here, cause.settings))
    const location = (await cause.location?.(here)) ?? toSocket(here)
    const server = await startNginx(here, `location / { ${location} }`)
    const { path = '/', body } = cause
    const upload = body && { method: 'POST', headers: { 'Content-Length': body.length }, body: [body] }
    const reply = await fetchWhole(server.ports[0] as number, path, upload)
    expect(reply.status).toBe(status)
    await until(
      () => `nginx says ${message}: ${server.log()}`,
      () => server.log().includes(message),
    )
    const { log } = cause
    if (log !== undefined) await until(`runfcgi says ${log}`, () => running?.output().includes(log) === true)
  })

  test.each(rowsOf('runfcgi'))('proxy_pass instead of fastcgi_pass: $message', async ({ status, message }) => {
    const here = site()
    const running = await startRunfcgi(here, [])
    const server = await startNginx(here, `location / { proxy_pass http://unix:${here.socket}; }`)
    expect((await fetchWhole(server.ports[0] as number, '/')).status).toBe(status)
    await until(`runfcgi says ${message}`, () => running.output().includes(message))
  })

  test('nothing about an application that is reached by its whole path: mount= cuts it', async () => {
    for (const [settings, path] of [
      [[], '/app/page'],
      [['mount=/app'], '/page'],
    ] as const) {
      const here = site()
      await startRunfcgi(here, settings)
      const server = await startNginx(here, `location /app/ { ${toSocket(here)} }`)
      const reply = await fetchWhole(server.ports[0] as number, '/app/page')
      expect(reply.body.toString()).toBe(path)
    }
  })
})

describe.skipIf(apacheProxy.missing !== undefined)('what Apache says', () => {
  test.each(rowsOf('Apache'))('$status: $message', async ({ status, message }) => {
    const here = site()
    const server = await apacheProxy.start(here)
    onTestFinished(() => server.stop())
    expect((await fetchWhole(server.port, '/')).status).toBe(status)
    await until(
      () => `Apache says ${message}: ${server.log()}`,
      () => server.log().includes(message),
    )
  })
})
