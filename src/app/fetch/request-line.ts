/**
 * Method and URL as the constructor of `Request` would leave them, without calling it: what it would change is seldom there,
 * so it is looked for first. WHATWG URL standard; Fetch standard §2.2.1 (methods).
 */

import { TOKEN } from '../../cgi/grammar.ts'

/** The standard writes these in capitals however they came; others (patch) stay as they are. */
const normalized = new Set(['DELETE', 'GET', 'HEAD', 'OPTIONS', 'POST', 'PUT'])
const forbidden = new Set(['CONNECT', 'TRACE', 'TRACK'])

/** The method of a Request; undefined if no Request can have it. */
export function requestMethod(method: string): string | undefined {
  if (method === 'GET' || method === 'POST') return method
  const upper = method.toUpperCase()
  if (normalized.has(upper)) return upper
  return TOKEN.test(method) && !forbidden.has(upper) ? method : undefined
}

/** Origins of the hosts that were asked for. Clients choose the Host header, so there is an end to it. */
const MAX_ORIGINS = 1_000
const http = new Map<string, string | undefined>()
const https = new Map<string, string | undefined>()

/** What URL leaves as it is in a path and a query, segments that start like `.` and `..` excepted. */
const PLAIN = /^(?:\/(?!\.|%2)|[\w!$%&()*+,.:;=?@~[\]-])+$/

/**
 * The absolute URL of a request, serialized.
 * @param target path and query, starting with a slash
 * @returns undefined if host or target are not valid
 */
export function requestUrl(secure: boolean, host: string, target: string): string | undefined {
  const origins = secure ? https : http
  let origin = origins.get(host)
  if (origin === undefined && !origins.has(host)) {
    origin = originOf(secure ? 'https:' : 'http:', host)
    if (origins.size >= MAX_ORIGINS) origins.clear()
    origins.set(host, origin)
  }
  if (origin === undefined) return undefined
  return origin + (PLAIN.test(target) ? target : serialized(target))
}

/** A backslash is a character to web servers; to URL it is a slash, and what comes after it may be `..`. */
function serialized(target: string): string {
  const query = target.indexOf('?')
  const path = query < 0 ? target : target.slice(0, query)
  const url = new URL(`http://host${path.replaceAll('\\', '%5C')}${target.slice(path.length)}`)
  return url.href.slice(url.origin.length)
}

/** `http://example.com:8080`, or undefined if the host is more than a host, or none. */
function originOf(protocol: string, host: string): string | undefined {
  if (!/^[^\s/?#@\\]+$/.test(host) || !URL.canParse(`${protocol}//${host}/`)) return undefined
  return new URL(`${protocol}//${host}/`).origin
}
