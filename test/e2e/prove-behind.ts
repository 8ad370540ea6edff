/**
 * One body of tests for every web server in every configuration that deploy/ ships, over each of the three callables: real
 * server, real command, real sockets. What differs between servers is written down as `limits` in their drivers
 * (test/support), and nowhere else.
 */

import { existsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest'
import { type Conductor, startConductor } from '../support/conductor.ts'
import { fetchWhole } from '../support/http-client.ts'
import { freePorts } from '../support/ports.ts'
import { stand } from '../support/runfcgi.ts'
import { type Callable, createSite } from '../support/site.ts'
import { appliesTo, type Limits, type WebServerKind } from '../support/web-server.ts'
import { startWiretap, type Wiretap } from '../support/wiretap.ts'
import { bodies } from './cases/bodies.ts'
import { clients } from './cases/clients.ts'
import { errors } from './cases/errors.ts'
import { replies } from './cases/replies.ts'
import { requests } from './cases/requests.ts'
import { special } from './cases/special.ts'
import type { Proven } from './kinds.ts'

declare module 'vitest' {
  interface TaskMeta {
    /** Where in the matrix of deploy/README.md the result stands. */
    matrix?: { readonly server: string; readonly name: string }
  }
}

/** The groups of cases, in the order of the matrix. */
export const GROUPS = [bodies, replies, requests, clients, errors]

/** A site that runs, while the tests do. */
export interface RunningSite {
  readonly folder: string
  readonly port: number
  readonly mountPort: number
  readonly socket: string
  /** Of the application, if it is reached over TCP. */
  readonly backendPort: number | undefined
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
  /**
   * A test whose failure shows what the server and the command said meanwhile. `limit` is where web servers differ in it:
   * where that is `false` there is no test.
   */
  check(name: string, body: () => Promise<void>, limit?: keyof Limits): void
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

export function proveAll(proven: Proven): void {
  for (const [kind, callables] of proven) proveBehind(kind, callables)
}

/** Registers the tests of one web server; or says by name that they are skipped. */
function proveBehind(kind: WebServerKind, callables: readonly Callable[]): void {
  if (kind.missing !== undefined) {
    console.warn(`SKIPPED: all tests behind ${kind.name}, because ${kind.missing} is not installed`)
  }
  for (const callable of callables) {
    describe.skipIf(kind.missing !== undefined)(`a ${callable} application behind ${kind.name}`, () => {
      const suite = suiteOf(kind, callable)
      for (const group of GROUPS) describe(group.name, () => group(suite))
      special(suite)
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
    check(name, body, limit) {
      if (!appliesTo(kind, limit)) return
      const skip = limit === 'keepsConnections' && !existsSync('/proc/net/unix')
      test.skipIf(skip)(name, async ({ task }) => {
        task.meta.matrix = { server: kind.name, name }
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

/** What goes wrong at any step undoes those before it. */
function undoing(): { add(undo: () => unknown): void; all(): Promise<void> } {
  const steps: (() => unknown)[] = []
  return {
    add: undo => void steps.unshift(undo),
    async all() {
      for (const undo of steps.splice(0)) await undo()
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
  const undo = undoing()
  undo.add(site.remove)
  try {
    const conductor = await startConductor()
    undo.add(conductor.close)
    const command = kind.spawns ? undefined : await stand(site, settings)
    if (command !== undefined) undo.add(command.stop)
    const server = await kind.start(site)
    undo.add(server.stop)
    return {
      folder: site.folder,
      port: server.port,
      mountPort: server.mountPort,
      socket: site.socket,
      backendPort: site.port,
      conductor,
      log: server.log,
      output: () => command?.output() ?? '',
      stop: undo.all,
    }
  } catch (error) {
    await undo.all()
    throw error
  }
}

/** A site with a wiretap between the web server and the application: a Node listener, over Unix sockets. */
export async function withTap(
  kind: WebServerKind,
  body: (site: RunningSite & Wiretap) => Promise<void>,
): Promise<void> {
  const taps: Wiretap[] = []
  const tapped: WebServerKind = {
    ...kind,
    async start(site) {
      const tap = await startWiretap(`${site.socket}.tap`, site.socket)
      taps.push(tap)
      return kind.start({ ...site, socket: `${site.socket}.tap` })
    },
  }
  const site = await startSite(tapped, 'node')
  try {
    await body({ ...site, records: taps[0]?.records ?? [], close: site.stop })
  } finally {
    await site.stop()
    for (const tap of taps) await tap.close()
  }
}
