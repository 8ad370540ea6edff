/**
 * The WSGI-style callable: `application(environ, startResponse)` returns the body. PEP 3333 decides wherever it has
 * something to say, in JavaScript's terms: the iterable may be asynchronous, a promise of one, or a lone string or
 * Uint8Array (which is one chunk: as an iterable it would fall into characters or numbers).
 *
 * Beyond PEP 3333: a body that is known whole gets its Content-Length, one that is longer than the Content-Length the
 * application declared is cut there, and an application is not asked for more than the client takes.
 */

import { Readable } from 'node:stream'
import type { Header } from '../../cgi/reply.ts'
import { type RequestFacts, requestFacts } from '../../cgi/request.ts'
import { LazySignal } from '../abort.ts'
import type { AbortReason, AdapterOptions, Application, Exchange, RequestHandler } from '../exchange.ts'
import { endReadAhead, readAhead } from '../read-ahead.ts'
import type { FileReplies } from '../sendfile.ts'
import { type BodyStream, bodyStream, errorStream } from '../streams.ts'
import { isThenable } from '../thenable.ts'
import { type EnvironSource, type WsgiEnviron, wsgiEnviron } from './environ.ts'
import { type Chunk, type ExcInfo, isChunk, kindOf, WsgiReply } from './reply.ts'

export type { WsgiEnviron } from './environ.ts'
export type { Chunk, ExcInfo } from './reply.ts'

export type WsgiBody = Chunk | Iterable<Chunk> | AsyncIterable<Chunk>

/** Sends a chunk before those of the iterable. For applications that cannot do without: it knows no back-pressure. */
export type Write = (chunk: Chunk) => void

/**
 * Sets status (`'200 OK'`) and headers; nothing is sent before the first chunk that is not empty. To be called once, and
 * again only with `excInfo`, which is thrown if it is too late. Throws HeaderError for what must not be sent.
 */
export type StartResponse = (status: string, headers: Iterable<Header>, excInfo?: ExcInfo | null) => Write

/** If what it returns has a method `close`, that is called exactly once, also after an error and when the client has gone. */
export type WsgiCallable = (environ: WsgiEnviron, startResponse: StartResponse) => WsgiBody | Promise<WsgiBody>

const VERSION = [1, 0] as const

/** An array of strings with up to this many characters in all is sent as one chunk. */
const JOIN_BELOW = 1 << 20

/** The strings of an array in one, if there is nothing else in it and they are not too long. */
function joined(result: object): string | undefined {
  if (!Array.isArray(result)) return undefined
  let length = 0
  for (const chunk of result) {
    if (typeof chunk !== 'string') return undefined
    length += chunk.length
  }
  return length < JOIN_BELOW ? result.join('') : undefined
}

function hasClose(result: unknown): result is { close(): unknown } {
  return typeof (result as { close?: unknown } | undefined)?.close === 'function'
}

const stackOf = (error: unknown): string => (error instanceof Error && error.stack) || String(error)

class WsgiRequest implements RequestHandler, EnvironSource {
  readonly version = VERSION
  readonly input: BodyStream
  readonly errors
  readonly #exchange: Exchange
  readonly #options: AdapterOptions
  readonly #files: FileReplies | undefined
  readonly #facts: RequestFacts
  readonly #reply: WsgiReply
  readonly #signal = new LazySignal()

  /** The reply has ended, in whatever way. */
  #over = false
  /** The client takes no more for now, and what goes on when it does. */
  #blocked = false
  #resume: (() => void) | undefined
  /** What the application returned, until it is closed. */
  #result: object | undefined
  /** The iterator that waits to be asked for more: not one that has no more, nor a synchronous one while it is at work. */
  #iterator: Iterator<unknown> | AsyncIterator<unknown> | undefined
  #readsAhead = false

  constructor(exchange: Exchange, options: AdapterOptions, files: FileReplies | undefined) {
    this.#exchange = exchange
    this.#options = options
    this.#files = files
    this.#facts = requestFacts(exchange.params, options.mount)
    this.#reply = new WsgiReply(exchange, this.#facts.method)
    this.input = bodyStream(exchange)
    this.errors = errorStream(exchange)
  }

  get scheme(): 'http' | 'https' {
    return this.#facts.https ? 'https' : 'http'
  }

  get multithread(): boolean {
    return this.#options.concurrency.multithread
  }

  get multiprocess(): boolean {
    return this.#options.concurrency.multiprocess
  }

  get runOnce(): boolean {
    return this.#options.concurrency.runOnce
  }

  get signal(): AbortSignal {
    return this.#signal.signal
  }

