/**
 * A responder in the shape of `http.createServer`: for programs that run themselves and want FastCGI instead of HTTP.
 * One process, no supervision; the command does what this leaves out.
 */

import { Server, type Socket } from 'node:net'
import type { Authorizer } from '../app/authorizer.ts'
import type { AdapterOptions, Application } from '../app/exchange.ts'
import type { InterfaceChoice } from '../app/load/detect.ts'
import { toApplication, withAuthorizer } from '../app/load/load.ts'
import type { Log } from '../log.ts'
import { DEFAULT_LIMITS, type Limits } from './limits.ts'
import { createResponder, type Responder, type ResponderStats } from './responder.ts'

export interface ServerOptions {
  /** How the application is called. Default `auto`: by its shape; a WSGI-style callable must be named (`wsgi`). */
  readonly interface?: InterfaceChoice
  /** For requests of the role Authorizer. Without it they are refused (FCGI_UNKNOWN_ROLE). */
  readonly authorizer?: Authorizer
  /** The mount point, `''` for the root. Default: derived from each request. */
  readonly mount?: string
  /** A pino logger or anything like it. Default: silent. */
  readonly log?: Log
  /** Show stacks to the client. Default false. */
  readonly debug?: boolean
  /** Each limit that is not given is that of `DEFAULT_LIMITS`. */
  readonly limits?: Partial<Limits>
  /** Milliseconds that requests may go on after `close()`; then they are answered 503, or cut off. Default: no limit, as with http. */
  readonly gracefulTimeout?: number
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** The longest a Node timer can wait. */
const FOREVER = 0x7fffffff

/**
 * A `net.Server` that answers FastCGI with an application. `listen`, `address`, `close` and the events are those of
 * `net.Server`; `close()` lets requests finish and closes idle connections at once, as `http.Server` does. An application
 * that cannot be served is an 'error' event.
 */
export class FastCgiServer extends Server {
  readonly #responder: Promise<Responder | undefined>
  readonly #gracefulTimeout: number
  #serving: Responder | undefined

  constructor(app: unknown, options: ServerOptions = {}) {
    super({ allowHalfOpen: true, noDelay: true })
    this.#gracefulTimeout = options.gracefulTimeout ?? FOREVER
    this.#responder = this.#load(app, options)
    this.on('connection', (socket: Socket) => void this.#accept(socket))
  }

  /** What the server is doing. */
  stats(): ResponderStats {
    return this.#serving?.stats() ?? { connections: 0, inflight: 0, requests: 0, statuses: {} }
  }

  override close(callback?: (error?: Error) => void): this {
    void this.#responder.then(responder => responder?.drain(this.#gracefulTimeout))
    return super.close(callback)
  }

  async #load(app: unknown, options: ServerOptions): Promise<Responder | undefined> {
    const adapterOptions: AdapterOptions = {
      mount: options.mount,
      concurrency: { multithread: false, multiprocess: false, runOnce: false },
    }
    try {
      const alone: Application = await toApplication(app, options.interface ?? 'auto', adapterOptions)
      const { authorizer } = options
      this.#serving = createResponder({
        app: authorizer === undefined ? alone : await withAuthorizer(alone, authorizer, adapterOptions),
        log: options.log ?? silentLog,
        limits: { ...DEFAULT_LIMITS, ...options.limits },
        debug: options.debug ?? false,
      })
      return this.#serving
    } catch (error) {
      this.emit('error', error)
      return undefined
    }
  }

  async #accept(socket: Socket): Promise<void> {
    const responder = this.#serving ?? (await this.#responder)
    if (responder === undefined) socket.destroy()
    else responder.accept(socket)
  }
}

/**
 * Creates a FastCGI server for an application: whatever a file would export for the command to serve (an Express, Koa,
 * Fastify or Hono application, an `http.Server`, a listener, a fetch handler), or a promise of it. Throws nothing: what
 * cannot be served, and what cannot be listened on, is an 'error' event.
 *
 * A fetch handler gets Node's own `Request` and `Response`, unless the program calls `installLightGlobals()` before.
 *
 * @example
 * createServer((request, response) => response.end('hello')).listen('/run/mysite/site.sock')
 */
export function createServer(app: unknown, options: ServerOptions = {}): FastCgiServer {
  return new FastCgiServer(app, options)
}
