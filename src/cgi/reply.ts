/**
 * The head of a reply as a CGI program writes it (RFC 3875 §6): `Status` and the header fields, in one string, each
 * character one byte. What could split the head or confuse a web server is refused here, so that nothing above has to.
 */

import { parseLength, TOKEN } from './grammar.ts'

export type HeaderErrorCode =
  /** Not a number from 200 to 999, perhaps with a space and a reason after it. */
  | 'invalid-status'
  /** A header name that is not a token (RFC 9110 §5.6.2). */
  | 'invalid-name'
  /** A header value with a control character or one above 0xff: what `http.ServerResponse` refuses too. */
  | 'invalid-value'
  /** A Content-Length that is not a number, or two that differ. */
  | 'invalid-length'

/** The application's mistake: the reply it asks for must not be sent. */
export class HeaderError extends Error {
  override readonly name = 'HeaderError'
  readonly code: HeaderErrorCode

  constructor(code: HeaderErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

/** A number is written as one, as `http.ServerResponse` does: Content-Length often is. */
export type Header = readonly [name: string, value: string | number]

/**
 * Between web server and client the web server decides these (RFC 9110 §7.6.1): Apache, lighttpd and HAProxy close the
 * client's connection when an application sends `Connection: close`. `Status` is the first line's.
 */
const NOT_SENT = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'te', 'trailer', 'status'])

const STATUS = /^[2-9][0-9][0-9](?: [\t\x20-\x7e\x80-\xff]*)?$/

/** The header of one name as it went out last: mostly it goes out like this again. */
interface KnownHeader {
  readonly isSentOn: boolean
  value: string
  line: string
}

/** What an application writes it writes again: names and statuses that have passed. Bounded, should one make them up. */
const MAX_KNOWN = 1_000
const knownNames = new Map<string, KnownHeader>()
const knownStatuses = new Map<string, number>()

/** A longer line is not kept. */
const MAX_KEPT_LINE = 1_000

function remember<T>(known: Map<string, T>, text: string, value: T): T {
  if (known.size >= MAX_KNOWN) known.clear()
  known.set(text, value)
  return value
}

const quoted = (text: unknown): string => JSON.stringify(String(text).slice(0, 100))

function knownHeader(name: string): KnownHeader {
  const known = knownNames.get(name)
  if (known !== undefined) return known
  if (typeof name !== 'string' || !TOKEN.test(name)) {
    throw new HeaderError('invalid-name', `invalid header name ${quoted(name)}`)
  }
  return remember(knownNames, name, { isSentOn: isSentOn(name.toLowerCase()), value: '', line: '' })
}

/** `Name: value\r\n`; '' for a header that does not go out. */
function headerLine(name: string, given: string | number): string {
  const known = knownHeader(name)
  if (!known.isSentOn) return ''
  const value = typeof given === 'number' ? String(given) : given
  if (known.line !== '' && known.value === value) return known.line
  if (typeof value !== 'string' || !isFieldValue(value)) {
    throw new HeaderError('invalid-value', `invalid value ${quoted(value)} of header ${name}`)
  }
  const line = `${name}: ${value}\r\n`
  if (line.length <= MAX_KEPT_LINE) {
    known.value = value
    known.line = line
  }
  return line
}

/** Whether a header is for the client rather than for the web server alone. The name is in lower case. */
export function isSentOn(name: string): boolean {
  return !NOT_SENT.has(name) && !name.startsWith('proxy-')
}

/** Tab, space to tilde, 0x80 to 0xff (RFC 9110 §5.5). */
function isFieldValue(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if ((code < 0x20 && code !== 0x09) || code === 0x7f || code > 0xff) return false
  }
  return true
}

/**
 * The number in front of `200 OK`.
 * @throws HeaderError `invalid-status`; 1xx is one: a CGI reply is final
 */
export function statusCode(status: string): number {
  const known = knownStatuses.get(status)
  if (known !== undefined) return known
  if (typeof status !== 'string' || !STATUS.test(status)) {
    throw new HeaderError('invalid-status', `invalid status ${quoted(status)}`)
  }
  return remember(knownStatuses, status, Number(status.slice(0, 3)))
}

const isLocation = (name: string): boolean => name.length === 8 && name.toLowerCase() === 'location'

/**
 * `headerBlock` without the empty line at its end, for one who has another header to add.
 * @throws HeaderError
 */
export function headerLines(status: string, headers: Iterable<Header>): string {
  statusCode(status)
  let lines = ''
  let last = false
  for (const header of headers) {
    lines += headerLine(header[0], header[1])
    if (isLocation(header[0])) last = true
  }
  return withStatus(`Status: ${status}\r\n`, lines, last)
}

/** HAProxy (2.6.12) makes 302 of whatever status stands before a Location: `last` is true where there is one. */
export const withStatus = (line: string, headers: string, last: boolean): string =>
  last ? headers + line : line + headers

/** For an authorizer: lighttpd (1.4.69) drops what stands before the status. HAProxy has none. */
export const statusFirst = (block: string): string => block.replace(/^([\s\S]*?\r\n)(Status: .*\r\n)/, '$2$1')

/**
 * `Status: 200 OK`, the headers and the empty line, each line ended by CRLF. Headers between web server and client
 * (Connection, Keep-Alive, Transfer-Encoding, Upgrade, TE, Trailer, Proxy-*) are left out.
 * @throws HeaderError
 */
export const headerBlock = (status: string, headers: Iterable<Header>): string => `${headerLines(status, headers)}\r\n`

/**
 * The Content-Length among the headers, -1 when there is none.
 * @throws HeaderError `invalid-length`
 */
export function declaredLength(headers: Iterable<Header>): number {
  let declared = -1
  for (const header of headers) {
    const name = header[0]
    if (typeof name !== 'string' || name.length !== 14 || name.toLowerCase() !== 'content-length') continue
    const length = parseLength(String(header[1]))
    if (length < 0 || (declared >= 0 && declared !== length)) {
      throw new HeaderError('invalid-length', `invalid Content-Length ${quoted(header[1])}`)
    }
    declared = length
  }
  return declared
}

/** For the web server's error log. */
export const tooLong = (declared: number): string =>
  `runfcgi: the body is longer than its Content-Length of ${declared} and was cut there\n`

/** Whether a reply must go without a body (RFC 9110 §6.4.1), whatever the application wrote. */
export function hasNoBody(method: string, status: number): boolean {
  return method === 'HEAD' || status === 204 || status === 304
}
