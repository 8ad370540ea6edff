/**
 * What follows from the names of a request's CGI variables alone: where the value of each one stands, which objects to
 * build from the values, which header each variable was. Worked out once for a sequence of names and kept, because a web
 * server sends the same names in the same order with almost every request (src/cgi/params.ts).
 *
 * RFC 3875 §4.1 (the variables) and §4.1.18 (HTTP_*). Which value SCRIPT_NAME and PATH_INFO ought to have depends on more
 * than names: src/cgi/request.ts.
 */

import { type Field, fieldValue, Layout } from './layout.ts'

/** The CGI variables of one request, each value one character a byte (latin1), as PEP 3333 has them. */
export type Environ = Record<string, string>

type Values = readonly string[]

/** Variables that this folder looks at; -1 where the web server sent none. */
export interface Positions {
  readonly contentLength: number
  readonly contentType: number
  readonly https: number
  readonly httpHost: number
  readonly pathInfo: number
  readonly queryString: number
  readonly remoteAddr: number
  readonly remotePort: number
  readonly requestMethod: number
  readonly requestScheme: number
  readonly requestUri: number
  readonly scriptFilename: number
  readonly scriptName: number
  readonly serverName: number
  readonly serverPort: number
  readonly serverProtocol: number
  readonly serverSoftware: number
}

/** What every environ has, and its value when the web server sent none or an empty one. */
const ESSENTIAL: Readonly<Record<string, string>> = {
  GATEWAY_INTERFACE: 'CGI/1.1',
  REQUEST_METHOD: 'GET',
  SCRIPT_NAME: '',
  PATH_INFO: '',
  QUERY_STRING: '',
  SERVER_NAME: '',
  SERVER_PORT: '',
  SERVER_PROTOCOL: 'HTTP/1.1',
  REMOTE_ADDR: '',
}

/**
 * Never passed on. HTTP_PROXY: a request header that many programs take for their proxy setting (httpoxy,
 * CVE-2016-5385). `__proto__`: not a variable, and not a property that survives copying.
 */
const DROPPED = new Set(['', 'HTTP_PROXY', '__proto__'])

/** Request headers of which http.IncomingMessage keeps the first and drops the others; the rest it joins. */
const SINGLE = new Set(
  (
    'age authorization content-length content-type etag expires from host if-modified-since if-unmodified-since ' +
    'last-modified location max-forwards proxy-authorization referer retry-after server user-agent'
  ).split(' '),
)

/** RFC 9110 §5.6.2, in lower case. */
const TOKEN = /^[a-z0-9!#$%&'*+.^`|~-]+$/

/** Apache's mod_rewrite sets this one, on hosts where `RewriteRule … [E=HTTP_AUTHORIZATION:…]` is the only way to get it. */
const REDIRECTED_AUTHORIZATION = 'REDIRECT_HTTP_AUTHORIZATION'

const NOTHING = {}

/** Positions of each variable, repeated ones together: all of them for a header, else the last (DESIGN: the last one wins). */
function variablesOf(names: Values): Map<string, number[]> {
  const variables = new Map<string, number[]>()
  names.forEach((name, position) => {
    if (DROPPED.has(name)) return
    const seen = variables.get(name)
    if (seen === undefined || !name.startsWith('HTTP_')) variables.set(name, [position])
    else seen.push(position)
  })
  return variables
}

/** The header that a variable other than CONTENT_TYPE and CONTENT_LENGTH stands for, in lower case. */
function headerOf(name: string, variables: ReadonlyMap<string, unknown>): string | undefined {
  if (name === REDIRECTED_AUTHORIZATION && !variables.has('HTTP_AUTHORIZATION')) return 'authorization'
  // Some servers send these besides CONTENT_TYPE and CONTENT_LENGTH, which are the ones to believe.
  if (name === 'HTTP_CONTENT_TYPE' || name === 'HTTP_CONTENT_LENGTH') return undefined
  if (!name.startsWith('HTTP_')) return undefined
  const header = name.slice(5).toLowerCase().replaceAll('_', '-')
  return TOKEN.test(header) ? header : undefined
}

const capitalised = (header: string): string => header.replace(/(^|-)[a-z]/g, letter => letter.toUpperCase())

const separatorFor = (name: string): string => (name === 'HTTP_COOKIE' ? '; ' : ', ')

/** Whether a CONTENT_LENGTH tells a length: Caddy sends -1 and nginx an empty one where there is none. */
function isLength(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return false
  }
  return text !== '' && text.length < 16
}

/** CONTENT_LENGTH as a number, -1 when it tells none. */
export const parseLength = (text: string): number => (isLength(text) ? Number(text) : -1)

/** Every variable once, and the essential ones that were not sent. */
function environFields(variables: ReadonlyMap<string, readonly number[]>): Field[] {
  const missing = Object.keys(ESSENTIAL).filter(name => !variables.has(name))
  return [...variables, ...missing.map(name => [name, []] as const)].map(([key, positions]) => ({
    key,
    positions,
    separator: separatorFor(key),
    fallback: Object.hasOwn(ESSENTIAL, key) ? (ESSENTIAL[key] as string) : '',
  }))
}

