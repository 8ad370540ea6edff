/**
 * The reply of a WSGI-style application: what `startResponse`, `write` and the chunks of the iterable (PEP 3333, "The
 * start_response() Callable") come to on an exchange. Knows nothing of iterables: src/app/wsgi/wsgi.ts takes the chunks out.
 */

import { declaredLength, type Header, hasNoBody, headerLines, statusCode, tooLong } from '../../cgi/reply.ts'
import type { Exchange } from '../exchange.ts'
import type { FileReplies } from '../sendfile.ts'

/** A string is sent as UTF-8. Bytes must not change until they were sent. */
export type Chunk = string | Uint8Array

/** The error because of which the application replaces its reply; also as PEP 3333's tuple, whose second element it is. */
export type ExcInfo = Error | readonly [type: unknown, value: unknown, traceback?: unknown]

const byteLength = (chunk: Chunk): number => (typeof chunk === 'string' ? Buffer.byteLength(chunk) : chunk.length)

/** A string as long as its UTF-8 is ASCII, and one character a byte. */
const isLatin1 = (chunk: Chunk, bytes: number): boolean => typeof chunk === 'string' && chunk.length === bytes

export function isChunk(value: unknown): value is Chunk {
  return typeof value === 'string' || value instanceof Uint8Array
}

/** `null`, `a number`, `an object`… for messages. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  return `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`
}

export class WsgiReply {
  readonly #exchange: Exchange
  readonly #method: string
  /** Status and headers as text, without the empty line; '' before `startResponse`. */
  #lines = ''
  #status = 0
  /** The Content-Length that the application declared, -1 if none. */
  #declared = -1
  /** The length of the whole body, if we know it. */
  #length = -1
  /** How many bytes may still come. */
  #left = Number.POSITIVE_INFINITY
  /** The exchange has the head: too late for another one. */
  #headGiven = false
  #bodyless = false
  #complete = false

  constructor(exchange: Exchange, method: string) {
    this.#exchange = exchange
    this.#method = method
  }

  /** No chunk is wanted any more, although there may be more: the reply goes without body, or the rest would be too much. */
  get complete(): boolean {
    return this.#complete
  }

  /**
   * `startResponse`.
   * @throws HeaderError for what must not be sent, the error in `excInfo` when it is too late
   */
  start(status: string, headers: Iterable<Header>, excInfo: ExcInfo | null | undefined): void {
    if (excInfo !== undefined && excInfo !== null) {
      if (this.#headGiven) throw Array.isArray(excInfo) ? excInfo[1] : excInfo
    } else if (this.#lines !== '') throw new Error('startResponse was called again without excInfo')
    const list = Array.isArray(headers) ? (headers as readonly Header[]) : [...headers]
    const lines = headerLines(status, list)
    this.#declared = declaredLength(list)
    this.#status = statusCode(status)
    this.#lines = lines
  }

  /** One chunk of many. The head goes out with the first that is not empty. False: wait for `onDrain`. */
  send(chunk: unknown): boolean {
    if (!isChunk(chunk)) throw new TypeError(`a chunk must be a string or a Uint8Array, not ${kindOf(chunk)}`)
    if (chunk.length === 0 || this.#complete) return true
    if (!this.#headGiven) this.#giveHead()
    if (this.#bodyless) {
      this.#complete = true
      return true
    }
    if (this.#left === Number.POSITIVE_INFINITY) return this.#exchange.write(chunk)
    const bytes = byteLength(chunk)
    if (bytes > this.#left) return this.#sendStart(chunk)
    this.#left -= bytes
    return this.#exchange.write(chunk, isLatin1(chunk, bytes))
  }

  /** The only chunk, and the end: one `head` and one `end`. */
  sendWhole(chunk: unknown): void {
    this.announce(chunk)
    if (this.#headGiven || !isChunk(chunk) || this.#length < 0) {
      this.send(chunk)
      this.end()
      return
    }
    const length = this.#length
    this.#giveHead()
    if (this.#bodyless) this.#exchange.end()
    else this.#exchange.end(chunk, isLatin1(chunk, length))
  }

  /** `chunk` will be the only one: its length is the Content-Length, unless another was declared or something was sent. */
  announce(chunk: unknown): void {
    if (this.#headGiven || !isChunk(chunk)) return
    const bytes = byteLength(chunk)
    if (this.#declared < 0 || this.#declared === bytes) this.#length = bytes
  }

  /** Leaves the reply to the web server, whole, if the body is a file that it may send. */
  leave(files: FileReplies, body: unknown): boolean {
    if (this.#headGiven || this.#lines === '') return false
    const [, contentRange] = /^content-range: *(.*?)\r$/im.exec(this.#lines) ?? []
    const encoded = /^content-encoding:/im.test(this.#lines)
    const rewrite = files.rewriteFor(body, { method: this.#method, status: this.#status, contentRange, encoded })
    if (rewrite === undefined) return false
    this.#headGiven = true
    this.#exchange.head(200, rewrite(`${this.#lines}\r\n`), -1)
    this.#exchange.end()
    return true
  }

  /** After the last chunk. */
  end(): void {
    if (!this.#headGiven) {
      if (this.#declared < 0) this.#length = 0
      this.#giveHead()
    }
    this.#exchange.end()
  }

  #giveHead(): void {
    if (this.#lines === '') throw new Error('the application did not call startResponse before its first chunk')
    this.#headGiven = true
    this.#bodyless = hasNoBody(this.#method, this.#status)
    const length = this.#declared < 0 ? this.#length : this.#declared
    // What a reply to HEAD would have been long is known; of 204 and 304 only the application can know.
    const adds = length >= 0 && this.#declared < 0 && (!this.#bodyless || this.#method === 'HEAD')
    const block = adds ? `${this.#lines}Content-Length: ${length}\r\n\r\n` : `${this.#lines}\r\n`
    if (length >= 0) this.#left = length
    this.#exchange.head(this.#status, block, this.#bodyless ? -1 : length)
  }

  /** As much of a chunk as the declared length has room for: more would corrupt the next reply on the client's connection. */
  #sendStart(chunk: Chunk): boolean {
    const rest = Buffer.from(chunk as string).subarray(0, this.#left)
    this.#complete = true
    this.#exchange.stderr(tooLong(this.#declared))
    return rest.length === 0 || this.#exchange.write(rest)
  }
}
