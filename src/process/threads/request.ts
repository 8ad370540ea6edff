/**
 * One request that a thread runs, from the main thread's side: between its exchange, which owns the connection, and the
 * thread it was given to. Keeps the credit of both directions: body bytes that the application has not taken, reply bytes
 * that the peer has not.
 */

import type { AbortReason, Exchange, RequestHandler } from '../../app/exchange.ts'
import { requestLine } from '../../cgi/plan.ts'
import type { RunningRequest } from '../../server/responder.ts'
import type { ThreadChannel } from './channel.ts'
import { ABORT_REASONS, type Failure, ToMain, ToThread, WINDOW } from './messages.ts'
import type { Received } from './record.ts'

/** Who has a request. */
export interface Keeper {
  readonly channel: ThreadChannel
  /** The request is over; what still comes of it is nobody's. */
  finished(request: ThreadRequest): void
}

/** Who has requests that no thread has. */
export interface Waiting {
  forget(request: ThreadRequest): void
}

const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

export class ThreadRequest implements RequestHandler {
  readonly exchange: Exchange
  /** Its number on its thread, another one each time it is given to a thread. */
  id = 0
  /** Its place in the order in which its thread gets requests, modulo 2^32. */
  order = 0
  /** When it was put into the queue, and when it was seen to have been begun (`performance.now()`), or 0. */
  queuedAt = 0
  begunAt = 0
  retried = false
  done = false
  #thread: Keeper | null = null
  #stdinOnTheWay = 0
  #creditOwed = 0
  #wantsStdin = false
  readonly #queue: Waiting

  constructor(queue: Waiting, exchange: Exchange) {
    this.#queue = queue
    this.exchange = exchange
  }

  /** It may be begun a second time: nothing of it was seen, and it changes nothing. Once only: it may be the culprit. */
  get mayBeRetried(): boolean {
    const { params, bodyless, headSent } = this.exchange
    if (this.retried || headSent || !bodyless) return false
    return IDEMPOTENT.has(requestLine(params).method)
  }

  /** For the log and for `runfcgi status`. `now`: `performance.now()`. */
  describe(now: number): RunningRequest {
    return { ...requestLine(this.exchange.params), age: this.begunAt === 0 ? 0 : Math.round(now - this.begunAt) }
  }

  /** It is `thread`'s from now on. */
  give(thread: Keeper, id: number, order: number): void {
    this.#thread = thread
    this.id = id
    this.order = order
    this.begunAt = 0
  }

  /** No thread has it. `now`: `performance.now()`. */
  wait(now: number): void {
    this.#thread = null
    this.queuedAt = now
  }

  /** Answers with a page of our own; no thread has it any more. */
  refuse(status: number): void {
    this.done = true
    this.exchange.refuse(status)
  }

  // The exchange's side.

  onStdin(chunk: Buffer): boolean {
    if (this.#thread === null) return false
    this.#stdinOnTheWay += this.#thread.channel.send(ToThread.stdin, this.id, 0, 0, '', chunk)
    return this.#wantsStdin && this.#stdinOnTheWay < WINDOW
  }

  onStdinEnd(): void {
    this.#thread?.channel.send(ToThread.stdinEnd, this.id)
  }

  onDrain(): void {
    if (this.#creditOwed > 0) this.#thread?.channel.send(ToThread.credit, this.id, 0, this.#creditOwed)
    this.#creditOwed = 0
  }

  onAbort(reason: AbortReason): void {
    this.done = true
    if (this.#thread === null) this.#queue.forget(this)
    else {
      this.#thread.channel.send(ToThread.abort, this.id, ABORT_REASONS.indexOf(reason))
      this.#thread.finished(this)
    }
  }

  // The thread's side.

  receive(record: Received): void {
    const { exchange } = this
    switch (record.kind) {
      case ToMain.reply:
        exchange.head(record.code, record.text(), record.amount)
        this.#end(record.content())
        break
      case ToMain.head:
        exchange.head(record.code, record.text(), record.amount)
        break
      case ToMain.flush:
        exchange.flush()
        break
      case ToMain.write:
        this.#write(record.content())
        break
      case ToMain.end:
        this.#end(record.content())
        break
      case ToMain.stderr:
        exchange.stderr(record.chunk())
        break
      case ToMain.fail:
        this.#fail(JSON.parse(record.chunk().toString()))
        break
      case ToMain.refuse:
        this.refuse(record.code)
        this.#thread?.finished(this)
        break
      case ToMain.resumeStdin:
        this.#wantsStdin = true
        if (this.#stdinOnTheWay < WINDOW) exchange.resumeStdin()
        break
      case ToMain.pauseStdin:
        this.#wantsStdin = false
        exchange.pauseStdin()
        break
      case ToMain.credit:
        this.#stdinOnTheWay -= record.amount
        if (this.#wantsStdin && this.#stdinOnTheWay < WINDOW) exchange.resumeStdin()
        break
      default:
        throw new Error(`no such record: ${record.kind}`)
    }
  }

  #write(content: string | Buffer): void {
    const room = this.exchange.write(content, true)
    this.#creditOwed += content.length
    if (room && this.#creditOwed >= WINDOW / 4) this.onDrain()
  }

  #end(content: string | Buffer): void {
    this.done = true
    this.exchange.end(content, true)
    this.#thread?.finished(this)
  }

  #fail({ name, message, stack }: Failure): void {
    this.done = true
    this.exchange.fail(Object.assign(new Error(message), { name, stack }))
    this.#thread?.finished(this)
  }
}
