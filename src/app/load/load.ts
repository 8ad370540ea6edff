/**
 * From a reference to an Application that runs: find the file (src/app/load/locate.ts), import it, find out what it exports
 * (src/app/load/detect.ts: the rule), put the adapter of that callable around it.
 *
 * A file that exports nothing but calls `listen()` on an HTTP server is served through that server
 * (src/app/load/listen-capture.ts). A file that exports its application AND calls `listen()` is served through the export, and
 * the port is not opened either, unless the server is provably another one.
 *
 * A function that is exported as `authorizer` stands beside the application, or alone (src/app/authorizer.ts).
 *
 * Reads no settings and no environment; `process.argv` becomes what it would be if Node had been started with the file. A
 * top-level await that never settles is the caller's to end.
 */

import type { Cluster } from 'node:cluster'
import { readFileSync } from 'node:fs'
import type { Server } from 'node:net'
import { pathToFileURL } from 'node:url'
import type { Authorizer } from '../authorizer.ts'
import type { AdapterOptions, Application } from '../exchange.ts'
import type { FetchHandler } from '../fetch/fetch.ts'
import type { FileReplies } from '../sendfile.ts'
import type { WsgiCallable } from '../wsgi/wsgi.ts'
import {
  AUTHORIZER,
  type Detected,
  detect,
  type Exports,
  exportNames,
  findAuthorizer,
  type InterfaceChoice,
  judge,
  listExports,
} from './detect.ts'
import { isFastify, toListener } from './frameworks.ts'
import { ListenCapture } from './listen-capture.ts'
import { LoadError, loadFailure, shortPath } from './load-error.ts'
import { type Located, locateApplication } from './locate.ts'

export interface LoadRequest {
  /** `./app.js`, `./app.js:name`, a folder or a package; left out: looked for in `cwd`. */
  readonly app?: string | undefined
  /** Where `app` was said, for messages: `command line`, `RUNFCGI_APP` … */
  readonly origin?: string | undefined
  /** What the application is to find in `process.argv` behind its file; left out: that stays as it is. */
  readonly args?: readonly string[] | undefined
  readonly interface: InterfaceChoice
  /** Absolute. */
  readonly cwd: string
  /** How long a file that exports nothing, and in which nothing is under way, has to call `listen()`. Default 5,000 ms. */
  readonly listenTimeout?: number | undefined
  /** How long any file without an application has for that, in milliseconds. Default 50,000. */
  readonly loadTimeout?: number | undefined
}

/** What was loaded, for `check` and the log. */
export interface ApplicationSource {
  /** Absolute; empty if the application was handed over by the running program. */
  readonly file: string
  /** Which part of the rule matched: `default export, a Koa application`. */
  readonly rule: string
  /** What the application wanted to listen on by itself and does not: `port 3000`. */
  readonly notListening: string | undefined
}

export interface LoadedApplication extends Application {
  readonly source: ApplicationSource
  /** Resolves when the application closes its server. */
  readonly closed?: Promise<void>
}

const LISTEN_TIMEOUT_MS = 5_000
const LOAD_TIMEOUT_MS = 50_000

/** A file that exports something may be the wrong one, of which nobody wants to hear after five seconds. */
const IDLE_WITH_EXPORTS_MS = 200

/**
 * Finds and loads the application.
 * @throws LoadError one line: what was tried, which file and line, what to do; `cause` is what Node threw
 */
export async function loadApplication(request: LoadRequest, options: AdapterOptions): Promise<LoadedApplication> {
  try {
    const { file, exportName } = locateApplication(request.app, request.cwd)
    return await loadFile(file, exportName, request, options)
  } catch (error) {
    if (!(error instanceof LoadError) || request.origin === undefined || request.app === undefined) throw error
    throw new LoadError(`${error.message} (from ${request.origin})`, { cause: error.cause })
  }
}

/**
 * An application that is at hand already, by the same rule; a WSGI-style callable has to be called one (`interface`).
 * @throws LoadError when it is none of the three callables
 */
