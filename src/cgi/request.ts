/**
 * What the CGI variables say about a request: its method, its URL, where the application is mounted, who sent it. The web
 * servers fill in the same variables differently (nginx puts the whole path into SCRIPT_NAME, h2o into PATH_INFO, HAProxy
 * sends no SCRIPT_NAME, mod_rewrite adds a script that no client asked for); here they come out the same. Nothing is taken
 * for granted, not even REQUEST_METHOD.
 *
 * RFC 3875 §4.1. How SCRIPT_NAME and PATH_INFO are found: src/cgi/mount.ts.
 */

import { parseLength } from './grammar.ts'
import { deriveSplit, splitAt } from './mount.ts'
import type { Params } from './params.ts'
import { type Environ, type Plan, planFor } from './plan.ts'
import { decodePath, encodedLength, encodePath, targetPath, targetQuery, toPrintable } from './url.ts'

/** A port number from text; `otherwise` for what is none. */
function port(text: string, otherwise: number): number {
  const number = text === '' ? otherwise : Number(text)
  return Number.isInteger(number) && number >= 0 && number <= 65_535 ? number : otherwise
}

/** `example.org` of `example.org:8080`, `[::1]` of `[::1]:8080` and of `::1`. */
function hostName(host: string): string {
  const colon = host.indexOf(':')
  if (colon < 0) return host
  if (host.startsWith('[')) return host.slice(0, host.indexOf(']') + 1)
  return host.includes(':', colon + 1) ? `[${host}]` : host.slice(0, colon)
}

/** Properties that a caller may never ask for are worked out when it does. */
export class RequestFacts {
  /** Where the application is mounted, percent-decoded, one character a byte: '' at the root, never a slash at the end. */
  readonly scriptName: string
  /** The path below it, percent-decoded, one character a byte: '' or starting with a slash. */
  readonly pathInfo: string

  readonly #plan: Plan
  readonly #values: readonly string[]
  readonly #uri: string
  /** The path of REQUEST_URI as it was sent, and decoded; '' when there is none. */
  readonly #path: string
  readonly #asked: string

  constructor(params: Params, mount: string | undefined) {
    const plan = planFor(params.names)
    this.#plan = plan
    this.#values = params.values
    this.#uri = this.#sent(plan.at.requestUri)
    this.#path = targetPath(this.#uri)
    this.#asked = decodePath(this.#path)
    const derived = deriveSplit({
      asked: this.#asked,
      scriptName: this.#sent(plan.at.scriptName),
      pathInfo: this.#sent(plan.at.pathInfo),
      scriptFilename: this.#sent(plan.at.scriptFilename),
      serverSoftware: this.#sent(plan.at.serverSoftware),
    })
    const { scriptName, pathInfo } = mount === undefined ? derived : splitAt(mount, this.#asked, derived)
    this.scriptName = scriptName
    this.pathInfo = pathInfo
  }

  /** `GET` when the web server did not say. */
  get method(): string {
    return this.#sent(this.#plan.at.requestMethod) || 'GET'
  }

  /** `HTTP/1.1`, `HTTP/2.0`: of the client's request. */
  get protocol(): string {
    return this.#sent(this.#plan.at.serverProtocol) || 'HTTP/1.1'
  }

  /** Without the question mark. */
  get query(): string {
    const position = this.#plan.at.queryString
    return position < 0 ? targetQuery(this.#uri) : this.#sent(position)
  }

  /** Path and query below the mount point, percent-encoded: starts with a slash and is printable ASCII. */
  get url(): string {
    return this.#url(this.scriptName.length, this.pathInfo)
  }

  /** The same from the root on: what the client asked for, unless the web server rewrote it. */
  get originalUrl(): string {
    return this.#url(0, this.scriptName + this.pathInfo)
  }

  get https(): boolean {
    const https = this.#sent(this.#plan.at.https).toLowerCase()
    if (https !== '') return https !== 'off' && https !== '0' && https !== 'no'
    return this.#sent(this.#plan.at.requestScheme) === 'https'
  }

  /** As in the Host header: with the port where it is not the scheme's own. */
  get host(): string {
    const host = this.#sent(this.#plan.at.httpHost)
    if (host !== '') return host
    const { serverName, serverPort } = this
    return serverPort === (this.https ? 443 : 80) ? serverName : `${serverName}:${serverPort}`
  }

  /** Without a port, which HAProxy sends with it. An IPv6 address is in brackets. */
  get serverName(): string {
    const { serverName, httpHost } = this.#plan.at
    return hostName(this.#sent(serverName)) || hostName(this.#sent(httpHost)) || 'localhost'
  }

  get serverPort(): number {
    return port(this.#sent(this.#plan.at.serverPort), this.https ? 443 : 80)
  }

  /** '' when it is not known. */
  get remoteAddress(): string {
    return this.#sent(this.#plan.at.remoteAddr)
  }

  /** 0 when it is not known. */
  get remotePort(): number {
    return port(this.#sent(this.#plan.at.remotePort), 0)
  }

  /** Bytes of the body as announced; -1 when they were not. */
  get contentLength(): number {
    return parseLength(this.#sent(this.#plan.at.contentLength))
  }

  /** A fresh plain object with all CGI variables, those of RFC 3875 always there and right. */
  environ(): Environ {
    return this.#corrected(this.#plan.environ(this.#values))
  }

  /** `environ()` with further properties: see `Plan.environWith`. */
  environWith<T>(appended: Readonly<Record<string, string>>, source: object): Environ & T {
    return this.#corrected(this.#plan.environWith<T>(this.#values, appended, source))
  }

  #corrected<E extends Environ>(environ: E): E {
    const target: Environ = environ
    target.SCRIPT_NAME = this.scriptName
    target.PATH_INFO = this.pathInfo
    target.SERVER_NAME = this.serverName
    if (target.SERVER_PORT === '') target.SERVER_PORT = String(this.serverPort)
    if (this.#plan.at.queryString < 0) target.QUERY_STRING = this.query
    if (target.CONTENT_LENGTH && this.contentLength < 0) target.CONTENT_LENGTH = ''
    return environ
  }

  #sent(position: number): string {
    return position < 0 ? '' : (this.#values[position] as string)
  }

  /** `path` (decoded) and the query. As it was sent, if `path` is what follows `skipped` bytes of the path of REQUEST_URI. */
  #url(skipped: number, path: string): string {
    const { query } = this
    const asked = this.#asked
    let encoded = ''
    if (asked.length === skipped + path.length && asked.endsWith(path)) {
      const uri = this.#uri
      const offset = encodedLength(this.#path, skipped)
      // Mostly it is REQUEST_URI or the end of it, and nothing needs to be put together. A `?` with nothing behind it stays.
      const length = this.#path.length + (query === '' && !uri.endsWith('?') ? 0 : query.length + 1)
      if (uri.length === length && uri.startsWith('/', offset) && uri.endsWith(query))
        return toPrintable(uri.slice(offset))
      encoded = this.#path.slice(offset)
    }
    // `/app%2Fpage` is `/page` below `/app`, but `%2Fpage` is no URL.
    if (!encoded.startsWith('/')) encoded = encodePath(path) || '/'
    return toPrintable(query === '' ? encoded : `${encoded}?${query}`)
  }
}

/** @param mount the mount point when the person said it ('' for the root); left out: found out from the request */
export function requestFacts(params: Params, mount?: string): RequestFacts {
  return new RequestFacts(params, mount)
}
