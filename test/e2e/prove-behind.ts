/**
 * One body of tests for every web server in every configuration that deploy/ ships, over each of the three callables: real
 * server, real command, real sockets. What differs between servers is written down as `limits` in their drivers
 * (test/support), and nowhere else.
 */

import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest'
import { type Conductor, startConductor } from '../support/conductor.ts'
import { fetchWhole } from '../support/http-client.ts'
import { freePorts } from '../support/ports.ts'
import { stand } from '../support/runfcgi.ts'
import { type Callable, createSite } from '../support/site.ts'
import type { Limits, WebServerKind } from '../support/web-server.ts'
import { bodies } from './cases/bodies.ts'
import { clients } from './cases/clients.ts'
import { errors } from './cases/errors.ts'
import { replies } from './cases/replies.ts'
import { requests } from './cases/requests.ts'

/** A site that runs, while the tests do. */
export interface RunningSite {
  readonly port: number
  readonly mountPort: number
  readonly socket: string
  readonly conductor: Conductor
  /** What the web server logged. */
  log(): string
  /** What `runfcgi stand` printed; empty where the web server starts the program itself. */
  output(): string
  stop(): Promise<void>
}

/** What each group of tests is given. */
export interface Suite {
  readonly kind: WebServerKind
  readonly limits: Limits
  readonly callable: Callable
  /** Only inside of a test: before it nothing runs. */
  site(): RunningSite
  /** A test whose failure shows what the server and the command said meanwhile. No test where it does not apply. */
  check(name: string, body: () => Promise<void>, applies?: boolean): void
  /** The application's own account of a request. */
  inspect(path: string, headers?: Record<string, string>, port?: number): Promise<Inspection>
  /** A request that must be answered as if nothing had happened. */
  expectHello(): Promise<void>
}

/** What the application's page /inspect tells; `url` only over a Node listener. */
export interface Inspection {
  readonly method: string
  readonly scriptName: string
  readonly pathInfo: string
  readonly query: string
  readonly url?: string
  readonly headers: Record<string, string>
  readonly remoteAddress: string
}

const ALL: readonly Callable[] = ['node', 'wsgi', 'fetch']

/** Register the tests of one web server; or say by name that they are skipped. */
export function proveBehind(kind: WebServerKind, callables = ALL): void {
  if (kind.missing !== undefined) {
    console.warn(`SKIPPED: all tests behind ${kind.name}, because ${kind.missing} is not installed`)
  }
  for (const callable of callables) {
    describe.skipIf(kind.missing !== undefined)(`a ${callable} application behind ${kind.name}`, () => {
      const suite = suiteOf(kind, callable)
      for (const group of [bodies, replies, requests, clients, errors]) describe(group.name, () => group(suite))
    })
  }
}

function suiteOf(kind: WebServerKind, callable: Callable): Suite {
  let running: RunningSite
  const site = () => running
  const said = () => [running.log(), running.output()]

  beforeAll(async () => {
    running = await startSite(kind, callable)
  })
  afterAll(() => running?.stop())

  return {
    kind,
    limits: kind.limits,
    callable,
    site,
    check(name, body, applies = true) {
      if (!applies) return
      test(name, async () => {
        const before = said().map(text => text.length)
        onTestFailed(() => console.error(...said().map((text, index) => text.slice(before[index]))))
        await body()
      })
    },
    async inspect(path, headers = {}, port = running.port) {
      return JSON.parse((await fetchWhole(port, path, { headers })).body.toString())
    },
    async expectHello() {
      const { status, body } = await fetchWhole(running.port, '/hello')
      expect({ status, body: body.toString() }).toEqual({ status: 200, body: `Hello from ${callable}\n` })
    },
  }
}

/** The web server and, unless it starts that itself, the command with these further settings. */
export async function startSite(
  kind: WebServerKind,
  callable: Callable,
  settings: string[] = [],
): Promise<RunningSite> {
  const [port] = kind.overTcp ? await freePorts(1) : []
  const site = createSite(callable, port)
  const cleanUp: (() => unknown)[] = [site.remove]
  const stop = async () => {
    for (const one of cleanUp.splice(0).reverse()) await one()
  }
  try {
    const conductor = await startConductor()
    cleanUp.push(conductor.close)
    const command = kind.spawns ? undefined : await stand(site, settings)
    if (command !== undefined) cleanUp.push(command.stop)
    const server = await kind.start(site)
    cleanUp.push(server.stop)
    return {
      port: server.port,
      mountPort: server.mountPort,
      socket: site.socket,
      conductor,
      log: server.log,
      output: () => command?.output() ?? '',
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}
