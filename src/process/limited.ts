/**
 * `concurrency` in one process: at most so many requests run, the rest wait in a bounded queue, and what would wait too
 * long is refused with 503. A wrapper around an application; it knows neither sockets nor other processes.
 */

import type { AbortReason, Application, Exchange, RequestHandler, RequestRole } from '../app/exchange.ts'
import type { Params } from '../cgi/params.ts'
import { RequestQueue } from './queue.ts'

export interface Limit {
  /** Requests that run at once; 0: no limit. */
  readonly concurrency: number
  /** Requests that may wait, and for how long (milliseconds; 0: for ever). */
  readonly queue: number
  readonly queueTimeout: number
}

/** The application itself if there is no limit. */
export const limited = (app: Application, limit: Limit): Application =>
  limit.concurrency === 0 ? app : new LimitedApplication(app, limit)

class LimitedApplication implements Application {
  readonly interface: Application['interface']
  readonly authorizes: Application['authorizes']
  readonly #app: Application
  readonly #limit: Limit
  readonly #queue: RequestQueue<LimitedRequest>
  #running = 0
  #advancing = false
  #timer: NodeJS.Timeout | null = null

  constructor(app: Application, limit: Limit) {
    this.interface = app.interface
    this.#app = app
    this.authorizes = app.authorizes
    this.#limit = limit
    this.#queue = new RequestQueue(limit.queue)
  }

  handle(exchange: Exchange): RequestHandler {
    const request = new LimitedRequest(this, exchange)
    if (this.#running < this.#limit.concurrency && this.#queue.length === 0) this.#begin(request)
    else if (this.#queue.push(request)) this.#watch()
    else exchange.refuse(503)
    return request
  }

  async close(): Promise<void> {
    await this.#app.close?.()
  }

  /** A request that ran has ended. */
  ended(): void {
    this.#running--
    this.#advance()
  }

  /** A request that waited is not wanted any more. */
  forget(request: LimitedRequest): void {
    this.#queue.remove(request)
  }

  #begin(request: LimitedRequest): void {
    this.#running++
    request.begin(this.#app)
  }

  /** A loop, not a recursion: an application that answers at once ends its request before `begin` returns. */
  #advance(): void {
    if (this.#advancing) return
    this.#advancing = true
    while (this.#running < this.#limit.concurrency) {
      const next = this.#queue.shift()
      if (next === undefined) break
      this.#begin(next)
    }
    this.#advancing = false
  }

  /** One timer for all: whoever came first has waited longest. */
  #watch(): void {
    const { queueTimeout } = this.#limit
    const { first } = this.#queue
    if (queueTimeout === 0 || first === undefined || this.#timer !== null) return
    const left = Math.max(0, first.since + queueTimeout - performance.now())
    this.#timer = setTimeout(() => this.#expire(), left).unref()
  }

  #expire(): void {
    this.#timer = null
    const now = performance.now()
    for (let { first } = this.#queue; first !== undefined; { first } = this.#queue) {
      if (now - first.since < this.#limit.queueTimeout) break
      this.#queue.remove(first)
      first.expire()
    }
    this.#watch()
  }
}

/** To the server the handler of a request, to the application its exchange: sees when either of them ends it. */
class LimitedRequest implements Exchange, RequestHandler {
  readonly params: Params
  /** When it came (`performance.now()`). */
  readonly since = performance.now()
  readonly #owner: LimitedApplication
  readonly #exchange: Exchange
  #handler: RequestHandler | null = null
  #state: 'waiting' | 'running' | 'over' = 'waiting'
  #stdinEnded = false

  constructor(owner: LimitedApplication, exchange: Exchange) {
    this.#owner = owner
    this.#exchange = exchange
    this.params = exchange.params
  }

  begin(app: Application): void {
    this.#state = 'running'
    try {
      this.#handler = app.handle(this)
    } catch (error) {
      this.fail(error)
      return
    }
    if (this.#stdinEnded) this.#handler.onStdinEnd()
  }

  /** It has waited too long. */
  expire(): void {
    this.#state = 'over'
    this.#exchange.refuse(503)
  }

  // For the application.

  get role(): RequestRole {
    return this.#exchange.role
  }

  get bodyless(): boolean {
    return this.#exchange.bodyless
  }

  get aborted(): boolean {
    return this.#exchange.aborted
  }

  get headSent(): boolean {
    return this.#exchange.headSent
  }

  resumeStdin(): void {
    this.#exchange.resumeStdin()
  }

  pauseStdin(): void {
    this.#exchange.pauseStdin()
  }

  head(status: number, block: string, contentLength: number): void {
    this.#exchange.head(status, block, contentLength)
  }

  flush(): void {
    this.#exchange.flush()
  }

  write(chunk: string | Uint8Array, latin1?: boolean): boolean {
    return this.#exchange.write(chunk, latin1)
  }

  stderr(chunk: string | Uint8Array): void {
    this.#exchange.stderr(chunk)
  }

  end(chunk?: string | Uint8Array, latin1?: boolean): void {
    this.#exchange.end(chunk, latin1)
    this.#over()
  }

  fail(error: unknown): void {
    this.#exchange.fail(error)
    this.#over()
  }

  refuse(status: number): void {
    this.#exchange.refuse(status)
    this.#over()
  }

  // For the server.

  onStdin(chunk: Buffer): boolean {
    return this.#handler?.onStdin(chunk) ?? false
  }

  /** An empty body may end while the request waits. */
  onStdinEnd(): void {
    if (this.#handler === null) this.#stdinEnded = true
    else this.#handler.onStdinEnd()
  }

  onDrain(): void {
    this.#handler?.onDrain()
  }

  onAbort(reason: AbortReason): void {
    if (this.#state === 'waiting') {
      this.#state = 'over'
      this.#owner.forget(this)
      return
    }
    this.#handler?.onAbort(reason)
    this.#over()
  }

  #over(): void {
    if (this.#state !== 'running') return
    this.#state = 'over'
    this.#owner.ended()
  }
}
