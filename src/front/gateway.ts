/**
 * The embedded web server of `runfcgi serve`: HTTP in, FastCGI out over a real socket, streaming both ways. What it
 * forwards goes through Forwarding; here are the listener, the mount point and the orderly end. It writes no access log:
 * the responder behind it does.
 */

import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { isBelow } from '../cgi/mount.ts'
import type { Log } from '../log.ts'
import { errorPage } from './error-page.ts'
import { Forwarding, type ForwardingContext, type ForwardingOutcome } from './forwarding.ts'
import { type Endpoint, parseTarget, plainAddress, requestParams } from './params.ts'
import { ConnectionPool, type PoolOptions } from './pool.ts'
import type { Target } from './target.ts'

export interface GatewayOptions {
  /** Where the responder listens. */
  readonly target: Target
  readonly log: Log
  /** The path prefix of the application (SCRIPT_NAME), such as `/app`. Default `''`, the root. All else is 404. */
  readonly mount?: string | undefined
  /** Called once for each request, when it is over. */
  readonly onDone?: ((outcome: ForwardingOutcome) => void) | undefined
  /** What the application writes to its error stream, in the pieces in which it comes. Default: `log.warn`. */
  readonly onStderr?: ((text: string) => void) | undefined
  /** Certificate and key in PEM: serve HTTPS. */
  readonly tls?: { readonly cert: string | Buffer; readonly key: string | Buffer } | undefined
  /** Milliseconds without any progress before 504 (application) or 408 (client). Default 60,000; 0 for no limit. */
  readonly timeoutMs?: number | undefined
  readonly pool?: PoolOptions | undefined
}

export type GatewayListen = { readonly host?: string; readonly port: number } | { readonly path: string }

export interface Gateway {
  readonly server: http.Server | https.Server
  /** @throws GatewayError if that address cannot be listened on */
  listen(where: GatewayListen): Promise<GatewayAddress>
  /** Takes no more connections and lets running requests end, for `graceMs` (default 10,000) at most. */
  close(graceMs?: number): Promise<void>
  stats(): GatewayStats
}

export interface GatewayStats {
  /** Connections to the responder, and how many of them are idle. */
  readonly open: number
  readonly idle: number
  /** Requests that wait for a connection. */
  readonly waiting: number
  /** Requests being forwarded. */
  readonly inFlight: number
}

export interface GatewayAddress {
  /** `http://127.0.0.1:8080`, or the path of a Unix socket. */
  readonly url: string
  readonly port: number
}

/** The gateway cannot listen. The message is one line for the person who said where. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError'
}

const LISTEN_REASONS: ReadonlyMap<unknown, string> = new Map([
  ['EADDRINUSE', 'the address is in use: stop what runs there or choose another port'],
  ['EACCES', 'permission denied: ports below 1024 are reserved, choose a higher one'],
  ['EADDRNOTAVAIL', 'no interface of this machine has that address'],
  ['ENOTFOUND', 'no such host'],
])

function addressOf(address: AddressInfo | string | null, secure: boolean): GatewayAddress {
  if (address === null || typeof address === 'string') return { url: address ?? '', port: 0 }
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address
  return { url: `http${secure ? 's' : ''}://${host}:${address.port}`, port: address.port }
}

function listenError(where: GatewayListen, error: unknown): GatewayError {
  const place = 'path' in where ? where.path : `${where.host ?? '127.0.0.1'}:${where.port}`
  const { code, message } = error as NodeJS.ErrnoException
  const reason = LISTEN_REASONS.get(code) ?? message
  return new GatewayError(`cannot serve HTTP on ${place}: ${reason}`, { cause: error })
}

/** SERVER_SOFTWARE */
const SOFTWARE = 'runfcgi'

/** RFC 9112 §3.2: such a request is to be refused. */
const hasTwoHosts = (rawHeaders: readonly string[]): boolean =>
  rawHeaders.filter((text, index) => index % 2 === 0 && text.toLowerCase() === 'host').length > 1

const endpoint = (address: string | undefined, port: number | undefined): Endpoint => ({
  address: plainAddress(address ?? ''),
  port: port ?? 0,
})

