/**
 * A `Response` onto an exchange: the head, then text or bytes at once, or a ReadableStream as fast as the web server takes
 * it. Says Content-Length where the length is known, which for a stream it is when the stream ends at once.
 *
 * Fetch standard §5.5; RFC 9110 §6.4.1 and §8.6 for what goes without a body or a length.
 */

import { STATUS_CODES } from 'node:http'
import { declaredLength, type Header, hasNoBody, headerBlock, headerLines } from '../../cgi/reply.ts'
import type { Exchange } from '../exchange.ts'
import type { FileReplies } from '../sendfile.ts'
import { type LightReply, LightResponse, NativeResponse } from './light-response.ts'

/** Above this many bytes a stream that goes on is sent rather than waited for. */
const MAX_HELD = 65_536

/** A reply that is still being sent. */
export interface Sending {
  drained(): void
  /** Nobody reads on: the stream is cancelled with this reason. */
  cancel(reason: unknown): void
}

/**
 * Starts to send what a fetch handler returned; calls `exchange.fail` with what is wrong with it.
 * @returns undefined when everything was handed over at once
 */
export function sendResponse(
  exchange: Exchange,
  method: string,
  response: unknown,
  files?: FileReplies,
): Sending | undefined {
  try {
    const light = LightResponse.replyOf(response)
    if (light === undefined) return sendGenuine(exchange, method, asResponse(response), files)
    sendKnown(exchange, method, light)
  } catch (error) {
    exchange.fail(error)
  }
  return undefined
}

/** Cancels the body of a reply that nobody waits for any more. */
export function discardResponse(response: unknown, reason: unknown): void {
  if (response instanceof NativeResponse && !response.bodyUsed && response.body?.locked === false) {
    cancel(response.body, reason)
  }
}

function sendKnown(exchange: Exchange, method: string, reply: LightReply): void {
  const { status, body } = reply
  if (body === null || hasNoBody(method, status)) {
    sendHeadOnly(exchange, method, reply)
    return
  }
  const length = Buffer.byteLength(body)
  exchange.head(status, blockWithLength(reply, length), length)
  // As many bytes as characters: ASCII.
  exchange.end(body, length === body.length)
}

function sendHeadOnly(exchange: Exchange, method: string, reply: LightReply): void {
  exchange.head(reply.status, headOnlyBlock(method, reply), -1)
  exchange.end()
}

/** A length is said only where it is that of the body which a GET would have got. */
function headOnlyBlock(method: string, reply: LightReply): string {
  const { status, headers, body } = reply
  if (status === 204) return headerBlock(statusLine(reply), headers.filter(isOtherHeader))
  if (status === 304 || (method === 'HEAD' && body === null)) return headerBlock(statusLine(reply), headers)
  return blockWithLength(reply, body === null ? 0 : Buffer.byteLength(body))
}

function sendGenuine(
  exchange: Exchange,
  method: string,
  response: Response,
  files: FileReplies | undefined,
): Sending | undefined {
  const { status, statusText, body } = response
  const reply: LightReply = { status, statusText, headers: [...response.headers], body: null }
  if (body === null) {
    sendKnown(exchange, method, reply)
    return undefined
  }
  if (response.bodyUsed || body.locked) throw new TypeError('the body of the Response was used already')
  if (hasNoBody(method, status)) {
    sendHeadOnly(exchange, method, reply)
    cancel(body, undefined)
    return undefined
  }
  const { headers } = response
  const rewrite = files?.rewriteFor(body, {
    method,
    status,
    contentRange: headers.get('content-range'),
    encoded: headers.has('content-encoding'),
  })
  if (rewrite !== undefined) {
    exchange.head(200, rewrite(headerBlock(statusLine(reply), reply.headers)), -1)
    exchange.end()
    cancel(body, undefined)
    return undefined
  }
  const size = LightResponse.sizeOf(response)
  return new StreamSending(exchange, reply, body, size < 0 ? declaredLength(reply.headers) : size)
}

class StreamSending implements Sending {
  readonly #exchange: Exchange
  readonly #reply: LightReply
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #length: number
  /** What was read before the head was sent. */
  #held: Uint8Array[] = []
  #heldBytes = 0
  #reading = false
  #opened = false
  #over = false

