/**
 * What stands in for the connection under an `http.IncomingMessage` and an `http.ServerResponse`: it takes the HTTP/1.1
 * message that ServerResponse writes and gives it to the exchange as a CGI reply, and it hands the exchange's STDIN to the
 * request. What a ServerResponse does to its socket is, from Node 20 to 26,
 *
 *   cork()   write(head + text) or write(head), write(bytes)   write('', …, emit 'finish')   uncork()
 *
 * Whatever is written is collected until the end of the tick, when it is known whether that was all: so a small reply is one
 * `exchange.head()` and one `exchange.end()`.
 *
 * Express replaces the prototypes of request and response, so all of this hangs on the socket and nothing on a subclass.
 */

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RequestFacts } from '../../cgi/request.ts'
import { abortError, LazySignal } from '../abort.ts'
import type { AbortReason, Exchange, RequestHandler } from '../exchange.ts'
import { endReadAhead, readAhead } from '../read-ahead.ts'
import type { FileReplies } from '../sendfile.ts'
import { FakeSocket } from './fake-socket.ts'
import { ReplyHead } from './head.ts'
import { attachSocket, closeResponse, detachSocket, drainResponse } from './response-internals.ts'

type Chunk = string | Uint8Array
type Callback = (error?: Error | null) => void

/** A chunk and whether, being a string, it is latin1. */
type Piece = readonly [chunk: Chunk, latin1: boolean]

/** When more than this is still to be sent at the end of a reply, `finish` waits until the peer has taken it. */
const WAIT_ABOVE = 65_536

/** The callbacks of ServerResponse itself: nobody asked for one, and the one that emits 'finish'. */
const NOBODYS = new Set(['nop', 'bound onFinish'])

/** A body as long as this is kept apart from the head. */
const LONG = 16_384

export class NodeSocket extends FakeSocket implements RequestHandler {
  readonly head = new ReplyHead()
  /** What was piped into the response last. */
  source: unknown
  files: FileReplies | undefined

  // node:http looks at these.
  _httpMessage: ServerResponse | null = null
  _hadError = false
  readonly _writableState = { corked: 0 }

  readonly #exchange: Exchange
  #request!: IncomingMessage
  #pieces: Piece[] = []
  #pending = 0
  #callbacks: Callback[] = []
  #scheduled = false
  /** The peer is slow: nothing more goes out until `onDrain`. */
  #blocked = false
  /** The application was told to wait. */
  #needDrain = false
  /** The exchange has ended: nothing that happens here matters to it any more. */
  #done = false
  /** STDIN is known to have ended. */
  #stdinEnded: boolean
  #reason: AbortReason = 'client-gone'
  #signal: LazySignal | undefined
  #readsAhead = false
  #fetching = false

  constructor(exchange: Exchange, facts: RequestFacts) {
    super(facts)
    this.#exchange = exchange
    this.#stdinEnded = exchange.bodyless
  }

  /** Puts the socket under a request and its response. */
  assign(request: IncomingMessage, response: ServerResponse): void {
    this.#request = request
    attachSocket(response, this)
  }

  /**
   * The response has its head. A long text would be appended to it, which to take apart again costs a copy of all of it; so
   * the head is taken now, and sent when the response would have sent it.
   */
  fetchHead(response: ServerResponse): void {
    if (this.head.contentLength < LONG || this.head.written) return
    this.#fetching = true
    response.flushHeaders()
    this.#fetching = false
  }

  get signal(): AbortSignal {
    if (this.#signal === undefined) {
      this.#signal = new LazySignal()
      if (this.destroyed) this.#signal.abort(this.#reason)
    }
    return this.#signal.signal
  }

  // The writable side, as ServerResponse uses it.

  get writableCorked(): number {
    return this._writableState.corked
  }

  get writableLength(): number {
    return this.#blocked ? Math.max(this.#pending, 1) : this.#pending
  }

  cork(): void {
    this._writableState.corked++
  }

  uncork(): void {
    const state = this._writableState
    if (state.corked > 0) state.corked--
    if (state.corked === 0) this.#settleSoon()
  }