export async function toApplication(
  value: unknown,
  choice: InterfaceChoice,
  options: AdapterOptions,
): Promise<Application> {
  return adapt(judge(await value, 'application', choice), options)
}

/** The application, and this function for requests of the role Authorizer. @throws LoadError when it is none */
export async function withAuthorizer(
  application: Application,
  authorizer: unknown,
  options: AdapterOptions,
): Promise<Application> {
  if (typeof authorizer !== 'function') throw new LoadError(`the authorizer is a ${typeof authorizer}, not a function`)
  return (await import('../authorizer.ts')).authorizing(application, authorizer as Authorizer, options)
}

async function loadFile(
  file: string,
  exportName: string | undefined,
  request: LoadRequest,
  options: AdapterOptions,
): Promise<LoadedApplication> {
  if (request.args !== undefined) setArguments([file, ...request.args])
  const capture = new ListenCapture()
  try {
    const exports: Exports = await import(pathToFileURL(file).href)
    const exported = await chooseExport({ file, exportName }, exports, request, capture)
    // A promise that the file has left rejected is told to the process now, and not when the application is said to serve.
    await new Promise(setImmediate)
    const detected = throughItsServer(exported, capture)
    // The process is this application's own, so its Request and Response may be the light ones.
    if (detected.interface === 'fetch') (await import('../fetch/light-globals.ts')).installLightGlobals()
    const authorizer = findAuthorizer(exports)
    const alone = await adapt(detected, options)
    const application = authorizer === undefined ? alone : await withAuthorizer(alone, authorizer, options)
    const notListening = settle(capture, detected.callable)
    const rule = authorizer === undefined ? detected.rule : `${detected.rule}, and an authorizer`
    const closeOwn = alone.close?.bind(alone)
    const close = async (): Promise<void> => {
      // Before the application's own, which waits for its server to be closed (Fastify's does).
      capture.finish()
      await closeOwn?.()
    }
    return Object.assign(application, { source: { file, rule, notListening }, close, closed: capture.closed })
  } catch (error) {
    capture.abandon()
    if (!(error instanceof LoadError)) throw loadFailure(error, file, request.cwd)
    const short = shortPath(file, request.cwd)
    throw error.message.includes(short) ? error : new LoadError(`${short}: ${error.message}`, { cause: error.cause })
  }
}

/** As if Node had been started with the file. In place: a module may have imported `argv` already. */
const setArguments = (words: readonly string[]): unknown => process.argv.splice(1, process.argv.length, ...words)

async function chooseExport(
  { file, exportName }: Located,
  exports: Exports,
  request: LoadRequest,
  capture: ListenCapture,
): Promise<Detected> {
  if (exportName === AUTHORIZER && findAuthorizer(exports) !== undefined) return noApplication()
  let refused: unknown
  try {
    const detected = await detect(exports, exportName, request.interface)
    if (detected !== undefined) return detected
  } catch (error) {
    refused = error
  }
  const server = await listeningServer(exports, exportName, request, capture)
  if (server !== undefined) {
    return { interface: 'node', callable: server, rule: 'no export, an http.Server that called listen()' }
  }
  if (refused === undefined && findAuthorizer(exports) !== undefined) return noApplication()
  if (startsWorkers((await import('node:cluster')).default)) throw new LoadError(STARTS_WORKERS)
  throw refused ?? new LoadError(nothingToServe(exports, file))
}

/** The settings are there as soon as it has forked. */
const startsWorkers = ({ settings }: Cluster): boolean => Object.keys(settings).length > 0

const STARTS_WORKERS =
  'it starts workers of its own (node:cluster), as runfcgi does: let it only listen, and say maxchildren='

async function noApplication(): Promise<Detected> {
  const { noApplication: callable } = await import('../authorizer.ts')
  return { interface: 'wsgi', callable, rule: 'no application' }
}

