/**
 * One HTTP request on its way to the responder and back: body out, reply in, each held back by the slower side. Decides
 * what the client sees when something goes wrong; leaves sockets to the pool and the reply's form to ReplyWriter.
 */

import type { IncomingMessage, ServerResponse } from 'node:http'
import { isBelow } from '../cgi/mount.ts'
import { ResponseHeadError } from '../cgi/response.ts'
import { ProtocolStatus } from '../fcgi/constants.ts'
import type { Connection, ConnectionError, ReplyListener } from './connection.ts'
import { errorPage } from './error-page.ts'
import { type Entry, parseTarget, type RequestTarget } from './params.ts'
import type { ConnectionPool } from './pool.ts'
import { ReplyWriter } from './reply.ts'

/** What a finished request leaves for the access log. */
export interface ForwardingOutcome {
  /** As sent; 499 if the client went away before a head was sent (nginx's number for it). */
  readonly status: number
  readonly bytes: number
  /** Why the reply is not what the application meant to send; null if all is well. */
  readonly problem: string | null
}

/** What changes when a local redirect is followed. */
export interface Forwarded {
  readonly method: string
  readonly target: RequestTarget
  readonly hasBody: boolean
  readonly redirected: boolean
}

export interface ForwardingContext {
  readonly pool: ConnectionPool
  readonly mount: string
  /** Milliseconds in which something must move; 0 for no limit. */
  readonly timeoutMs: number
  /** True while the gateway is being closed. */
  readonly closing: () => boolean
  readonly paramsFor: (request: Forwarded) => Iterable<Entry>
  readonly onStderr: (chunk: Buffer) => void
  readonly onDone: (outcome: ForwardingOutcome) => void
}

/** Apache's LimitInternalRecursion. */
const MAX_LOCAL_REDIRECTS = 10

/** How long the rest of a body that nobody wants is read, as nginx's lingering_time. */
const LINGER_MS = 30_000

/** While the responder's queue of waiting connections is full, connecting is tried again after this. */
const QUEUE_FULL_PAUSE_MS = 20

/** Safe to send twice (RFC 9110 §9.2.2). */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE', 'PROPFIND', 'REPORT'])

const CLIENT_GONE = 499

const bodyAnnounced = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0

export class Forwarding implements ReplyListener {
  readonly #req: IncomingMessage
  readonly #res: ServerResponse
  readonly #context: ForwardingContext
  readonly #expectsContinue: boolean
  #forwarded: Forwarded
  #reply: ReplyWriter
  #connection: Connection | null = null
  #cancelWait: () => void = () => {}
  /** A kept connection had gone stale under the request. */
  #stale = false
  #redirects = 0
  #replyStarted = false
  /** Reading the client's body, which has begun and not ended. */
  #pumping = false
  #timer: NodeJS.Timeout | null = null
  #done = false