  write(data: Chunk, encoding?: BufferEncoding | null, callback?: Callback | null): boolean {
    if (this.destroyed || this.#done) return false
    const chunk = this.head.written ? data : this.head.take(data as string)
    if (typeof chunk !== 'string' && this.source !== undefined && !this.#readsAhead)
      this.#readsAhead = readAhead(this.source, chunk)
    if (chunk.length > 0) this.#collect(mayChange(chunk, callback) ? Buffer.from(chunk) : chunk, encoding ?? 'utf8')
    if (callback) this.#callbacks.push(callback)
    if (!this.#fetching) this.#settleSoon()
    if (this.#pending < this.writableHighWaterMark && !this.#blocked) return true
    this.#needDrain = true
    return false
  }

  end(): this {
    return this.destroy()
  }

  destroySoon(): this {
    return this.destroy()
  }

  /** The application gives up: what has been sent of the reply is cut off there. */
  destroy(error?: Error): this {
    return this.#giveUp(error ?? new Error('the request was destroyed before its reply had ended'), error)
  }

  // The readable side, as IncomingMessage uses it.

  resume(): this {
    if (!this.#stdinEnded) this.#exchange.resumeStdin()
    else if (this.#request.readable) this.#request.push(null)
    return this
  }

  pause(): this {
    this.#exchange.pauseStdin()
    return this
  }

  // What the exchange calls.

  onStdin(chunk: Buffer): boolean {
    this.refreshTimeout()
    this.bytesRead += chunk.length
    return !this.#request.destroyed && this.#request.push(chunk)
  }

  onStdinEnd(): void {
    this.#stdinEnded = true
    this.#request.complete = true
    if (!this.#request.destroyed) this.#request.push(null)
  }

  onDrain(): void {
    this.#blocked = false
    this.refreshTimeout()
    this.#settle()
  }

  onAbort(reason: AbortReason): void {
    this.#reason = reason
    this.#shut()
    this.#emitClose()
  }

  /** The listener threw, or its promise was rejected: the reply, or what is left of it, is an error. */
  fail(error: unknown): void {
    if (this.#done) this.#exchange.fail(error)
    else this.#giveUp(error)
  }

  protected override onTimeout(): void {
    const request = this.#request
    const heard = [
      !request.complete && request.emit('timeout', this),
      this._httpMessage?.emit('timeout', this) ?? false,
    ]
    this.emit('timeout')
    if (!heard.includes(true)) this.destroy()
  }

  /** At the end of a tick in which something was written. */
  static settle(socket: NodeSocket): void {
    socket.#scheduled = false
    socket.#settle()
  }

  static emitClose(socket: NodeSocket, error: Error | undefined): void {
    if (error !== undefined && socket.listenerCount('error') > 0) socket.emit('error', error)
    socket.#emitClose(error)
  }

  #settleSoon(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    process.nextTick(NodeSocket.settle, this)
  }

  #collect(data: Chunk, encoding: BufferEncoding): void {
    const isText = typeof data === 'string' && encoding !== 'utf8' && encoding !== 'utf-8'
    const latin1 = isText && (encoding === 'latin1' || encoding === 'binary' || encoding === 'ascii')
    const chunk = isText && !latin1 ? Buffer.from(data, encoding) : data
    const pieces = this.#pieces
    const before = pieces.at(-1)
    if (typeof chunk === 'string' && typeof before?.[0] === 'string' && before[1] === latin1) {
      pieces[pieces.length - 1] = [before[0] + chunk, latin1]
    } else pieces.push([chunk, latin1])
    this.#pending += chunk.length
    this.bytesWritten += chunk.length
    this.refreshTimeout()
  }

  #settle(): void {
    const response = this._httpMessage
    if (this.#done || this.#blocked || response === null) return
    const ended = response.writableEnded
    if (!ended && this.writableCorked > 0) return
    this.#send(response, ended)
    if (this.#blocked || this.#done) return
    if (ended) this.#finish(response)
    else this.#release(response)
  }

  #send(response: ServerResponse, ended: boolean): void {
    const exchange = this.#exchange
    const pieces = this.#pieces
    if (this.head.waits) {
      this.head.give(exchange, response.req.method ?? '')
      if (pieces.length === 0 && !ended) exchange.flush()
    }
    const last = ended && this.#pending <= WAIT_ABOVE ? pieces.pop() : undefined
    for (const [chunk, latin1] of pieces) if (!exchange.write(chunk, latin1)) this.#blocked = true
    if (pieces.length > 0) this.#pieces = []
    this.#pending = 0
    if (last !== undefined) {
      exchange.end(last[0], last[1])
      this.#blocked = false
    } else if (ended && !this.#blocked) exchange.end()
  }

  /** What was written has gone. */
  #release(response: ServerResponse): void {
    this.#call()
    if (!this.#needDrain) return
    this.#needDrain = false
    drainResponse(response)
  }

  #finish(response: ServerResponse): void {
    this.#done = true
    this.#endReadAhead()
    detachSocket(response, this)
    this.clearTimeout()
    this.#concludeRequest()
    this.#call()
    // An error event about what was written after the end comes before, and a closed response has none.
    const heard = response.listenerCount('close') > 0 || response.listenerCount('error') > 0
    if (heard) process.nextTick(closeResponse, response)
    else closeResponse(response)
  }

  /** After the reply: 'end' and 'close' for those who wait for them. What still comes of the body is not for the application. */
  #concludeRequest(): void {
    const request = this.#request
    if (request.destroyed) return
    const untouched = request.readableFlowing === null && !request.readableDidRead
    if (untouched) {
      if (request.listenerCount('close') === 0 && request.listenerCount('end') === 0) return
      this.#stdinEnded = request.complete = true
      request.removeAllListeners('data')
      request.resume()
    } else if (!request.complete) request.destroy(abortError(this.#reason))
  }

  #giveUp(failure: unknown, error?: Error): this {
    if (this.destroyed) return this
    if (!this.#done) this.#exchange.fail(failure)
    this.#shut()
    // As late as the close of a real socket, which is an event of its own.
    setImmediate(NodeSocket.emitClose, this, error)
    return this
  }

  #endReadAhead(): void {
    if (this.#readsAhead) endReadAhead()
    this.#readsAhead = false
    this.source = undefined
  }

  #shut(): void {
    this.#endReadAhead()
    this._hadError = !this.#done
    this.#done = true
    this.destroyed = true
    this.readable = false
    this.writable = false
    this.clearTimeout()
  }

  /** What http.Server does when a connection is lost, in its order. */
  #emitClose(error: Error = abortError(this.#reason)): void {
    const response = this._httpMessage
    if (response !== null) {
      this.#request.destroy(abortError(this.#reason))
      this.#signal?.abort(this.#reason)
    }
    this.emit('close', this._hadError)
    if (response !== null) closeResponse(response)
    this.#call(error)
  }

  /** Calls back those who wrote. */
  #call(error?: Error): void {
    const callbacks = this.#callbacks
    if (callbacks.length === 0) return
    this.#callbacks = []
    for (const callback of callbacks) callback(error)
  }
}

/**
 * Whether the application may use the bytes for something else as soon as it is called back: the exchange keeps them until
 * they are sent, and does not tell when.
 */
function mayChange(chunk: Chunk, callback: Callback | null | undefined): chunk is Uint8Array {
  return typeof chunk !== 'string' && !!callback && !NOBODYS.has(callback.name)
}
