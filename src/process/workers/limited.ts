/**
 * `concurrency` in one process: at most so many requests run, the rest wait in a bounded queue, and what would wait too
 * long is refused with 503. So the time that a request may take is counted here, from when it begins. What waits can be
 * handed back, to be answered elsewhere. A wrapper around an application; it knows neither sockets nor other processes.
 */

import type { AbortReason, Application, Exchange, RequestHandler, RequestRole } from '../../app/exchange.ts'
import type { Params } from '../../cgi/params.ts'
import { requestLine } from '../../cgi/plan.ts'
import type { Log } from '../../log.ts'
import { RequestQueue } from '../queue.ts'

export interface Limit {
  /** Requests that run at once; 0: no limit. */
  readonly concurrency: number
  /** Requests that may wait, and for how long (milliseconds; 0: for ever). */
  readonly queue: number
  readonly queueTimeout: number
  /** Milliseconds that a request may take once it has begun; then 504, or the reply is cut off. 0: no limit. */
  readonly requestTimeout: number
}

/** How often requests that run are looked at, in milliseconds. */
const LOOK_MS = 250

/** How long a request waits before somebody else is asked to run it, in milliseconds. */
const PATIENCE_MS = 50

export class LimitedApplication implements Application {
  readonly interface: Application['interface']
  readonly authorizes: Application['authorizes']
  readonly #app: Application
  readonly #limit: Limit
  readonly #log: Log
  readonly #queue: RequestQueue<LimitedRequest>
  /** In the order in which they began. */
  readonly #running = new Set<LimitedRequest>()
  #advancing = false
  #timer: NodeJS.Timeout | null = null
  #looking: NodeJS.Timeout | null = null
  #asking: NodeJS.Timeout | null = null
  readonly #onCrowd: (waiting: number) => void

  /** @param onCrowd called again and again while requests wait that `share` might spare the waiting; their number */
  constructor(app: Application, limit: Limit, log: Log, onCrowd = (_waiting: number): void => {}) {
    this.interface = app.interface
    this.#app = app
    this.authorizes = app.authorizes
    this.#limit = limit
    this.#log = log
    this.#onCrowd = onCrowd
    this.#queue = new RequestQueue(limit.queue)
  }

  /** Requests that wait for others to end. */
  get waiting(): number {
    return this.#queue.length
  }

  handle(exchange: Exchange): RequestHandler {
    const request = new LimitedRequest(this, exchange)
    if (this.#hasRoom && this.#queue.length === 0) this.#begin(request)
    else if (this.#queue.push(request)) this.#watch()
    else exchange.refuse(503)
    return request
  }

  async close(): Promise<void> {
    for (const timer of [this.#looking, this.#asking]) clearInterval(timer ?? undefined)
    await this.#app.close?.()
  }

  /** Hands back so many requests that wait, the oldest first. */
  share(requests: number): void {
    let left = requests
    for (const request of [...this.#queue]) {
      if (left === 0) break
      if (!request.handBack()) continue
      this.#queue.remove(request)
      left--
    }
  }

  /** A request that ran has ended. */
  ended(request: LimitedRequest): void {
    this.#running.delete(request)
    this.#advance()
  }

  /** A request that waited is not wanted any more. */
  forget(request: LimitedRequest): void {
    this.#queue.remove(request)
  }

  get #hasRoom(): boolean {
    return this.#running.size < this.#limit.concurrency
  }

  #begin(request: LimitedRequest): void {
    this.#running.add(request)
    if (this.#limit.requestTimeout > 0) this.#looking ??= setInterval(() => this.#look(), LOOK_MS).unref()
    request.begin(this.#app)
  }

  #look(): void {
    const now = performance.now()
    for (const request of this.#running) {
      if (now - request.since <= this.#limit.requestTimeout) break
      const age = Math.round(now - request.since)
      this.#log.warn({ ...requestLine(request.params), age, reason: 'timeout' }, 'request ended by runfcgi')
      request.timeOut()
    }
  }

  /** A loop, not a recursion: an application that answers at once ends its request before `begin` returns. */
  #advance(): void {
    if (this.#advancing) return
    this.#advancing = true
    while (this.#hasRoom) {
      const next = this.#queue.shift()
      if (next === undefined) break
      this.#begin(next)
    }
    this.#advancing = false
  }

  #ask(): void {
    if (this.#queue.first === undefined) {
      clearInterval(this.#asking ?? undefined)
      this.#asking = null
    } else if (performance.now() - this.#queue.first.since > PATIENCE_MS) this.#onCrowd(this.#queue.length)
  }

  /** One timer for all: whoever came first has waited longest. */
  #watch(): void {
    this.#asking ??= setInterval(() => this.#ask(), PATIENCE_MS).unref()
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
  /** When it came, then when it began (`performance.now()`). */
  since = performance.now()
  readonly #owner: LimitedApplication
  readonly #exchange: Exchange
  #handler: RequestHandler | null = null
  #state: 'waiting' | 'running' | 'over' = 'waiting'
  #stdinEnded = false
  #wantsStdin = false
  #timedOut = false

  constructor(owner: LimitedApplication, exchange: Exchange) {
    this.#owner = owner
    this.#exchange = exchange
    this.params = exchange.params
  }

  begin(app: Application): void {
    this.#state = 'running'
    this.since = performance.now()
    try {
      this.#handler = app.handle(this)
    } catch (error) {
      this.fail(error)
      return
    }
    if (this.#wantsStdin) this.#exchange.resumeStdin()
    if (this.#stdinEnded) this.#handler.onStdinEnd()
  }

  /** It has waited too long. */
  expire(): void {
    this.#state = 'over'
    this.#exchange.refuse(503)
  }

  /** Somebody else is to answer it. */
  handBack(): boolean {
    if (this.#exchange.handBack?.() !== true) return false
    this.#state = 'over'
    return true
  }

  /** It has run too long. */
  timeOut(): void {
    this.#timedOut = true
    this.#exchange.refuse(504)
    this.#handler?.onAbort('timeout')
    this.#over()
  }

  // For the application.

  get role(): RequestRole {
    return this.#exchange.role
  }

  get bodyless(): boolean {
    return this.#exchange.bodyless
  }

  get aborted(): boolean {
    return this.#timedOut || this.#exchange.aborted
  }

  get headSent(): boolean {
    return this.#exchange.headSent
  }

  /** What comes before the application has returned its handler would be lost. */
  resumeStdin(): void {
    if (this.#handler === null) this.#wantsStdin = true
    else this.#exchange.resumeStdin()
  }

  pauseStdin(): void {
    this.#wantsStdin = false
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
    if (!this.#timedOut) this.#exchange.fail(error)
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
    if (this.#state === 'running') this.#handler?.onAbort(reason)
    this.#over()
  }

  #over(): void {
    if (this.#state !== 'running') return
    this.#state = 'over'
    this.#owner.ended(this)
  }
}
