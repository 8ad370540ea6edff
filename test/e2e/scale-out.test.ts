/**
 * Several machines behind one front end: hosts are added, drained, killed and cut off while clients go on asking. Each host
 * is a network namespace with the application under runfcgi; in front of them stands a real web server with the shipped
 * configuration. What is promised:
 *
 *   added, drained   no request fails
 *   killed           only requests fail that this host had
 *   cut off          only requests fail that this host had, and the others are served meanwhile
 */

import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, onTestFailed, test } from 'vitest'
import { probe } from '../../src/front/probe.ts'
import { apacheProxy } from '../support/apache.ts'
import { type RunningProgram, startProgram } from '../support/child-process.ts'
import { haproxy } from '../support/haproxy.ts'
import { type Host, makeNetwork, type Network, whyNoHosts } from '../support/hosts.ts'
import { fetchWhole, keepAliveAgent } from '../support/http-client.ts'
import { lighttpd } from '../support/lighttpd.ts'
import { mainConfiguration, nginx } from '../support/nginx.ts'
import { freePorts } from '../support/ports.ts'
import { stand } from '../support/runfcgi.ts'
import { createSite, type Site, writableFolder } from '../support/site.ts'
import { unprivileged } from '../support/unprivileged.ts'
import { until } from '../support/until.ts'
import { findProgram, type Launch, type Launched, launch, shipped } from '../support/web-server.ts'

const program = fileURLToPath(new URL('../../bin/runfcgi.js', import.meta.url))
const CLIENTS = 6

/** Notes what it begins, so that the test can tell which host had a request. */
const APPLICATION = `
import { appendFileSync } from 'node:fs'
export default async (request, response) => {
  appendFileSync(process.env.BEGUN, new URL(request.url, 'http://x').searchParams.get('id') + '\\n')
  for await (const piece of request) void piece
  await new Promise(resolve => setTimeout(resolve, 25))
  response.setHeader('X-Host', process.env.HOST)
  response.end('done')
}
`

// A machine.

class Machine {
  readonly name: string
  readonly host: Host
  readonly #site: Site
  #running: RunningProgram | undefined

  constructor(name: string, host: Host, site: Site) {
    this.name = name
    this.host = host
    this.#site = site
  }

  /** What its application has begun. */
  get begun(): Set<string> {
    const file = this.#begunFile
    return new Set(existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [])
  }

  get #begunFile(): string {
    return join(this.#site.folder, `begun-${this.name}`)
  }