  constructor(exchange: Exchange, reply: LightReply, body: ReadableStream<Uint8Array>, length: number) {
    this.#exchange = exchange
    this.#reply = reply
    this.#length = length
    // Made before anything is sent, so that a header that cannot be sent is a 500.
    this.#head(this.#length)
    this.#reader = body.getReader()
    this.#read()
    // What comes at once goes into one write with the head; the head does not wait for what comes later.
    setImmediate(() => this.#open())
  }

  drained(): void {
    if (!this.#over) this.#read()
  }

  cancel(reason: unknown): void {
    if (this.#over) return
    this.#over = true
    cancel(this.#reader, reason)
  }

  readonly #received = ({ done, value }: { done: boolean; value?: Uint8Array | undefined }): void => {
    this.#reading = false
    if (this.#over) return
    if (done) this.#finish()
    else if (!(value instanceof Uint8Array))
      this.#failed(new TypeError('a Response body stream gave something else than bytes'))
    else if (this.#take(value)) this.#read()
  }

  readonly #failed = (error: unknown): void => {
    if (this.#over) return
    this.#exchange.fail(error)
    this.cancel(error)
  }

  #read(): void {
    if (this.#reading) return
    this.#reading = true
    this.#reader.read().then(this.#received, this.#failed)
  }

  /** False: wait until `drained`. */
  #take(chunk: Uint8Array): boolean {
    if (this.#opened) return this.#exchange.write(chunk)
    this.#held.push(chunk)
    this.#heldBytes += chunk.byteLength
    return this.#heldBytes < MAX_HELD || this.#open()
  }

  /** Sends the head, and what was read so far. */
  #open(): boolean {
    if (this.#opened || this.#over) return true
    this.#opened = true
    let more = true
    for (const chunk of this.#held) more = this.#exchange.write(chunk)
    if (this.#held.length === 0) this.#exchange.flush()
    this.#held = []
    return more
  }

  #finish(): void {
    this.#over = true
    if (this.#opened) {
      this.#exchange.end()
      return
    }
    this.#head(this.#heldBytes)
    this.#exchange.end(this.#held.length === 1 ? this.#held[0] : Buffer.concat(this.#held))
  }

  /** May be called again as long as nothing was sent. */
  #head(length: number): void {
    const reply = this.#reply
    const block = length < 0 ? headerBlock(statusLine(reply), reply.headers) : blockWithLength(reply, length)
    this.#exchange.head(reply.status, block, length)
  }
}

/** A genuine Response, or one of another implementation (the npm packages undici and node-fetch bring their own). */
function asResponse(value: unknown): Response {
  if (value instanceof NativeResponse || looksLikeResponse(value)) {
    if (value.status >= 200 && value.status <= 599) return value
    throw new TypeError(`a Response with status ${value.status} cannot be sent`)
  }
  throw new TypeError(`the fetch handler returned ${describe(value)} instead of a Response`)
}

function looksLikeResponse(value: unknown): value is Response {
  if (typeof value !== 'object' || value === null || !('status' in value && 'headers' in value && 'body' in value))
    return false
  const { status, headers, body } = value
  if (typeof status !== 'number' || typeof headers !== 'object' || headers === null) return false
  return Symbol.iterator in headers && (body === null || body instanceof ReadableStream)
}

function describe(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null || typeof value !== 'object') return `a ${value === null ? 'null' : typeof value}`
  return `an object of class ${value.constructor?.name ?? 'Object'}`
}

const statusLines = new Map<number, string>()

function statusLine({ status, statusText }: LightReply): string {
  if (statusText !== '') return `${status} ${statusText}`
  let line = statusLines.get(status)
  if (line === undefined) {
    line = STATUS_CODES[status] === undefined ? `${status}` : `${status} ${STATUS_CODES[status]}`
    statusLines.set(status, line)
  }
  return line
}

const isOtherHeader = ([name]: Header): boolean => name.length !== 14 || name.toLowerCase() !== 'content-length'

/** The true length takes the place of whatever the application said. */
function blockWithLength(reply: LightReply, length: number): string {
  const { headers } = reply
  const others = headers.every(isOtherHeader) ? headers : headers.filter(isOtherHeader)
  return `${headerLines(statusLine(reply), others)}content-length: ${length}\r\n\r\n`
}

function cancel(stream: { cancel(reason: unknown): Promise<void> }, reason: unknown): void {
  // A stream may fail to be cancelled; the reply is over, and there is nobody left to tell.
  stream.cancel(reason).then(undefined, () => undefined)
}
