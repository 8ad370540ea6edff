/**
 * A `Response` onto an exchange: the head, then text or bytes at once, or a ReadableStream as fast as the web server takes
 * it. Says Content-Length where the length is known, which for a stream it is when the stream ends at once.
 *
 * Fetch standard §5.5; RFC 9110 §6.4.1 and §8.6 for what goes without a body or a length.
 */

import { STATUS_CODES } from 'node:http'
import { declaredLength, type Header, hasNoBody, headerBlock } from '../cgi/reply.ts'
import type { Exchange } from './exchange.ts'
import { LightResponse, NativeResponse } from './light-response.ts'

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
export function sendResponse(exchange: Exchange, method: string, response: unknown): Sending | undefined {
  try {
    const light = LightResponse.replyOf(response)
    if (light === undefined) return sendGenuine(exchange, method, asResponse(response))
    sendKnown(exchange, method, light.status, light.statusText, light.headers, light.body)
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

function sendKnown(
  exchange: Exchange,
  method: string,
  status: number,
  statusText: string,
  headers: readonly Header[],
  body: string | Uint8Array | null,
): void {
  if (body === null || hasNoBody(method, status)) {
    sendHeadOnly(exchange, method, status, statusText, headers, body)
    return
  }
  const length = typeof body === 'string' ? Buffer.byteLength(body) : body.byteLength
  const block = headerBlock(statusLine(status, statusText), withLength(headers, length))
  const ascii = length === body.length
  exchange.head(status, block, length)
  exchange.end(body, ascii)
}

function sendHeadOnly(
  exchange: Exchange,
  method: string,
  status: number,
  statusText: string,
  headers: readonly Header[],
  body: string | Uint8Array | null,
): void {
  const line = statusLine(status, statusText)
  let sent = headers
  if (status === 204) sent = headers.filter(header => !isContentLength(header))
  else if (method !== 'HEAD' && status !== 304) sent = withLength(headers, 0)
  else if (body !== null && status !== 304) sent = withLength(headers, Buffer.byteLength(body))
  exchange.head(status, headerBlock(line, sent), -1)
  exchange.end()
}

function sendGenuine(exchange: Exchange, method: string, response: Response): Sending | undefined {
  const { status, statusText, body } = response
  const headers = [...response.headers]
  if (body === null) {
    sendKnown(exchange, method, status, statusText, headers, null)
    return undefined
  }
  if (response.bodyUsed || body.locked) throw new TypeError('the body of the Response was used already')
  if (hasNoBody(method, status)) {
    sendHeadOnly(exchange, method, status, statusText, headers, null)
    cancel(body, undefined)
    return undefined
  }
  return new StreamSending(exchange, status, statusLine(status, statusText), headers, body)
}

class StreamSending implements Sending {
  readonly #exchange: Exchange
  readonly #status: number
  readonly #line: string
  readonly #headers: readonly Header[]
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #declared: number
  /** What was read before the head was sent. */
  #held: Uint8Array[] = []
  #heldBytes = 0
  #opened = false
  #over = false

  constructor(exchange: Exchange, status: number, line: string, headers: readonly Header[], body: ReadableStream) {
    this.#exchange = exchange
    this.#status = status
    this.#line = line
    this.#headers = headers
    this.#declared = declaredLength(headers)
    // Made before anything is sent, so that a header that cannot be sent is a 500.
    this.#head(this.#declared)
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
    const headers = length < 0 ? this.#headers : withLength(this.#headers, length)
    this.#exchange.head(this.#status, headerBlock(this.#line, headers), length)
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

function statusLine(status: number, statusText: string): string {
  if (statusText !== '') return `${status} ${statusText}`
  let line = statusLines.get(status)
  if (line === undefined) {
    line = STATUS_CODES[status] === undefined ? `${status}` : `${status} ${STATUS_CODES[status]}`
    statusLines.set(status, line)
  }
  return line
}

const isContentLength = (header: Header): boolean =>
  header[0].length === 14 && header[0].toLowerCase() === 'content-length'

/** The true length takes the place of whatever the application said. */
function withLength(headers: readonly Header[], length: number): Header[] {
  const sent = headers.filter(header => !isContentLength(header))
  sent.push(['content-length', `${length}`])
  return sent
}

function cancel(stream: { cancel(reason: unknown): Promise<void> }, reason: unknown): void {
  // A stream may fail to be cancelled; the reply is over, and there is nobody left to tell.
  stream.cancel(reason).then(undefined, () => undefined)
}
