/**
 * One request on a FastCGI connection, as its application sees it: the implementation of the port of src/app/exchange.ts
 * in the process that owns the socket. Keeps the reply's head back until there is something to send with it, keeps body
 * bytes until they are asked for, and makes sure that every request is answered and ended exactly once.
 */

import type { AbortReason, Application, Exchange, RequestHandler, RequestRole } from '../../app/exchange.ts'
import type { Params } from '../../cgi/params.ts'
import { requestLine } from '../../cgi/plan.ts'
import { statusFirst, tooLong } from '../../cgi/reply.ts'
import { asText } from '../../fcgi/output.ts'
import type { Request } from '../../fcgi/request.ts'
import { page } from '../pages.ts'
import type { RunningRequest } from '../responder.ts'
import { stackOf } from '../thrown.ts'
import type { Carrier } from './carrier.ts'
import { passesThrough } from './heap.ts'
import { Spool } from './spool.ts'

/** A string that is pure ASCII is the same in UTF-8 and latin1, and the cheapest to send. */
const isAscii = (text: string): boolean => Buffer.byteLength(text) === text.length

const encode = (chunk: string | Uint8Array, latin1: boolean): string | Uint8Array =>
  typeof chunk !== 'string' || latin1 || isAscii(chunk) ? chunk : Buffer.from(chunk)

/** Bytes up to this length are sent as text in one piece with what surrounds them rather than in a write of their own. */
const JOIN_BELOW = 4_096

export class ServerExchange implements Exchange {
  readonly params: Params
  readonly request: Request
  /** When the request was handed to the application (`Carrier.stamp`). */
  readonly started: number
  bodyless: boolean
  aborted = false
  headSent = false
  /** The status of the reply, 0 before there is one. */
  status = 0
  /** Body bytes of the reply so far, as given by the application. */
  sent = 0
  /** True when the application was told to wait for the peer. */
  waiting = false
  #carrier: Carrier
  #handler: RequestHandler | null = null
  #done = false
  #head = ''
  #declared = -1
  #reading = false
  #pumping = false
  #spool: Spool | null = null
  #stdinEnded: boolean
  #stdinEndTold: boolean
  #lastStdin: number

  constructor(carrier: Carrier, request: Request, params: Params) {
    this.#carrier = carrier
    this.request = request
    this.params = params
    this.started = carrier.stamp()
    this.#lastStdin = carrier.now
    this.bodyless = request.bodyless
    this.#stdinEnded = this.bodyless
    this.#stdinEndTold = this.bodyless
  }

  /** Bytes of body that have arrived and are not read. */
  get unread(): number {
    return this.#spool === null ? 0 : this.#spool.length
  }

  get role(): RequestRole {
    return this.request.authorizer ? 'authorizer' : 'responder'
  }

  get ended(): boolean {
    return this.#done
  }