  run(application: WsgiCallable): void {
    const write: Write = chunk => {
      if (!this.#over) this.#send(chunk)
    }
    const startResponse: StartResponse = (status, headers, excInfo) => {
      this.#reply.start(status, headers, excInfo)
      return write
    }
    try {
      this.#take(application(wsgiEnviron(this.#facts, this), startResponse))
    } catch (error) {
      this.#fail(error)
    }
  }

  onStdin(chunk: Buffer): boolean {
    return this.input.receive(chunk)
  }

  onStdinEnd(): void {
    this.input.receiveEnd()
  }

  onDrain(): void {
    this.#blocked = false
    this.#wake()
  }

  onAbort(reason: AbortReason): void {
    this.#over = true
    this.input.receiveAbort(reason)
    this.#signal.abort(reason)
    this.#release()
    this.#wake()
  }

  /** What the application returned or promised. */
  #take(result: unknown): void {
    if (isChunk(result)) this.#sendWhole(result)
    else if (typeof result !== 'object' || result === null) {
      throw new TypeError(`the application returned ${kindOf(result)}, not an iterable`)
    } else if (isThenable(result)) this.#await(result)
    else {
      this.#result = result
      if (this.#over) this.#release()
      else if (this.#files !== undefined && this.#reply.leave(this.#files, result)) this.#conclude()
      else if (Array.isArray(result) && result.length === 1) this.#sendWhole(result[0])
      else this.#iterate(result)
    }
  }

  #await(promise: PromiseLike<unknown>): void {
    Promise.resolve(promise)
      .then(result => this.#take(result))
      .catch(error => this.#fail(error))
  }

  #iterate(result: object): void {
    const whole = joined(result)
    if (whole !== undefined) this.#sendWhole(whole)
    else if (Symbol.asyncIterator in result) {
      void this.#pullAsync((result as AsyncIterable<unknown>)[Symbol.asyncIterator]())
    } else if (Symbol.iterator in result) this.#pull((result as Iterable<unknown>)[Symbol.iterator]())
    else throw new TypeError('the application returned an object that is not iterable')
  }

  /** Sends what comes from `iterator` until the client is slow; `onDrain` lets it go on. */
  #pull(iterator: Iterator<unknown>): void {
    try {
      while (!this.#over && !this.#blocked && !this.#reply.complete) {
        this.#iterator = undefined
        const { done, value } = iterator.next()
        if (done === true) {
          this.#finish()
          return
        }
        this.#iterator = iterator
        if (!this.#over) this.#send(value)
      }
      if (this.#over) this.#release()
      else if (this.#reply.complete) this.#finish()
      else this.#resume = () => this.#pull(iterator)
    } catch (error) {
      this.#fail(error)
    }
  }

  async #pullAsync(iterator: AsyncIterator<unknown>): Promise<void> {
    this.#iterator = iterator
    try {
      while (!this.#over && !this.#reply.complete) {
        if (this.#blocked) {
          await this.#drained()
          continue
        }
        const { done, value } = await iterator.next()
        if (done === true) {
          this.#iterator = undefined
          break
        }
        if (!this.#over) this.#send(value)
        if (!this.#readsAhead && value instanceof Uint8Array) this.#readsAhead = readAhead(this.#result, value)
      }
      this.#finish()
    } catch (error) {
      this.#fail(error)
    }
  }

  /** Until the client takes more, or nothing more will be sent. */
  #drained(): Promise<void> {
    return new Promise(resolve => {
      this.#resume = resolve
    })
  }

  #wake(): void {
    const resume = this.#resume
    this.#resume = undefined
    resume?.()
  }

  #send(chunk: unknown): void {
    if (!this.#reply.send(chunk)) this.#blocked = true
  }

  #sendWhole(chunk: unknown): void {
    if (hasClose(this.#result)) {
      this.#reply.announce(chunk)
      this.#send(chunk)
      this.#finish()
    } else if (!this.#over) {
      this.#reply.sendWhole(chunk)
      this.#over = true
    }
  }

  #finish(): void {
    if (this.#over) return
    this.#release()
    this.#reply.end()
    this.#over = true
  }

  /** The reply is complete without what the application returned. */
  #conclude(): void {
    this.#over = true
    this.#release()
  }

  #fail(error: unknown): void {
    this.#release()
    this.#over = true
    this.#exchange.fail(error)
  }

  /** Lets go of what the application returned: PEP 3333 wants `close()` called whatever happened. */
  #release(): void {
    const [iterator, result] = [this.#iterator, this.#result]
    this.#iterator = undefined
    this.#result = undefined
    if (this.#readsAhead) endReadAhead()
    this.#readsAhead = false
    if (iterator !== undefined) this.#call(() => iterator.return?.())
    if (hasClose(result)) this.#call(() => result.close())
    else if (result instanceof Readable) result.destroy()
  }

  /** Calls something whose failure must not change the reply. */
  #call(cleanUp: () => unknown): void {
    const complain = (error: unknown): void => {
      if (this.#over) this.#exchange.fail(error)
      else this.#exchange.stderr(`${stackOf(error)}\n`)
    }
    try {
      Promise.resolve(cleanUp()).catch(complain)
    } catch (error) {
      complain(error)
    }
  }
}

/**
 * @param application the person's callable
 * @param files takes replies that are files
 */
export function wsgiApplication(application: WsgiCallable, options: AdapterOptions, files?: FileReplies): Application {
  return {
    interface: 'wsgi',
    handle(exchange: Exchange): RequestHandler {
      const request = new WsgiRequest(exchange, options, files)
      request.run(application)
      return request
    },
  }
}
