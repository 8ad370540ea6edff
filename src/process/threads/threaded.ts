/**
 * method=threaded: one process, whose main thread owns the sockets and all FastCGI, and worker threads that run the
 * application. This file is the main thread's side: it starts threads and gives each request to the least busy one.
 *
 * What it promises: a thread that is stuck, crashes or is replaced costs the requests that it had begun, and no others.
 * Requests it had been given and not begun go to another thread; so do those it had begun, if their method is idempotent
 * (RFC 9110 §9.2.2) and nothing of their reply was sent, once.
 */

import type { Worker } from 'node:worker_threads'
import type { AdapterOptions, Application, Exchange, RequestHandler } from '../../app/exchange.ts'
import type { LoadRequest } from '../../app/load/load.ts'
import type { Log } from '../../log.ts'
import type { Child, ChildKind, ChildListener } from '../pool/child.ts'
import { RequestQueue } from '../queue.ts'
import { bareThread } from './bare-thread.ts'
import { STUCK_LOAD, ThreadLink } from './link.ts'
import { ThreadRequest } from './request.ts'
import type { ThreadData } from './thread.ts'

export interface ThreadedOptions {
  readonly request: LoadRequest
  readonly adapter: AdapterOptions
  readonly log: Log
  /** Requests one thread runs at once; 0: no limit. */
  readonly concurrency: number
  /** Requests that may wait for a thread, and for how long (milliseconds; 0: for ever). */
  readonly queue: number
  readonly queueTimeout: number
  /** Milliseconds that a request may take once a thread has begun it; 0: no limit. */
  readonly requestTimeout: number
  /** Milliseconds that the event loop of a thread may stand still; 0: for ever. */
  readonly hangTimeout: number
  /** Bytes of JavaScript heap at which a thread is replaced; 0: never. It is ended by force at twice as many. */
  readonly maxMemory: number
  /** Only 1 matters here: a thread is given one request in its life. */
  readonly maxRequests: number
}

/** How often threads are looked at, in milliseconds. */
const LOOK_MS = 100

export class ThreadPool implements ChildKind, Application {
  readonly interface = 'node'
  readonly passesOn = true
  /** As the youngest thread says. */
  authorizes = false
  options: ThreadedOptions
  readonly #threads = new Set<ThreadLink>()
  readonly #queue: RequestQueue<ThreadRequest>
  /** All threads are to end. */
  closing = false

  constructor(options: ThreadedOptions) {
    this.options = options
    this.#queue = new RequestQueue(options.queue)
    setInterval(() => this.#look(), LOOK_MS).unref()
  }

  /** What a request may take holds from now on; what a thread runs and may use, for those that are started from now on. */
  configure(options: ThreadedOptions): void {
    this.options = options
    this.#queue.limit = options.queue
  }

  spawn(id: number, _generation: number, listener: ChildListener): Child {
    const thread = new ThreadLink(id, listener, this)
    this.#threads.add(thread)
    return thread
  }

  handle(exchange: Exchange): RequestHandler {
    const request = new ThreadRequest(this, exchange)
    this.dispatch(request)
    return request
  }

  async close(): Promise<void> {
    this.closing = true
  }

  /** A thread of its own for a link, which has the other ends of the ports. */
  startWorker(ports: Pick<ThreadData, 'memory' | 'port' | 'orders'>): Worker {
    const { request, adapter, maxMemory } = this.options
    const data: ThreadData = { request, options: adapter, ...ports, environment: { ...process.env } }
    const worker = bareThread(maxMemory)
    worker.postMessage(data, [ports.port, ports.orders])
    return worker
  }

  /** What waits for a thread. */
  get waiting(): number {
    return this.#queue.length
  }

  /** Gives the request to the least busy thread, or lets it wait for one, or refuses it. */
  dispatch(request: ThreadRequest): void {
    const thread = this.#leastBusy()
    if (thread !== undefined) thread.begin(request)
    else {
      request.wait(performance.now())
      if (!this.#queue.push(request)) request.refuse(503)
    }
  }

  /** A thread has room, or is new. */
  advance(): void {
    while (this.#queue.length > 0) {
      const thread = this.#leastBusy()
      if (thread === undefined) return
      const request = this.#queue.shift()
      if (request !== undefined && !request.done) thread.begin(request)
    }
  }

  forget(request: ThreadRequest): void {
    this.#queue.remove(request)
  }

  /** Gives to others what waits behind something that holds a thread up, if there is another that turns. */
  rescue(stuck: ThreadLink): void {
    if (![...this.#threads].some(thread => thread !== stuck && thread.open && thread.load < STUCK_LOAD)) return
    for (const request of stuck.takeBack()) this.dispatch(request)
  }

  /** The thread has ended with these requests still its own. */
  ended(thread: ThreadLink, begun: readonly ThreadRequest[], notBegun: readonly ThreadRequest[]): void {
    this.#threads.delete(thread)
    for (const request of notBegun) this.dispatch(request)
    for (const request of begun) {
      if (request.mayBeRetried) {
        request.retried = true
        this.dispatch(request)
      } else request.refuse(503)
    }
  }

  #leastBusy(): ThreadLink | undefined {
    const { concurrency } = this.options
    let best: ThreadLink | undefined
    for (const thread of this.#threads) {
      if (!thread.open || (concurrency > 0 && thread.inflight >= concurrency)) continue
      if (best === undefined || thread.load < best.load) best = thread
    }
    return best
  }

  #look(): void {
    const now = performance.now()
    const { queueTimeout } = this.options
    for (const thread of [...this.#threads]) thread.look(now)
    if (queueTimeout === 0) return
    for (;;) {
      const oldest = this.#queue.first
      if (oldest === undefined || now - oldest.queuedAt <= queueTimeout) return
      this.#queue.shift()
      if (!oldest.done) oldest.refuse(503)
    }
  }
}
