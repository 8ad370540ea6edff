/**
 * The head of a CGI response (RFC 3875 §6), read as a web server reads it: header lines ended by LF or CRLF and cut
 * anywhere, an empty line, then the body. Knows nothing of FastCGI, of HTTP connections, or of what sends the bytes.
 *
 * A head that a strict web server would refuse is refused here too, with a message for the person who wrote it.
 */

import { parseLength, TOKEN } from './grammar.ts'

export type ResponseHeadErrorCode =
  /** The reply ended without a byte. */
  | 'empty'
  /** The reply ended before the empty line. */
  | 'incomplete'
  /** No empty line within the limit. */
  | 'too-large'
  /** A line that is not `Name: value`, or holds a control character. */
  | 'invalid-line'
  /** A `Status` that is not a number from 200 to 999. */
  | 'invalid-status'
  /** A `Content-Length` that is not a number, or two that differ. */
  | 'invalid-length'

export class ResponseHeadError extends Error {
  override readonly name = 'ResponseHeadError'
  readonly code: ResponseHeadErrorCode

  constructor(code: ResponseHeadErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

export type Header = readonly [name: string, value: string]

export interface ResponseHead {
  readonly status: number
  /** What followed the number in `Status`, `''` if nothing did. */
  readonly reason: string
  /** In order, as sent, without `Status` and without a repeated `Content-Length`; each character one byte. */
  readonly headers: readonly Header[]
  /** The declared length of the body, -1 if none is declared. */
  readonly contentLength: number
  /**
   * The path and query of a local redirect (§6.2.2): `Location` is the only field and is a path. The web server answers
   * as if that had been asked for. With any other field beside it a plain 302 is made of it, as lighttpd does.
   */
  readonly localRedirect: string | null
}

export interface ParsedResponseHead {
  readonly head: ResponseHead
  /** What followed the head in the chunk that completed it. */
  readonly rest: Buffer
}

/** lighttpd reads as much; nginx stops at one page unless told otherwise. */
export const MAX_RESPONSE_HEAD = 65_536

const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/
const STATUS = /^([2-9]\d\d)(?:[ \t]+(.*))?$/
const OUTER_BLANKS = /^[ \t]+|[ \t]+$/g

/** Quotes the beginning of a line for a message, with what cannot be shown escaped. */
const excerpt = (line: string): string => JSON.stringify(line.length > 60 ? `${line.slice(0, 60)}…` : line)

function headerOf(line: string): Header {
  const colon = line.indexOf(':')
  const name = line.slice(0, Math.max(colon, 0))
  if (!TOKEN.test(name) || CONTROL.test(line)) {
    throw new ResponseHeadError('invalid-line', `the response head holds a line that is no header: ${excerpt(line)}`)
  }
  return [name, line.slice(colon + 1).replace(OUTER_BLANKS, '')]
}

function lengthOf(value: string, before: number): number {
  const length = parseLength(value)
  if (length < 0 || (before !== -1 && before !== length)) {
    throw new ResponseHeadError('invalid-length', `the response has an invalid Content-Length: ${excerpt(value)}`)
  }
  return length
}

function statusOf(value: string): { status: number; reason: string } {
  const [, code, reason] = STATUS.exec(value) ?? []
  if (code === undefined) {
    throw new ResponseHeadError('invalid-status', `the response has an invalid Status: ${excerpt(value)}`)
  }
  return { status: Number(code), reason: reason ?? '' }
}

const isLocalPath = (location: string): boolean => location.startsWith('/') && !location.startsWith('//')

function headOf(lines: readonly string[]): ResponseHead {
  const headers: Header[] = []
  let stated: { status: number; reason: string } | null = null
  let contentLength = -1
  let location: string | null = null
  for (const header of lines.map(headerOf)) {
    const [name, value] = header
    switch (name.toLowerCase()) {
      case 'status':
        stated = statusOf(value)
        continue
      case 'content-length': {
        const repeated = contentLength !== -1
        contentLength = lengthOf(value, contentLength)
        if (repeated) continue
        break
      }
      case 'location':
        location = value
        break
    }
    headers.push(header)
  }
  // §6.2.3, §6.2.4: a Location without a Status is a redirect for the client.
  const { status, reason } = stated ?? { status: location === null ? 200 : 302, reason: '' }
  const alone = stated === null && headers.length === 1
  const localRedirect = alone && location !== null && isLocalPath(location) ? location : null
  return { status, reason, headers, contentLength, localRedirect }
}

/** Reads one response head from chunks. Use a new one for each response. */
export class ResponseHeadParser {
  readonly #limit: number
  readonly #lines: string[] = []
  #text = ''
  #lineStart = 0
  #searched = 0

  constructor(limit: number = MAX_RESPONSE_HEAD) {
    this.#limit = limit
  }

  /**
   * The next bytes. Returns the head once it is complete; until then null.
   * @throws ResponseHeadError
   */
  receive(chunk: Buffer): ParsedResponseHead | null {
    const before = this.#text.length
    this.#text += chunk.toString('latin1', 0, this.#limit + 1 - before)
    for (;;) {
      const lf = this.#text.indexOf('\n', this.#searched)
      if (lf === -1 || lf >= this.#limit) break
      const line = this.#text.slice(this.#lineStart, this.#text[lf - 1] === '\r' && lf > this.#lineStart ? lf - 1 : lf)
      this.#lineStart = lf + 1
      this.#searched = lf + 1
      if (line === '') return { head: headOf(this.#lines), rest: chunk.subarray(lf + 1 - before) }
      this.#lines.push(line)
    }
    this.#searched = this.#text.length
    if (this.#text.length > this.#limit) {
      throw new ResponseHeadError('too-large', `the response head is longer than ${this.#limit} bytes`)
    }
    return null
  }

  /** The error of a reply that ended before its head was complete. */
  ended(): ResponseHeadError {
    if (this.#text === '') return new ResponseHeadError('empty', 'the reply ended without a response head')
    const unfinished = this.#lines[0] ?? this.#text
    return new ResponseHeadError(
      'incomplete',
      `the reply ended before the empty line that closes the response head; it began with ${excerpt(unfinished)}`,
    )
  }
}
