/**
 * What the name of a CGI variable tells (RFC 3875 §4.1): whether it is passed on, which request header it was (§4.1.18),
 * what repetitions mean. Looked up for each name once and kept, since names come again and again.
 */

import { TOKEN } from './grammar.ts'
import type { Column } from './layout.ts'

export interface Variable {
  /** Undefined for what is never passed on. */
  readonly column: Column | undefined
  /** The same as a request header, in lower case; CONTENT_TYPE and CONTENT_LENGTH are none, because they may be empty. */
  readonly header: Column | undefined
  /** The header as a client would write it: `Accept-Language`. */
  readonly rawHeader: string
  /** A variable that this folder looks at. */
  readonly known: keyof Positions | undefined
}

/** Where the variables that this folder looks at stand among the values; -1 for one that was not sent. */
export interface Positions {
  contentLength: number
  contentType: number
  httpHost: number
  https: number
  pathInfo: number
  queryString: number
  remoteAddr: number
  remotePort: number
  requestMethod: number
  requestScheme: number
  requestUri: number
  scriptFilename: number
  scriptName: number
  serverName: number
  serverPort: number
  serverProtocol: number
  serverSoftware: number
}

const KNOWN: ReadonlyMap<string, keyof Positions> = new Map([
  ['CONTENT_LENGTH', 'contentLength'],
  ['CONTENT_TYPE', 'contentType'],
  ['HTTP_HOST', 'httpHost'],
  ['HTTPS', 'https'],
  ['PATH_INFO', 'pathInfo'],
  ['QUERY_STRING', 'queryString'],
  ['REMOTE_ADDR', 'remoteAddr'],
  ['REMOTE_PORT', 'remotePort'],
  ['REQUEST_METHOD', 'requestMethod'],
  ['REQUEST_SCHEME', 'requestScheme'],
  ['REQUEST_URI', 'requestUri'],
  ['SCRIPT_FILENAME', 'scriptFilename'],
  ['SCRIPT_NAME', 'scriptName'],
  ['SERVER_NAME', 'serverName'],
  ['SERVER_PORT', 'serverPort'],
  ['SERVER_PROTOCOL', 'serverProtocol'],
  ['SERVER_SOFTWARE', 'serverSoftware'],
])

/**
 * Never passed on. HTTP_PROXY: a request header that many programs take for their proxy setting (httpoxy,
 * CVE-2016-5385). `__proto__`: no variable, and no property that survives copying.
 */
const DROPPED = new Set(['', 'HTTP_PROXY', '__proto__'])

/** Request headers of which `http.IncomingMessage` keeps the first and drops the others. */
const SINGLE = new Set([
  'age',
  'authorization',
  'content-length',
  'content-type',
  'etag',
  'expires',
  'from',
  'if-modified-since',
  'if-unmodified-since',
  'last-modified',
  'location',
  'max-forwards',
  'proxy-authorization',
  'referer',
  'retry-after',
  'server',
  'user-agent',
])

/** What mod_rewrite makes of `[E=HTTP_AUTHORIZATION:…]`, on shared hosts the only way to get that header. */
export const REDIRECTED_AUTHORIZATION = 'REDIRECT_HTTP_AUTHORIZATION'

function headerName(name: string): string | undefined {
  if (name === REDIRECTED_AUTHORIZATION) return 'authorization'
  // Some servers send these two besides CONTENT_TYPE and CONTENT_LENGTH, which are the ones to believe.
  if (!name.startsWith('HTTP_') || name === 'HTTP_CONTENT_TYPE' || name === 'HTTP_CONTENT_LENGTH') return undefined
  const header = name.slice(5).toLowerCase().replaceAll('_', '-')
  return TOKEN.test(header) ? header : undefined
}

function describe(name: string): Variable {
  const known = KNOWN.get(name)
  if (DROPPED.has(name)) return { column: undefined, header: undefined, rawHeader: '', known }
  const header = headerName(name)
  const separator = name === 'HTTP_COOKIE' ? '; ' : ', '
  return {
    column: { key: name, repeated: name.startsWith('HTTP_') && header !== 'host' ? 'joined' : 'last', separator },
    header: header === undefined ? undefined : { key: header, repeated: meaningOf(header), separator },
    rawHeader: header?.replace(/(^|-)[a-z]/g, letter => letter.toUpperCase()) ?? '',
    known,
  }
}

/**
 * No web server lets two Host headers through (RFC 9112 §3.2): a second one was added in its configuration, behind that of
 * `fastcgi_params` (Debian's sends one without the port). As of any other variable, the last one wins.
 */
function meaningOf(header: string): Column['repeated'] {
  if (header === 'host') return 'last'
  return SINGLE.has(header) ? 'first' : 'joined'
}

/** Clients make up header names: above this many all are forgotten. */
const MAX_KEPT = 4_096
const variables = new Map<string, Variable>()

export function variableOf(name: string): Variable {
  const kept = variables.get(name)
  if (kept !== undefined) return kept
  if (variables.size >= MAX_KEPT) variables.clear()
  const variable = describe(name)
  variables.set(name, variable)
  return variable
}

/** Where the known variables stand, the last of each. */
export function positionsOf(sequence: readonly Variable[]): Readonly<Positions> {
  const positions: Positions = {
    contentLength: -1,
    contentType: -1,
    httpHost: -1,
    https: -1,
    pathInfo: -1,
    queryString: -1,
    remoteAddr: -1,
    remotePort: -1,
    requestMethod: -1,
    requestScheme: -1,
    requestUri: -1,
    scriptFilename: -1,
    scriptName: -1,
    serverName: -1,
    serverPort: -1,
    serverProtocol: -1,
    serverSoftware: -1,
  }
  for (let position = 0; position < sequence.length; position++) {
    const known = sequence[position]?.known
    if (known !== undefined) positions[known] = position
  }
  return positions
}