class HttpGateway implements Gateway {
  readonly server: http.Server | https.Server
  readonly #options: GatewayOptions
  readonly #mount: string
  readonly #pool: ConnectionPool
  #inFlight = 0
  #closing = false

  constructor(options: GatewayOptions) {
    this.#options = options
    this.#mount = (options.mount ?? '').replace(/\/+$/, '')
    this.#pool = new ConnectionPool(options.target, options.pool)
    // requestTimeout would count the whole body: a long upload is no error, and Forwarding times what stands still.
    const settings = { requestTimeout: 0, keepAliveTimeout: 65_000, noDelay: true }
    const { tls } = options
    this.server = tls === undefined ? http.createServer(settings) : https.createServer({ ...settings, ...tls })
    this.server.on('request', (req, res) => this.#handle(req, res, false))
    this.server.on('checkContinue', (req, res) => this.#handle(req, res, true))
  }

  stats(): GatewayStats {
    return { ...this.#pool.stats, inFlight: this.#inFlight }
  }

  async listen(where: GatewayListen): Promise<GatewayAddress> {
    this.server.listen('path' in where ? where : { host: where.host ?? '127.0.0.1', port: where.port })
    try {
      await once(this.server, 'listening')
    } catch (error) {
      throw listenError(where, error)
    }
    return addressOf(this.server.address(), this.#options.tls !== undefined)
  }

  async close(graceMs = 10_000): Promise<void> {
    this.#closing = true
    const timer = setTimeout(() => this.server.closeAllConnections(), graceMs)
    await new Promise<void>(resolve => {
      this.server.close(() => resolve())
    })
    clearTimeout(timer)
    this.#pool.close()
  }

  #handle(req: IncomingMessage, res: ServerResponse, expectsContinue: boolean): void {
    const onDone = (outcome: ForwardingOutcome): void => this.#done(req, outcome)
    this.#inFlight++
    res.once('close', () => {
      // Closing the server closes connections that are idle at that moment; this one has just become so.
      if (this.#closing) this.server.closeIdleConnections()
    })
    const target = parseTarget(req.url ?? '')
    if (target === null || hasTwoHosts(req.rawHeaders)) refuse(res, 400, onDone)
    else if (!isBelow(target.path, this.#mount)) refuse(res, 404, onDone)
    else new Forwarding(req, res, target, expectsContinue, this.#contextOf(req, onDone)).start()
  }

  #contextOf(req: IncomingMessage, onDone: (outcome: ForwardingOutcome) => void): ForwardingContext {
    const { socket, httpVersion, rawHeaders } = req
    const remote = endpoint(socket.remoteAddress, socket.remotePort)
    const local = endpoint(socket.localAddress, socket.localPort)
    const secure = this.#options.tls !== undefined
    return {
      pool: this.#pool,
      mount: this.#mount,
      timeoutMs: this.#options.timeoutMs ?? 60_000,
      closing: () => this.#closing,
      paramsFor: request =>
        requestParams({ ...request, httpVersion, rawHeaders, secure, remote, local }, this.#mount, SOFTWARE),
      onStderr: chunk => this.#stderr(req, chunk),
      onDone,
    }
  }

  #stderr(req: IncomingMessage, chunk: Buffer): void {
    const text = chunk.toString()
    if (this.#options.onStderr !== undefined) this.#options.onStderr(text)
    else
      this.#options.log.warn({ method: req.method, target: req.url, stderr: text.trimEnd() }, 'the application reports')
  }

  #done({ method, url }: IncomingMessage, outcome: ForwardingOutcome): void {
    this.#inFlight--
    const { problem, status } = outcome
    if (problem !== null) {
      const level = status >= 500 && status < 600 ? 'error' : 'info'
      this.#options.log[level]({ method, target: url, status }, problem)
    }
    this.#options.onDone?.(outcome)
  }
}

/** A reply without asking the application. */
function refuse(res: ServerResponse, status: number, onDone: (outcome: ForwardingOutcome) => void): void {
  const { headers, body } = errorPage(status)
  res.writeHead(status, [...headers])
  res.end(body)
  onDone({ status, bytes: body.length, problem: null })
}

/** An HTTP server that forwards all requests below `mount` to the responder at `target`. */
export function createGateway(options: GatewayOptions): Gateway {
  return new HttpGateway(options)
}
