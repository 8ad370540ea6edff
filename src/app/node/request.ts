/**
 * An `http.IncomingMessage` made of CGI variables: what a node:http listener expects of its request, and on it what
 * FastCGI has besides: `cgi`, `errors`, `signal`.
 */

import { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { type Environ, planFor } from '../../cgi/plan.ts'
import type { Exchange } from '../exchange.ts'
import { errorStream } from '../streams.ts'
import { NodeSocket } from './socket.ts'

/** The request of a Node listener: a real `http.IncomingMessage` and more. */
export interface NodeRequest extends IncomingMessage {
  /** All CGI variables; a plain object of the request's own. */
  cgi: Environ
  /** The web server's error log (FCGI_STDERR). */
  readonly errors: Writable
  /** Aborted when the client goes away or time is up before the reply has ended. */
  readonly signal: AbortSignal
  /** Below a mount point the URL from the root on, while `url` is what follows it. Express, Connect and Fastify go by it. */
  originalUrl?: string
  /** The mount point as it is in `originalUrl`. Neither of the two is there at the root, as under node:http. */
  baseUrl?: string
}

/** What node:http's parser sets. */
interface RequestInternals {
  errors: Writable
  _addHeaderLines(headers: string[], count: number): void
}

/**
 * Gives requests of ours a `signal` where node does not yet (before Node 24). On the prototype, as node's own, so that
 * Express's requests have it too; an accessor of each request's own would cost 4 % of a small request.
 */
export function installSignal(): void {
  if ('signal' in IncomingMessage.prototype) return
  Object.defineProperty(IncomingMessage.prototype, 'signal', {
    configurable: true,
    get(this: IncomingMessage): AbortSignal | undefined {
      const socket: unknown = this.socket
      return socket instanceof NodeSocket ? socket.signal : undefined
    },
  })
}

export function createRequest(exchange: Exchange, socket: NodeSocket): NodeRequest {
  const { facts } = socket
  const { names, values } = exchange.params
  const plan = planFor(names)
  const request = new IncomingMessage(socket as unknown as Socket) as NodeRequest & RequestInternals
  request.method = facts.method
  request.url = facts.url
  if (facts.scriptName !== '') setMountPoint(request, facts.originalUrl)
  setVersion(request, facts.protocol)
  setHeaders(request, plan.headers(values), plan.rawHeaders(values), exchange.bodyless)
  request.complete = exchange.bodyless
  request.cgi = facts.environ()
  request.errors = errorStream(exchange)
  return request
}

function setMountPoint(request: NodeRequest, originalUrl: string): void {
  request.originalUrl = originalUrl
  request.baseUrl = originalUrl.slice(0, originalUrl.length - (request.url ?? '').length)
}

/** To a Node program a major version of 2 means node:http2, which this is not: HTTP/2 and 3 are `1.1`. See `cgi` for the truth. */
function setVersion(request: IncomingMessage, protocol: string): void {
  const old = protocol === 'HTTP/1.0'
  request.httpVersion = old ? '1.0' : '1.1'
  request.httpVersionMajor = 1
  request.httpVersionMinor = old ? 0 : 1
}

function setHeaders(
  request: RequestInternals & IncomingMessage,
  headers: Record<string, string>,
  raw: string[],
  bodyless: boolean,
): void {
  // Body parsers take a body without a length for none at all unless it is declared chunked, as it was by the client.
  if (!bodyless && headers['content-type'] && !headers['content-length'] && !headers['transfer-encoding']) {
    headers['transfer-encoding'] = 'chunked'
    raw.push('Transfer-Encoding', 'chunked')
  }
  request._addHeaderLines(raw, raw.length)
  request.headers = headers
}