  constructor(
    req: IncomingMessage,
    res: ServerResponse,
    target: RequestTarget,
    expectsContinue: boolean,
    context: ForwardingContext,
  ) {
    this.#req = req
    this.#res = res
    this.#context = context
    this.#expectsContinue = expectsContinue
    this.#forwarded = { method: req.method ?? 'GET', target, hasBody: bodyAnnounced(req), redirected: false }
    this.#reply = new ReplyWriter(res, this.#forwarded.method)
    res.on('drain', () => this.#onClientDrain())
    res.on('close', () => this.#onClientGone())
    // Written to in the moment in which the client left.
    res.on('error', () => this.#onClientGone())
  }

  /** Sends the request, or sends it again. */
  start(): void {
    const { method, hasBody } = this.#forwarded
    this.#replyStarted = false
    this.#reply = new ReplyWriter(this.#res, method)
    if (this.#timer === null) this.#progress()
    // Whatever could not be sent a second time gets a connection that cannot have gone stale.
    const fresh = hasBody || this.#stale || !IDEMPOTENT.has(method)
    this.#cancelWait = this.#context.pool.take(fresh, connection => {
      this.#connection = connection
      connection.start(this, { params: this.#context.paramsFor(this.#forwarded), hasBody, keepConn: true })
    })
  }

  onConnected(): void {
    if (!this.#forwarded.hasBody) return
    if (this.#expectsContinue) this.#res.writeContinue()
    this.#pumping = true
    this.#req.on('data', this.#onBody)
    this.#req.on('end', this.#onBodyEnd)
  }

  onStdout(chunk: Buffer): void {
    this.#replyStarted = true
    this.#reply.closing = this.#context.closing()
    try {
      if (!this.#reply.receive(chunk)) this.#hold()
    } catch (error) {
      this.#badReply(error)
    }
  }

  onStderr(chunk: Buffer): void {
    this.#replyStarted = true
    this.#context.onStderr(chunk)
  }

  onBatchEnd(): void {
    if (!this.#reply.flush()) this.#hold()
    this.#progress()
  }

  onDrain(): void {
    if (!this.#pumping) return
    this.#req.resume()
    this.#progress()
  }

  onEnd(appStatus: number, protocolStatus: number): void {
    const connection = this.#connection as Connection
    this.#connection = null
    this.#context.pool.give(connection)
    const location = this.#reply.head?.localRedirect ?? null
    if (protocolStatus !== ProtocolStatus.requestComplete) this.#refused(protocolStatus)
    else if (location !== null) this.#redirect(location)
    else this.#finish(appStatus)
  }

  onFailure(error: ConnectionError): void {
    const { requests } = this.#connection as Connection
    this.#connection = null
    if (error.errno === 'EAGAIN' && error.code === 'connect') {
      const again = setTimeout(() => this.start(), QUEUE_FULL_PAUSE_MS)
      this.#cancelWait = () => clearTimeout(again)
    } else if (error.code === 'closed' && requests > 1 && !this.#replyStarted) {
      this.#stale = true
      this.start()
    } else if (this.#res.headersSent) this.#cutOff(error.message)
    else this.#page(502, error.message)
  }

  readonly #onBody = (chunk: Buffer): void => {
    if (this.#connection?.write(chunk) === false) this.#req.pause()
    this.#progress()
  }

  readonly #onBodyEnd = (): void => {
    this.#pumping = false
    this.#connection?.endBody()
    this.#progress()
  }

  #stopPumping(): void {
    this.#pumping = false
    this.#req.off('data', this.#onBody)
    this.#req.off('end', this.#onBodyEnd)
  }

  /** The client reads too slowly: let the responder feel it. */
  #hold(): void {
    this.#connection?.pause()
  }

  #onClientDrain(): void {
    this.#connection?.resume()
    this.#progress()
  }

  #onClientGone(): void {
    if (this.#done) return
    this.#end(this.#res.headersSent ? this.#res.statusCode : CLIENT_GONE, 'the client went away')
  }

  /** Something moved. The clock runs until the head has come, and while the client does not take what is written to it. */
  #progress(): void {
    const { timeoutMs } = this.#context
    const timed = !this.#done && timeoutMs > 0 && (!this.#res.headersSent || this.#res.writableNeedDrain)
    if (!timed) this.#stopClock()
    else if (this.#timer === null) this.#timer = setTimeout(() => this.#onTimeout(), timeoutMs)
    else this.#timer.refresh()
  }

  #stopClock(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  #onTimeout(): void {
    const after = `for ${this.#context.timeoutMs / 1000} s`
    if (this.#res.headersSent) this.#cutOff(`the client took nothing ${after}`)
    else if (this.#pumping && !this.#req.isPaused()) this.#page(408, `the client sent nothing ${after}`)
    else this.#page(504, `the application sent nothing ${after}`)
  }

  #refused(protocolStatus: number): void {
    const overloaded = protocolStatus === ProtocolStatus.overloaded || protocolStatus === ProtocolStatus.cantMpxConn
    const problem = `the responder refused the request (protocolStatus ${protocolStatus})`
    if (this.#res.headersSent) this.#cutOff(problem)
    else this.#page(overloaded ? 503 : 502, problem)
  }

  /** RFC 3875 §6.2.2: answer as if the client had asked for `location`. */
  #redirect(location: string): void {
    const target = parseTarget(location)
    if (target === null || !isBelow(target.path, this.#context.mount)) {
      this.#page(502, `local redirect to ${JSON.stringify(location)}, which is not a path below the mount point`)
    } else if (++this.#redirects > MAX_LOCAL_REDIRECTS) {
      this.#page(502, `more than ${MAX_LOCAL_REDIRECTS} local redirects, the last to ${JSON.stringify(location)}`)
    } else {
      const method = this.#forwarded.method === 'HEAD' ? 'HEAD' : 'GET'
      this.#forwarded = { method, target, hasBody: false, redirected: true }
      this.#stopPumping()
      this.#progress()
      this.start()
    }
  }

  #finish(appStatus: number): void {
    this.#reply.closing = this.#context.closing() || this.#unreadBody
    try {
      const complete = this.#reply.end(appStatus === 0)
      const problem = complete ? null : `the application ended its reply early (appStatus ${appStatus})`
      this.#end(this.#res.statusCode, problem)
    } catch (error) {
      this.#badReply(error)
    }
  }

  #badReply(error: unknown): void {
    if (!(error instanceof ResponseHeadError)) throw error
    this.#page(502, error.message)
  }

  /** Part of the reply is out: only the end of the connection can tell the client that the rest is missing. */
  #cutOff(problem: string): void {
    this.#res.destroy()
    this.#end(this.#res.statusCode, problem)
  }

  /** A reply of our own. What went wrong is for the log: the client is told no more than it needs. */
  #page(status: number, problem: string): void {
    const page = errorPage(status)
    const headers = [...page.headers]
    if (this.#unreadBody || this.#context.closing()) headers.push('Connection', 'close')
    this.#res.writeHead(status, headers)
    // node:http leaves the body out by itself when the method is HEAD.
    this.#res.end(page.body)
    this.#end(status, problem)
  }

  get #unreadBody(): boolean {
    return bodyAnnounced(this.#req) && !this.#req.complete
  }

  /** Over: nothing that the connection or the client still says is listened to. */
  #end(status: number, problem: string | null): void {
    this.#done = true
    this.#stopClock()
    this.#stopPumping()
    this.#cancelWait()
    this.#connection?.abandon()
    this.#connection = null
    if (this.#unreadBody) this.#linger()
    this.#context.onDone({ status, bytes: this.#reply.bytes, problem })
  }

  /** Reads on for a while: a connection closed with unread bytes in it is reset, and the reply may be lost with it. */
  #linger(): void {
    const { socket } = this.#req
    if (socket.destroyed) return
    const timer = setTimeout(() => socket.destroy(), LINGER_MS)
    timer.unref()
    const stop = (): void => clearTimeout(timer)
    this.#req.once('end', stop)
    socket.once('close', stop)
    this.#req.resume()
  }
}
