/**
 * What the end-to-end tests know about a web server, and what its drivers (nginx.ts, apache.ts …) share. Each driver
 * starts the real program in the foreground, with its files below the site's folder, from a configuration in deploy/:
 * what people copy is what is proven.
 */

import { existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { startProgram } from './child-process.ts'
import { accepts, freePorts } from './ports.ts'
import type { Site } from './site.ts'
import type { Account } from './unprivileged.ts'

export interface WebServer {
  /** The port of the site with the application at `/`. */
  readonly port: number
  /** The port of the site with the application at `/app`. */
  readonly mountPort: number
  /** What it wrote to its error log. */
  log(): string
  stop(): Promise<void>
}

/** One row of the table: a web server in one configuration. */
export interface WebServerKind {
  readonly name: string
  /** The program, module or file that is not on this machine; undefined: everything is there. */
  readonly missing: string | undefined
  /** It starts the program itself, from mysite.fcgi, with the listening socket on descriptor 0. */
  readonly spawns: boolean
  /** It reaches the application over TCP. Default: a Unix socket. */
  readonly overTcp?: boolean
  readonly limits: Limits
  /** Why it does not do what EVERYTHING says, with a reference: a note below the matrix of deploy/README.md. */
  readonly reasons: Partial<Readonly<Record<keyof Limits, string>>>
  start(site: Site): Promise<WebServer>
}

/** Where web servers differ, and why. */
export interface Limits {
  /** Of 50 requests at once, how many it lets into the application. */
  readonly inFlight: number
  /** Bytes of a body that an application can send back while it still reads it. */
  readonly streamingEcho: number
  /** It keeps its connection to the application for the next request. */
  readonly keepsConnections: boolean
  /** It collects a reply unless that says `X-Accel-Buffering: no`. */
  readonly buffersUnlessAsked: boolean
  /** Bytes of a body sent in chunks, without a length, that it takes. */
  readonly chunkedBody: number
  /** A Content-Length above the limit of the shipped configuration is answered 413 before any of the body is sent. */
  readonly refusesLargeUploads: boolean
  /** Bytes in one response header line that it passes on. */
  readonly responseHeader: number
  /** What the application writes to its error stream is in the web server's log. */
  readonly logsErrors: boolean
  /** The shipped configuration sends the mount point without its slash on to the one with it. */
  readonly addsSlash: boolean
  /** An upload reaches the application while it comes, not when it is complete. */
  readonly streamsUploads: boolean
  /** It closes the connection, or says ABORT_REQUEST, when the client has gone while a reply comes. */
  readonly tellsOfLeaving: boolean
  /** It can serve files itself. */
  readonly servesFiles: boolean
}

/** What a web server without any limit would do. */
export const EVERYTHING: Limits = {
  inFlight: 50,
  streamingEcho: 8 << 20,
  keepsConnections: true,
  buffersUnlessAsked: false,
  chunkedBody: 3 << 20,
  refusesLargeUploads: true,
  responseHeader: 8_000,
  logsErrors: true,
  addsSlash: true,
  streamsUploads: true,
  tellsOfLeaving: true,
  servesFiles: true,
}

/** What a web server that cannot do it is not asked to do. */
const ABILITIES: ReadonlySet<keyof Limits> = new Set([
  'refusesLargeUploads',
  'logsErrors',
  'addsSlash',
  'streamsUploads',
  'tellsOfLeaving',
  'servesFiles',
])

/** Whether a case that depends on this limit is run. */
export function appliesTo({ limits, spawns }: WebServerKind, limit: keyof Limits | undefined): boolean {
  if (limit === undefined) return true
  // Which sockets it hands to the processes that it starts cannot be seen from outside.
  if (limit === 'keepsConnections' && spawns) return false
  return limits[limit] !== 0 && (limits[limit] !== false || !ABILITIES.has(limit))
}

/** The second address in the configurations for several, as a person would replace it. */
export const SECOND = '192.0.2.2:9000'

/** The path of an installed program, or undefined. */
export function findProgram(...names: string[]): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return names.flatMap(name => folders.map(folder => join(folder, name))).find(existsSync)
}

/** A file of deploy/ with everything replaced that a person would replace, and nothing else. */
export function shipped(file: string, replacements: Record<string, string>): string {
  let text = readFileSync(new URL(`../../deploy/${file}`, import.meta.url), 'utf8')
  for (const [from, to] of Object.entries(replacements)) {
    if (!text.includes(from)) throw new Error(`deploy/${file} no longer contains ${JSON.stringify(from)}`)
    text = text.replaceAll(from, to)
  }
  return text
}

/** What a service is started with: none of the environment that the tests happen to have. */
const BARE = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }

export interface Launch {
  readonly command: string
  readonly args: string[]
  /** Where its error log goes. */
  readonly logFile: string
  readonly env?: NodeJS.ProcessEnv
  /** Whom it runs as from the start, if it does not change its account itself. */
  readonly account?: Account
}

export interface Launched {
  readonly ports: number[]
  /** Of the process that was started: the one that hears signals. */
  readonly pid: number
  log(): string
  stop(): Promise<void>
}

/**
 * Start a server on so many free ports and wait until it accepts on all of them. Should somebody else have taken a port in
 * between, once more with others.
 */
export async function launch(site: Site, count: number, configure: (...ports: number[]) => Launch): Promise<Launched> {
  for (let attempt = 1; ; attempt++) {
    const ports = await freePorts(count)
    const { command, args, logFile, env, account } = configure(...ports)
    const ready = async () => (await Promise.all(ports.map(accepts))).every(Boolean)
    try {
      const program = await startProgram(command, args, {
        cwd: site.folder,
        env: { ...BARE, ...env },
        ready,
        ...(account && { account }),
      })
      const { pid, stop } = program
      return { ports, pid, log: () => readLog(logFile) + program.output(), stop }
    } catch (error) {
      const text = `${error instanceof Error ? error.message : error}${readLog(logFile)}`
      if (attempt === 3 || !/address already in use/i.test(text)) throw new Error(text, { cause: error })
    }
  }
}

/** One process with two virtual hosts: the application at `/` and at `/app`. */
export async function launchBoth(
  site: Site,
  configure: (port: number, mountPort: number) => Launch,
): Promise<WebServer> {
  const { ports, log, stop } = await launch(site, 2, configure)
  const [port, mountPort] = ports as [number, number]
  return { port, mountPort, log, stop }
}

/** Two processes: the first has the application at `/`, the second at `/app`. */
export async function pair(main: Promise<Launched>, mount: Promise<Launched>): Promise<WebServer> {
  const started = await Promise.allSettled([main, mount])
  const servers = started.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
  const stop = async () => {
    await Promise.all(servers.map(server => server.stop()))
  }
  const failed = started.find(result => result.status === 'rejected')
  if (failed !== undefined) {
    await stop()
    throw failed.reason
  }
  const [port, mountPort] = servers.flatMap(server => server.ports) as [number, number]
  return { port, mountPort, log: () => servers.map(server => server.log()).join(''), stop }
}

/** The text of a log file that may not exist yet. */
function readLog(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : ''
}