  async start(): Promise<void> {
    const settings = [`host=${this.host.address}`, 'port=9000', 'ping=/ping', 'method=prefork', 'maxchildren=1']
    const [command, args] = this.host.command(process.execPath, program, 'stand', './app.js', ...settings)
    this.#running = await startProgram(command, args, {
      cwd: this.#site.folder,
      env: { PATH: process.env.PATH, BEGUN: this.#begunFile, HOST: this.name },
      ready: () => this.#isReady(),
    })
  }

  #isReady(): Promise<boolean> {
    const target = { kind: 'tcp', host: this.host.address, port: 9000 } as const
    return probe({ target, path: '/ping', timeoutMs: 1_000 }).then(
      reply => reply.status === 200,
      () => false,
    )
  }

  /** TERM, and whatever takes longer than that is waited for. */
  async drain(): Promise<void> {
    await this.#running?.stop()
  }

  kill(): void {
    // The whole group: what happens when a machine loses its power, but that the kernel still says goodbye.
    process.kill(-(this.#running?.pid as number), 'SIGKILL')
  }
}

// The clients.

/** Clients send GET and POST in turn. */
const isPost = (id: string): boolean => Number(id) % 2 === 0

interface Asked {
  readonly id: string
  /** `done` from a host, or what went wrong. */
  readonly outcome: string
  readonly host: string
  readonly began: number
  readonly ended: number
}

class Load {
  readonly asked: Asked[] = []
  readonly #port: number
  readonly #clients: Promise<void>[]
  readonly #open = new Map<string, number>()
  #over = false
  #last = 0

  constructor(port: number) {
    this.#port = port
    this.#clients = Array.from({ length: CLIENTS }, () => this.#client())
  }

  async stop(): Promise<void> {
    this.#over = true
    await Promise.all(this.#clients)
  }

  get failed(): Asked[] {
    return this.asked.filter(({ outcome }) => outcome !== 'done')
  }

  /** Waits until nothing is unanswered that was asked before now. */
  async settles(): Promise<void> {
    const now = performance.now()
    await until('an answer to all that was asked', () => [...this.#open.values()].every(began => began > now))
  }

  /** Waits until so many further requests were answered, by this host if one is named. */
  async goesOn(count: number, host?: string): Promise<void> {
    const isMeant = (one: Asked) => one.outcome === 'done' && (host === undefined || one.host === host)
    const before = this.asked.filter(isMeant).length
    const what = `${count} more replies${host === undefined ? '' : ` of host ${host}`}`
    await until(what, () => this.asked.filter(isMeant).length >= before + count)
  }

  /** One connection; GET and POST in turn. */
  async #client(): Promise<void> {
    let agent = keepAliveAgent()
    while (!this.#over) {
      const id = String(++this.#last)
      const began = performance.now()
      this.#open.set(id, began)
      const sent = isPost(id)
        ? { method: 'POST', headers: { 'Content-Length': 2_000 }, body: [Buffer.alloc(2_000)] }
        : { method: 'GET' }
      const { outcome, host } = await fetchWhole(this.#port, `/?id=${id}`, { ...sent, agent }).then(
        ({ status, headers, body }) => ({
          outcome: status === 200 && String(body) === 'done' ? 'done' : `${sent.method} ${status}`,
          host: String(headers['x-host']),
        }),
        (error: Error) => ({ outcome: `${sent.method} ${error.message}`, host: '' }),
      )
      this.#open.delete(id)
      if (outcome !== 'done') {
        agent.destroy()
        agent = keepAliveAgent()
      }
      this.asked.push({ id, outcome, host, began, ended: performance.now() })
    }
    agent.destroy()
  }
}

// The front ends.

interface FrontEnd {
  readonly name: string
  readonly missing: string | undefined
  /** It sends a POST to a second host when the first does not answer: it may be done twice. */
  readonly repeatsPost?: true
  /** Tells it before that a host is about to be stopped, and after that it is back. */
  tell?(site: Site, host: string, state: 'drain' | 'ready'): Promise<void>
  /** The configuration for these hosts. The last one has not been switched on yet. */
  configure(site: Site, port: number, addresses: Readonly<Record<string, string>>): Launch
}

/** A host that answers nothing is given up after three seconds instead of sixty, for a test that has not got a minute. */
const FRONT_ENDS: readonly FrontEnd[] = [
  {
    name: 'nginx',
    missing: nginx.missing,
    configure({ folder }, port, addresses) {
      const changes = { 'listen 80;': `listen 127.0.0.1:${port};`, 'read_timeout 60s': 'read_timeout 3s' }
      const params = { 'include fastcgi_params;': 'include /etc/nginx/fastcgi_params;' }
      const logFile = join(folder, 'nginx-error.log')
      writeFileSync(
        join(folder, 'nginx.conf'),
        mainConfiguration(
          folder,
          logFile,
          `${shipped('scale-out/nginx.conf', { ...changes, ...params, ...addresses })}`,
        ),
      )
      return {
        command: findProgram('nginx') as string,
        args: ['-p', folder, '-c', 'nginx.conf', '-e', logFile],
        logFile,
      }
    },
  },
  {
    name: 'HAProxy',
    missing: haproxy.missing,
    async tell({ folder }, host, state) {
      const admin = connect(join(folder, 'admin.sock'))
      admin.end(`set server mysite/${host} state ${state}\n`)
      await once(admin.resume(), 'close')
    },
    configure({ folder }, port, addresses) {
      const changes = { '*:80': `127.0.0.1:${port}`, 'timeout server 60s': 'timeout server 3s' }
      writeFileSync(
        join(folder, 'haproxy.cfg'),
        `global
          log stdout format raw local0
          stats socket ${folder}/admin.sock level admin
          ${unprivileged === undefined ? '' : `user ${unprivileged.name}`}
        ${shipped('scale-out/haproxy.cfg', { ...changes, ...addresses })}`,
      )
      const args = ['-db', '-f', join(folder, 'haproxy.cfg')]
      return { command: findProgram('haproxy') as string, args, logFile: join(folder, 'none.log') }
    },
  },
  {
    name: 'lighttpd',
    missing: lighttpd.missing,
    configure(site, port, addresses) {
      const own = writableFolder(site, 'lighttpd')
      const file = join(site.folder, 'lighttpd.conf')
      writeFileSync(
        file,
        `server.bind = "127.0.0.1"
        server.port = ${port}
        server.document-root = "${site.folder}/nothing-here"
        server.errorlog = "${own}/error.log"
        server.upload-dirs = ( "${own}" )
        ${unprivileged === undefined ? '' : `server.username = "${unprivileged.name}"`}
        ${shipped('scale-out/lighttpd.conf', { '"read-timeout" => 60': '"read-timeout" => 3', ...addresses })}`,
      )
      return { command: findProgram('lighttpd') as string, args: ['-D', '-f', file], logFile: join(own, 'error.log') }
    },
  },
  {
    name: 'Apache',
    missing: apacheProxy.missing,
    repeatsPost: true,
    configure({ folder }, port, addresses) {
      const modules = '/usr/lib/apache2/modules'
      const names = ['mpm_event', 'authz_core', 'env', 'proxy', 'proxy_fcgi', 'proxy_balancer', 'lbmethod_byrequests']
      const logFile = join(folder, 'apache-error.log')
      const changes = { '*:80': `127.0.0.1:${port}`, 'timeout=60': 'timeout=3' }
      writeFileSync(
        join(folder, 'apache.conf'),
        `ServerRoot "${folder}"
        DefaultRuntimeDir "${folder}"
        PidFile "${folder}/apache.pid"
        ServerName localhost
        ErrorLog "${logFile}"
        Listen 127.0.0.1:${port}
        ${[...names, 'slotmem_shm'].map(name => `LoadModule ${name}_module ${modules}/mod_${name}.so`).join('\n')}
        ${unprivileged === undefined ? '' : `User ${unprivileged.name}\nGroup ${unprivileged.name}`}
        StartServers 1
        ServerLimit 1
        ThreadsPerChild 64
        MaxRequestWorkers 64
        ${shipped('scale-out/apache.conf', { ...changes, ...addresses })}`,
      )
      const args = ['-DFOREGROUND', '-d', folder, '-f', 'apache.conf']
      return { command: findProgram('apache2', 'httpd') as string, args, logFile }
    },
  },
]

const impossible = whyNoHosts()
if (impossible !== undefined) console.warn(`SKIPPED: all tests with several hosts, because ${impossible}`)

describe.each(FRONT_ENDS)('three hosts behind $name', frontEnd => {
  const skip = impossible !== undefined || frontEnd.missing !== undefined
  if (frontEnd.missing !== undefined)
    console.warn(`SKIPPED: several hosts behind ${frontEnd.name}: it is not installed`)
  const cleanUp: (() => unknown)[] = []
  afterAll(async () => {
    for (const one of cleanUp.splice(0).reverse()) await one()
  })

  async function start(): Promise<{
    one: Machine
    two: Machine
    three: Machine
    site: Site
    server: Launched
    load: Load
  }> {
    const site = createSite('node')
    cleanUp.push(site.remove)
    writeFileSync(join(site.folder, 'app.js'), APPLICATION)
    const network: Network = makeNetwork(3)
    cleanUp.push(network.remove)
    const [one, two, three] = ['one', 'two', 'three'].map(
      (name, n) => new Machine(name, network.hosts[n] as Host, site),
    ) as [Machine, Machine, Machine]
    for (const machine of [one, two, three]) cleanUp.push(() => machine.drain())
    await Promise.all([one.start(), two.start()])
    const addresses = { '10.0.0.11': one.host.address, '10.0.0.12': two.host.address, '10.0.0.13': three.host.address }
    const server = await launch(site, 1, port => frontEnd.configure(site, port, addresses))
    cleanUp.push(server.stop)
    const load = new Load(server.ports[0] as number)
    cleanUp.push(() => load.stop())
    return { one, two, three, site, server, load }
  }

  test.skipIf(skip)(
    'are added and drained without a failed request, and killed or cut off cost what they had',
    async () => {
      const { one, two, three, site, server, load } = await start()
      onTestFailed(() => console.error(load.failed.slice(0, 20), server.log().slice(-4_000)))
      await load.goesOn(50, 'one')
      await load.goesOn(50, 'two')

      await three.start()
      await load.goesOn(50, 'three')
      expect(load.failed, 'added').toEqual([])

      await frontEnd.tell?.(site, 'two', 'drain')
      await load.settles()
      await two.drain()
      await load.goesOn(100)
      expect(load.failed, 'drained').toEqual([])
      await two.start()
      await frontEnd.tell?.(site, 'two', 'ready')
      await load.goesOn(50, 'two')
      expect(load.failed, 'added again').toEqual([])

      three.kill()
      await load.goesOn(100)
      const killed = load.failed.slice()
      expectOnlyThoseOf(three, [one, two], killed)

      one.host.plug(false)
      await load.goesOn(100, 'two')
      await load.settles()
      one.host.plug(true)
      await load.goesOn(50, 'one')
      const lost = load.failed.slice(killed.length)
      expectOnlyThoseOf(one, [two], lost)
      await load.stop()
      const twice = [...one.begun, ...two.begun, ...three.begun].filter((id, at, all) => all.indexOf(id) !== at)
      if (!frontEnd.repeatsPost) expect(twice.filter(isPost), 'POST sent to two hosts').toEqual([])
      report(frontEnd.name, load, killed, lost, twice)
    },
    100_000,
  )
})

describe.skipIf(haproxy.missing !== undefined)('HAProxy', () => {
  test('finds out with FCGI_GET_VALUES, too, whether a host is there', async () => {
    const site = createSite('node')
    const [port, http] = (await freePorts(2)) as [number, number]
    const host = { ...site, port }
    const commented = /#(?= {3}(?:option tcp-check|tcp-check ))/g
    const changes = { '10.0.0.11:9000': `127.0.0.1:${port}`, 'option httpchk\n': '\n' }
    const file = join(site.folder, 'haproxy.cfg')
    const configuration = shipped('scale-out/haproxy.cfg', { ...changes, '*:80': `127.0.0.1:${http}` })
      .replaceAll(commented, '')
      .replaceAll(/^ *(http-check|server (two|three)) .*$/gm, '')
    writeFileSync(file, `global\n  log stdout format raw local0\n${configuration}`)
    const balancer = await startProgram(findProgram('haproxy') as string, ['-db', '-f', file], {
      ready: () => Promise.resolve(true),
    })
    onTestFailed(() => console.error(balancer.output()))
    const says = (what: string) => until(`HAProxy says ${what}`, () => balancer.output().includes(what))
    try {
      await says('Server mysite/one is DOWN')
      const application = await stand(host)
      await says('Server mysite/one is UP, reason: Layer7 check passed, code: 0, info: "(tcp-check)"')
      await application.stop()
      await says('is DOWN, reason: Layer4 connection problem, info: "Connection refused at step 1 of tcp-check')
    } finally {
      await balancer.stop()
      site.remove()
    }
  })
})

/** Nothing failed that was not with this host, and no more than the clients can have had there. */
function expectOnlyThoseOf(host: Machine, others: readonly Machine[], failed: readonly Asked[]): void {
  const here = host.begun
  const elsewhere = others.map(other => other.begun)
  const innocent = failed.filter(({ id }) => !here.has(id) && elsewhere.some(begun => begun.has(id)))
  expect(innocent, `requests that host ${host.name} did not have`).toEqual([])
  expect(failed.length).toBeLessThanOrEqual(CLIENTS)
}

function report(
  name: string,
  { asked }: Load,
  killed: readonly Asked[],
  lost: readonly Asked[],
  twice: readonly string[],
): void {
  const how = (failed: readonly Asked[]) =>
    `${failed.length} failed (${failed.map(({ outcome }) => outcome).join(', ')})`
  const line =
    `${name}: ${asked.length} requests; added and drained: 0 failed; killed: ${how(killed)}; ` +
    `cut off: ${how(lost)}; sent to two hosts: ${twice.length}, of them POST ${twice.filter(isPost).length}; slowest ${Math.round(Math.max(...asked.map(({ began, ended }) => ended - began)))} ms`
  console.log(line)
}
