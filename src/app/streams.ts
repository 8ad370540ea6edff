/**
 * An exchange's STDIN as a Readable and its STDERR as a Writable, for the callables that promise Node streams
 * (`wsgi.input`, `wsgi.errors`, `req.errors`, a fetch body). A Readable costs more to construct than the rest of a small
 * request, and most requests never touch theirs; so these two have the methods of a stream from the start but become one
 * (`Readable.call(this, options)`, as node's documentation allows) when something first looks at their state.
 *
 * Knows the exchange, not what runs on it.
 */

import { Readable, Writable } from 'node:stream'
import { abortError } from './abort.ts'
import type { AbortReason, Exchange } from './exchange.ts'
import { unopened } from './unopened.ts'

/** The request body. The three receive methods are for the `RequestHandler` that owns the exchange. */
export interface BodyStream extends Readable {
  /** A piece of the body; false when the reader has enough for now. */
  receive(chunk: Buffer): boolean
  /** The body is complete. */
  receiveEnd(): void
  /** Destroys the stream with `abortError(reason)`, unless it was read to its end. Without a listener nothing is thrown. */
  receiveAbort(reason: AbortReason): void
}

type DestroyCallback = (error?: Error | null) => void

const openReadable = Readable as unknown as (this: Readable, options: object) => void
const openWritable = Writable as unknown as (this: Writable, options: object) => void

const readableOptions = {}
const writableOptions = { decodeStrings: false }

/** Shadows the accessor of the prototype with a plain property: from here on it is a stream like any other. */
function settle(stream: object, name: string, state: unknown): void {
  Object.defineProperty(stream, name, { value: state, writable: true, enumerable: false, configurable: true })
}

class LazyBody extends unopened(Readable) implements BodyStream {
  readonly #exchange: Exchange
  #opened = false
  #complete: boolean
  #aborted: AbortReason | undefined

  constructor(exchange: Exchange) {
    super()
    this.#exchange = exchange
    this.#complete = exchange.bodyless
  }

  get _readableState(): unknown {
    this.#opened = true
    openReadable.call(this, readableOptions)
    return this._readableState
  }

  set _readableState(state: unknown) {
    settle(this, '_readableState', state)
  }

  override _read(): void {
    if (this.#aborted !== undefined) this.destroy(abortError(this.#aborted))
    else if (this.#complete) this.push(null)
    else this.#exchange.resumeStdin()
  }

  override _destroy(error: Error | null, callback: DestroyCallback): void {
    if (!this.#complete) this.#exchange.pauseStdin()
    // As http.IncomingMessage: an application that is not interested in the body must not crash because it was cut off.
    const unheard = this.#aborted !== undefined && this.listenerCount('error') === 0
    process.nextTick(callback, unheard ? null : error)
  }

  receive(chunk: Buffer): boolean {
    return !this.destroyed && this.push(chunk)
  }

  receiveEnd(): void {
    if (this.#complete) return
    this.#complete = true
    if (this.#opened && !this.destroyed) this.push(null)
  }

  receiveAbort(reason: AbortReason): void {
    this.#aborted ??= reason
    if (this.#opened && !this.readableEnded) this.destroy(abortError(reason))
  }
}

class LazyErrors extends unopened(Writable) {
  readonly #exchange: Exchange

  constructor(exchange: Exchange) {
    super()
    this.#exchange = exchange
  }

  get _writableState(): unknown {
    openWritable.call(this, writableOptions)
    return this._writableState
  }

  set _writableState(state: unknown) {
    settle(this, '_writableState', state)
  }

  override _write(chunk: string | Uint8Array, encoding: BufferEncoding, callback: () => void): void {
    const utf8 = typeof chunk !== 'string' || encoding === 'utf8' || encoding === 'utf-8'
    this.#exchange.stderr(utf8 ? chunk : Buffer.from(chunk, encoding))
    callback()
  }
}

/** The exchange's STDIN. Reading it asks for more, not reading it holds the web server back. */
export function bodyStream(exchange: Exchange): BodyStream {
  return new LazyBody(exchange)
}

/** The exchange's STDERR: the web server's error log. Never blocks, never fails. */
export function errorStream(exchange: Exchange): Writable {
  return new LazyErrors(exchange)
}