/**
 * The server of a file without a usable export. One without any export is given time, and most of it while something is
 * under way there, a connection to its database for example; one with others is perhaps only the wrong file.
 */
async function listeningServer(
  exports: Exports,
  exportName: string | undefined,
  request: LoadRequest,
  capture: ListenCapture,
): Promise<Server | undefined> {
  if (exportName !== undefined || request.interface === 'wsgi' || request.interface === 'fetch') return undefined
  if (capture.server !== undefined || findAuthorizer(exports) !== undefined) return capture.server
  const { listenTimeout = LISTEN_TIMEOUT_MS, loadTimeout = LOAD_TIMEOUT_MS } = request
  const { default: cluster } = await import('node:cluster')
  const isInVain = (): boolean => startsWorkers(cluster)
  return exportNames(exports).length === 0
    ? capture.wait({ idle: listenTimeout, limit: Math.max(listenTimeout, loadTimeout), isInVain })
    : capture.wait({ idle: Math.min(listenTimeout, IDLE_WITH_EXPORTS_MS), limit: listenTimeout, isInVain })
}

/** A question that is answered with no for a module that is imported. */
const ASKS_WHETHER_MAIN = /\b(require\.main|import\.meta\.main)\b/

function nothingToServe(exports: Exports, file: string): string {
  const there = listExports(exports)
  const [asks] = ASKS_WHETHER_MAIN.exec(readFileSync(file, 'utf8')) ?? []
  const hint = asks === undefined ? '' : `, or let it listen without asking for ${asks}, which is not its own here`
  return exportNames(exports).length === 0
    ? `${there} and calls listen() on no HTTP server: export your application (export default app)${hint}`
    : `no default export and none named application; ${there}: name one, ./app.js:name`
}

/** The application that is exported, or the server that it is served with if there is more to that: Socket.IO, say. */
function throughItsServer(exported: Detected, capture: ListenCapture): Detected {
  const { server } = capture
  const { callable, rule } = exported
  if (server === undefined || server === callable || exported.interface === 'wsgi' || isFastify(callable))
    return exported
  if (!capture.hasMore(server) || isOtherServer(capture, server, callable)) return exported
  return { interface: 'node', callable: server, rule: `${rule}, through its http.Server` }
}

/** What becomes of a server that wanted to listen while the application was loaded. */
function settle(capture: ListenCapture, callable: unknown): string | undefined {
  if (capture.server !== undefined && isOtherServer(capture, capture.server, callable)) {
    capture.release()
    return undefined
  }
  capture.keep(server => server === callable || capture.wasGiven(server, callable))
  return capture.target
}

/** True when the server can be seen to serve something else (metrics, say). Koa and Hono make a new listener each time. */
function isOtherServer(capture: ListenCapture, server: Server, callable: unknown): boolean {
  if (server === callable) return false
  if (typeof callable === 'function') return !capture.wasGiven(server, callable)
  const own = (callable as { server?: unknown }).server
  return own !== undefined && own !== server
}

async function filesFor({ sendfile = [] }: AdapterOptions): Promise<FileReplies | undefined> {
  return sendfile.length === 0 ? undefined : new (await import('../sendfile.ts')).FileReplies(sendfile)
}

/** Only the adapter that is needed is loaded: that of fetch brings in Node's own fetch, which costs 30 ms. */
async function adapt({ interface: name, callable, rule }: Detected, options: AdapterOptions): Promise<Application> {
  const files = await filesFor(options)
  if (name === 'wsgi')
    return (await import('../wsgi/wsgi.ts')).wsgiApplication(callable as WsgiCallable, options, files)
  if (name === 'fetch')
    return (await import('../fetch/fetch.ts')).fetchApplication(callable as FetchHandler, options, files)
  const node = await toListener(callable)
  if (node === undefined) throw new LoadError(`the ${rule} cannot be called as (request, response)`)
  return (await import('../node/node.ts')).nodeApplication(node.listener, options, { ...node, files })
}