function positionsOf(variables: ReadonlyMap<string, readonly number[]>): Positions {
  const at = (name: string): number => variables.get(name)?.[0] ?? -1
  return {
    contentLength: at('CONTENT_LENGTH'),
    contentType: at('CONTENT_TYPE'),
    https: at('HTTPS'),
    httpHost: at('HTTP_HOST'),
    pathInfo: at('PATH_INFO'),
    queryString: at('QUERY_STRING'),
    remoteAddr: at('REMOTE_ADDR'),
    remotePort: at('REMOTE_PORT'),
    requestMethod: at('REQUEST_METHOD'),
    requestScheme: at('REQUEST_SCHEME'),
    requestUri: at('REQUEST_URI'),
    scriptFilename: at('SCRIPT_FILENAME'),
    scriptName: at('SCRIPT_NAME'),
    serverName: at('SERVER_NAME'),
    serverPort: at('SERVER_PORT'),
    serverProtocol: at('SERVER_PROTOCOL'),
    serverSoftware: at('SERVER_SOFTWARE'),
  }
}

/** The headers among the variables, in the order in which they came, a repeated one once. */
function headerFields(variables: ReadonlyMap<string, readonly number[]>): Field[] {
  return Array.from(variables).flatMap(([name, positions]) => {
    const key = headerOf(name, variables)
    return key === undefined ? [] : [{ key, positions, separator: separatorFor(name), fallback: '' }]
  })
}

export class Plan {
  readonly names: readonly string[]
  readonly at: Positions
  readonly #variables: ReadonlyMap<string, Field>
  readonly #environFields: readonly Field[]
  readonly #environ: Layout
  readonly #headers: Layout
  /** `['Host', '', 'Accept', '', …]`, and the position of the value of each. */
  readonly #rawHeaders: readonly string[]
  readonly #rawPositions: readonly number[]
  #appended: Readonly<Record<string, string>> = {}
  #extended: Layout | undefined

  constructor(names: readonly string[]) {
    const variables = variablesOf(names)
    const headers = headerFields(variables)
    const raw = headers.flatMap(({ key, positions }) => positions.map(position => ({ key, position })))
    raw.sort((a, b) => a.position - b.position)
    this.names = names
    this.at = positionsOf(variables)
    this.#variables = new Map(environFields(variables).map(field => [field.key, field]))
    this.#environFields = [...this.#variables.values()]
    this.#environ = new Layout(this.#environFields)
    this.#headers = new Layout(
      headers.map(field => (SINGLE.has(field.key) ? { ...field, positions: field.positions.slice(0, 1) } : field)),
    )
    this.#rawHeaders = raw.flatMap(({ key }) => [capitalised(key), ''])
    this.#rawPositions = raw.map(({ position }) => position)
  }

  /** One variable as `environ()` has it; undefined when it was not sent or is never passed on. */
  get(values: Values, name: string): string | undefined {
    const field = this.#variables.get(name)
    return field === undefined || field.positions.length === 0 ? undefined : fieldValue(field, values)
  }

  /**
   * A fresh plain object with every variable, those that RFC 3875 requires also when they were not sent. SCRIPT_NAME and
   * PATH_INFO are as sent: use `RequestFacts.environ()`.
   */
  environ(values: Values): Environ {
    return this.#environ.build(values, NOTHING) as Environ
  }

  /**
   * The same, with the properties of `source` that `appended` maps names to (`{ 'wsgi.input': 'input' }`). They win over
   * variables of that name. Pass the same `appended` every time: what is made for it is kept.
   */
  environWith<T>(values: Values, appended: Readonly<Record<string, string>>, source: object): Environ & T {
    if (this.#extended === undefined || this.#appended !== appended) {
      this.#extended = new Layout(this.#environFields, appended)
      this.#appended = appended
    }
    return this.#extended.build(values, source) as Environ & T
  }

  /** The request's headers as `http.IncomingMessage.headers` has them: lower case, repeated ones joined or the first taken. */
  headers(values: Values): Record<string, string> {
    const headers = this.#headers.build(values, NOTHING) as Record<string, string>
    const { contentType, contentLength } = this.at
    if (contentType >= 0 && values[contentType] !== '') headers['content-type'] = values[contentType] as string
    if (contentLength >= 0 && isLength(values[contentLength] as string)) {
      headers['content-length'] = values[contentLength] as string
    }
    return headers
  }

  /** The same as `http.IncomingMessage.rawHeaders` has them: name and value by turns, each occurrence. */
  rawHeaders(values: Values): string[] {
    const raw = this.#rawHeaders.slice()
    const positions = this.#rawPositions
    for (let i = 0; i < positions.length; i++) raw[2 * i + 1] = values[positions[i] as number] as string
    const { contentType, contentLength } = this.at
    if (contentType >= 0 && values[contentType] !== '') raw.push('Content-Type', values[contentType] as string)
    if (contentLength >= 0 && isLength(values[contentLength] as string)) {
      raw.push('Content-Length', values[contentLength] as string)
    }
    return raw
  }
}

const plans = new WeakMap<readonly string[], Plan>()
let last = new Plan([])

/** The plan for one sequence of names; kept for as long as that very array is. */
export function planFor(names: readonly string[]): Plan {
  if (last.names === names) return last
  let plan = plans.get(names)
  if (plan === undefined) {
    plan = new Plan(names)
    plans.set(names, plan)
  }
  last = plan
  return plan
}