  start(app: Application): void {
    let handler: RequestHandler
    try {
      handler = app.handle(this)
    } catch (error) {
      this.fail(error)
      return
    }
    if (this.#done) return
    this.#handler = handler
    if (this.#reading) this.#pump()
  }

  // The application's side.

  resumeStdin(): void {
    if (this.#reading || this.#done) return
    this.#reading = true
    this.#lastStdin = this.#carrier.now
    if (this.#handler !== null) this.#pump()
  }

  pauseStdin(): void {
    this.#reading = false
  }

  head(status: number, block: string, contentLength: number): void {
    if (this.#done || this.headSent) return
    this.status = status
    this.#head = this.request.authorizer ? statusFirst(block) : block
    this.#declared = contentLength
    this.sent = 0
  }

  flush(): void {
    if (this.#done || this.#head === '') return
    this.#sendHead()
    this.#carrier.flushSoon()
  }

  write(chunk: string | Uint8Array, latin1 = false): boolean {
    if (this.#done) return false
    const carrier = this.#carrier
    const content = this.#within(encode(chunk, latin1))
    passesThrough(content.length)
    if (this.#head !== '' && typeof content === 'string') {
      carrier.core.stdout(this.request, this.#takeHead() + content)
    } else {
      this.#sendHead()
      carrier.core.stdout(this.request, content)
    }
    carrier.flushSoon()
    if (!carrier.congested) return true
    this.waiting = true
    return false
  }

  end(chunk: string | Uint8Array = '', latin1 = false): void {
    if (this.#done) return
    if (!this.headSent && this.#head === '') {
      this.fail(new Error('the application ended its reply without a status and headers'))
      return
    }
    let content = this.#within(encode(chunk, latin1))
    if (typeof content !== 'string' && content.length < JOIN_BELOW) content = asText(content)
    if (typeof content === 'string') this.#carrier.core.stdout(this.request, this.#takeHead() + content)
    else {
      this.#sendHead()
      this.#carrier.core.stdout(this.request, content)
    }
    this.#finish(0)
  }

  fail(error: unknown): void {
    if (this.#done) {
      // Too late for the reply, not for the log; after an abort it is what was to be expected.
      if (!this.aborted)
        this.#carrier.log.error({ err: error, ...this.describe() }, 'the application failed after its reply')
      return
    }
    const stack = stackOf(error)
    this.#carrier.log.error({ err: error, ...this.describe() }, 'the application failed')
    this.stderr(`${stack}\n`)
    this.refuse(500, this.#carrier.debug ? stack : '')
  }

  stderr(chunk: string | Uint8Array): void {
    if (this.#done) return
    const content = encode(chunk, false)
    this.#carrier.core.stderr(this.request, typeof content === 'string' ? content : asText(content))
    this.#carrier.flushSoon()
  }

  refuse(status: number, details = ''): void {
    if (this.#done) return
    if (this.headSent) {
      this.#finish(1)
      return
    }
    const { block, body } = page(status, details)
    const content = requestLine(this.params).method === 'HEAD' ? '' : asText(Buffer.from(body))
    this.status = status
    this.sent = content.length
    this.#declared = -1
    this.#head = ''
    this.#carrier.core.stdout(this.request, block + content)
    this.#finish(0)
  }

  handBack(): boolean {
    if (this.#done || this.#reading || this.status > 0) return false
    return this.#carrier.handBack()
  }

  // The connection's side.

  /** It was handed back. */
  drop(): void {
    this.#done = true
    this.#spool?.close()
  }

  receiveStdin(chunk: Buffer): void {
    if (this.#done) return
    this.#lastStdin = this.#carrier.now
    passesThrough(chunk.length)
    const { limits } = this.#carrier
    if (limits.maxBodySize > 0 && this.request.stdinBytes > limits.maxBodySize) {
      this.abort('body-too-large')
      return
    }
    if (this.#reading && this.unread === 0 && !this.#pumping) {
      if (!(this.#handler as RequestHandler).onStdin(chunk)) this.#reading = false
      return
    }
    this.#keep(chunk)
  }

  receiveStdinEnd(): void {
    this.#stdinEnded = true
    if (this.unread === 0 && !this.#pumping) this.#tellStdinEnd()
  }

  /** The peer has taken what was waiting. */
  drained(): void {
    if (!this.waiting || this.#done) return
    this.waiting = false
    this.#handler?.onDrain()
  }

  /** Ends the request before its reply has: answers what can still be answered and tells the application. */
  abort(reason: AbortReason): void {
    if (this.#done) return
    this.aborted = true
    if (reason === 'client-gone') this.#close()
    else {
      this.#carrier.log.warn({ ...this.describe(), reason }, 'request ended by runfcgi')
      this.refuse(STATUS_OF[reason])
    }
    this.#handler?.onAbort(reason)
  }

  /**
   * Ends the request when it has taken too long in all, or when the body that the application waits for does not come.
   * `now`: that of the carrier.
   */
  checkTimeouts(now: number): void {
    const { requestTimeout, stdinTimeout } = this.#carrier.limits
    if (requestTimeout > 0 && this.#carrier.stamp() - this.started > requestTimeout) this.abort('timeout')
    else if (stdinTimeout > 0 && this.#reading && !this.#stdinEnded && now - this.#lastStdin > stdinTimeout)
      this.abort('stdin-timeout')
  }

  /** The request for the log. */
  describe(): RunningRequest {
    return { ...requestLine(this.params), age: Math.round(this.#carrier.stamp() - this.started) }
  }

  /** Counts `content`, and cuts it where the declared length ends: behind Apache the rest would begin the next reply. */
  #within(content: string | Uint8Array): string | Uint8Array {
    const before = this.sent
    this.sent += content.length
    if (this.#declared < 0 || this.sent <= this.#declared) return content
    if (before <= this.#declared) this.stderr(tooLong(this.#declared))
    const room = Math.max(this.#declared - before, 0)
    return typeof content === 'string' ? content.slice(0, room) : content.subarray(0, room)
  }

  #takeHead(): string {
    const head = this.#head
    this.#head = ''
    this.headSent = true
    return head
  }

  #sendHead(): void {
    if (this.#head !== '') this.#carrier.core.stdout(this.request, this.#takeHead())
  }

  #finish(appStatus: number): void {
    const { core } = this.#carrier
    core.end(this.request, appStatus)
    // The client was promised more bytes: only a closed connection tells it that they will not come.
    if (this.#declared > this.sent) core.close()
    this.#close()
    this.#carrier.flushNow()
  }

  #close(): void {
    this.#done = true
    this.#reading = false
    this.#spool?.close()
    this.#spool = null
    this.#carrier.exchangeEnded(this)
  }

  #keep(chunk: Buffer): void {
    const { limits } = this.#carrier
    if (this.unread + chunk.length > limits.maxSpool) {
      this.abort('body-too-large')
      return
    }
    this.#spool ??= new Spool(limits.bodyBuffer)
    this.#spool.push(chunk)
    this.#carrier.reviewFlow()
  }

  /** Hands over what has been kept, as long as it is wanted. */
  #pump(): void {
    if (this.#pumping) return
    const handler = this.#handler as RequestHandler
    this.#pumping = true
    while (this.#reading && this.#spool !== null) {
      const chunk = this.#spool.shift()
      if (chunk === undefined) break
      if (!handler.onStdin(chunk)) this.#reading = false
    }
    this.#pumping = false
    if (this.#done) return
    if (this.#stdinEnded && this.unread === 0) this.#tellStdinEnd()
    this.#carrier.reviewFlow()
  }

  #tellStdinEnd(): void {
    if (this.#stdinEndTold || this.#handler === null) return
    this.#stdinEndTold = true
    this.#handler.onStdinEnd()
  }
}

const STATUS_OF: Readonly<Record<Exclude<AbortReason, 'client-gone'>, number>> = {
  timeout: 504,
  'stdin-timeout': 408,
  'body-too-large': 413,
  shutdown: 503,
}
