/**
 * An HTTP request as CGI variables (RFC 3875 §4.1), the way a careful web server sends them. Pure: knows HTTP and CGI,
 * neither sockets nor FastCGI. All strings hold one byte a character, as node:http and FastCGI both want them.
 *
 * PATH_INFO is decoded and free of dot segments, REQUEST_URI is what the client sent. What a client could use to pose as
 * the web server is left out: `Proxy` (httpoxy), and names with an underscore, which would become the variable of
 * another header.
 */

import { decodePath } from '../cgi/url.ts'
import { hopByHop } from './hop-by-hop.ts'

export type Entry = readonly [name: string, value: string]

export interface Endpoint {
  readonly address: string
  readonly port: number
}

export interface HttpRequest {
  readonly method: string
  readonly target: RequestTarget
  /** A local redirect is followed: there is no body any more, whatever the headers say. */
  readonly redirected: boolean
  /** `1.1` */
  readonly httpVersion: string
  /** Names and values by turns, as in `IncomingMessage.rawHeaders`. */
  readonly rawHeaders: readonly string[]
  readonly secure: boolean
  readonly remote: Endpoint
  readonly local: Endpoint
}

export interface RequestTarget {
  /** Path and query as the client sent them. */
  readonly uri: string
  /** The path, percent-decoded, without `.` and `..` segments. */
  readonly path: string
  /** What follows the first `?`, raw; `''` without one. */
  readonly query: string
  /** From `GET http://host/path`, which overrides Host (RFC 9112 §3.2.2); else null. */
  readonly authority: string | null
}

/** Resolves `.` and `..` in an absolute path; null if it climbs above the root. */
function withoutDotSegments(path: string): string | null {
  if (!path.includes('/.')) return path
  const segments: string[] = []
  const all = path.split('/').slice(1)
  for (const segment of all) {
    if (segment === '..') {
      if (segments.pop() === undefined) return null
    } else if (segment !== '.') segments.push(segment)
  }
  const last = all.at(-1)
  if (last === '.' || last === '..') segments.push('')
  return `/${segments.join('/')}`
}

/** Percent-decoded; null if it cannot be, or must not. */
function plainPath(path: string): string | null {
  if (/%(?![0-9A-Fa-f]{2})/.test(path)) return null
  const decoded = decodePath(path)
  return decoded.includes('\0') ? null : withoutDotSegments(decoded)
}

/** Reads the target of a request line (RFC 9112 §3.2); null deserves a 400. */
export function parseTarget(target: string): RequestTarget | null {
  let uri = target
  let authority: string | null = null
  const absolute = /^https?:\/\/([^/?#]+)/i.exec(target)
  if (absolute !== null) {
    authority = absolute[1] as string
    uri = target.slice(absolute[0].length)
    if (!uri.startsWith('/')) uri = `/${uri}`
  }
  if (!uri.startsWith('/')) return null
  const mark = uri.indexOf('?')
  const path = plainPath(mark === -1 ? uri : uri.slice(0, mark))
  return path === null ? null : { uri, path, query: mark === -1 ? '' : uri.slice(mark + 1), authority }
}

/** Values of the headers that are passed on, by lower-case name, repeated ones joined (RFC 9110 §5.3, RFC 6265 §5.4). */
function headersOf(rawHeaders: readonly string[]): Map<string, string> {
  const drop = hopByHop(rawHeaders)
  const headers = new Map<string, string>()
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] as string).toLowerCase()
    if (drop.has(name) || name.includes('_') || name === 'proxy' || name === 'expect') continue
    const value = rawHeaders[at + 1] as string
    const before = headers.get(name)
    headers.set(name, before === undefined ? value : before + (name === 'cookie' ? '; ' : ', ') + value)
  }
  return headers
}

/** The name in `Host: name:port`, an IPv6 address with its brackets; `''` if there is none. */
const hostName = (host: string): string => /^(\[[^\]]*\]|[^:]*)/.exec(host)?.[0] ?? ''

/** `::ffff:127.0.0.1`, which a socket that listens on both families reports, is the IPv4 address. */
export const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, '')

const bracketed = (address: string): string => (address.includes(':') ? `[${address}]` : address)

/**
 * The variables of a request. `mount` is SCRIPT_NAME: the path prefix under which the application hangs, without a slash
 * at its end, `''` for the root; the target must be below it. The order never changes.
 */
export function requestParams(request: HttpRequest, mount: string, software: string): Entry[] {
  const { target, secure, redirected } = request
  const headers = headersOf(request.rawHeaders)
  if (target.authority !== null) headers.set('host', target.authority)
  const contentType = headers.get('content-type')
  const contentLength = headers.get('content-length')
  headers.delete('content-type')
  headers.delete('content-length')
  const params: Entry[] = [
    ['GATEWAY_INTERFACE', 'CGI/1.1'],
    ['SERVER_SOFTWARE', software],
    ['SERVER_PROTOCOL', `HTTP/${request.httpVersion}`],
    ['SERVER_NAME', hostName(headers.get('host') ?? '') || bracketed(request.local.address)],
    ['SERVER_ADDR', request.local.address],
    ['SERVER_PORT', String(request.local.port)],
    ['REMOTE_ADDR', request.remote.address],
    ['REMOTE_PORT', String(request.remote.port)],
    ['REQUEST_SCHEME', secure ? 'https' : 'http'],
    ['REQUEST_METHOD', request.method],
    ['REQUEST_URI', target.uri],
    ['SCRIPT_NAME', mount],
    ['PATH_INFO', target.path.slice(mount.length)],
    ['QUERY_STRING', target.query],
  ]
  if (secure) params.push(['HTTPS', 'on'])
  if (contentType !== undefined && !redirected) params.push(['CONTENT_TYPE', contentType])
  if (contentLength !== undefined && !redirected) params.push(['CONTENT_LENGTH', contentLength])
  for (const [name, value] of headers) params.push([`HTTP_${name.toUpperCase().replaceAll('-', '_')}`, value])
  return params
}
