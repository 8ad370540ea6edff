/**
 * One worker thread from the main thread's side: the requests it has, what passes between them and it, and whether its
 * event loop still turns. Which thread gets which request is decided in threaded.ts.
 */

import type { Worker } from 'node:worker_threads'
import type { AbortReason } from '../app/exchange.ts'
import { encodePairs } from '../fcgi/pairs.ts'
import type { RunningRequest } from '../server/responder.ts'
import { stackOf } from './blocked.ts'
import type { Child, ChildListener, Vitals } from './child.ts'
import { LoopMeter } from './loop-meter.ts'
import {
  ABORT_REASONS,
  BEAT_MS,
  type Operand,
  Operations,
  Outbox,
  Shared,
  type ThreadNotice,
  type ThreadOrder,
  ToMain,
  ToThread,
  WINDOW,
} from './messages.ts'
import type { ThreadPool, ThreadRequest } from './threaded.ts'

/** A thread that has not turned its event loop for this long is given nothing while another one turns. */
const STUCK_MS = 3 * BEAT_MS

/** If this process was not looking for so long it was stopped itself, and the threads with it. */
const ASLEEP_MS = 2_000

/** Added to the load of a thread that does not turn, so that it is the last choice. */
export const STUCK_LOAD = 1_000_000

export class ThreadLink implements Child {
  readonly id: number
  readonly #worker: Worker
  readonly #shared: Int32Array
  readonly #listener: ChildListener
  readonly #pool: ThreadPool
  readonly #outbox: Outbox
  readonly #requests = new Map<number, ThreadRequest>()
  #state: 'starting' | 'open' | 'closing' | 'gone' = 'starting'
  #lastId = 0
  #served = 0
  #reported = ''
  readonly #loop: LoopMeter
  #beat = 0
  #beatAt = performance.now()
  #lookedAt = performance.now()
  #end = ''
  #hanging = false
  #killed = false

  static sharedMemory(): SharedArrayBuffer {
    return new SharedArrayBuffer(Shared.length * Int32Array.BYTES_PER_ELEMENT)
  }

  constructor(id: number, worker: Worker, shared: SharedArrayBuffer, listener: ChildListener, pool: ThreadPool) {
    this.id = id
    this.#worker = worker
    this.#loop = new LoopMeter(worker.performance)
    this.#shared = new Int32Array(shared)
    this.#listener = listener
    this.#pool = pool
    this.#outbox = new Outbox('turn', (operations, transfers) => worker.postMessage(operations, transfers))
    worker.on('message', (message: Operand[] | ThreadNotice) => this.#hear(message))
    worker.on('error', error => {
      this.#end = error.message
    })
    worker.on('exit', code => this.#exited(code))
  }

  /** Takes requests. */
  get open(): boolean {
    return this.#state === 'open' && !this.#hanging && (this.#pool.options.maxRequests !== 1 || this.#lastId === 0)
  }

  get inflight(): number {
    return this.#requests.size
  }

  /** For choosing the least busy. */
  get load(): number {
    return this.#requests.size + (this.#stuckFor() > STUCK_MS ? STUCK_LOAD : 0)
  }

  drain(): void {
    this.#order({ type: 'drain' })
  }

  get pid(): number {
    return this.#worker.threadId
  }

  get vitals(): Vitals {
    const stuckFor = this.#stuckFor()
    return { utilization: this.#loop.last, stuckFor: stuckFor > STUCK_MS ? stuckFor : 0, running: this.#running() }
  }

  terminate(): void {
    for (const request of [...this.#requests.values()]) this.#pool.refuse(request, 503)
    this.#requests.clear()
    this.#order({ type: 'terminate' })
  }

  kill(): void {
    this.#state = 'closing'
    this.#killed = true
    void this.#worker.terminate()
  }

  // Requests.

  begin(request: ThreadRequest): void {
    const { exchange } = request
    const { text, names, values } = exchange.params
    const id = ++this.#lastId
    request.id = id
    request.thread = this
    request.begunAt = 0
    this.#requests.set(id, request)
    const pairs = text ?? encodePairs(names.map((name, at) => [name, values[at] as string]))
    this.#outbox.add(ToThread.request, id, pairs, exchange.bodyless, exchange.role === 'authorizer')
  }

  sendStdin(request: ThreadRequest, chunk: Buffer): boolean {
    this.#outbox.add(ToThread.stdin, request.id, this.#outbox.own(chunk))
    request.stdinOnTheWay += chunk.length
    return request.wantsStdin && request.stdinOnTheWay < WINDOW
  }

  sendStdinEnd(request: ThreadRequest): void {
    this.#outbox.add(ToThread.stdinEnd, request.id)
  }

  /** The peer has taken what the thread had written. */
  sendCredit(request: ThreadRequest): void {
    if (request.creditOwed > 0) this.#outbox.add(ToThread.credit, request.id, request.creditOwed)
    request.creditOwed = 0
  }

  sendAbort(request: ThreadRequest, reason: AbortReason): void {
    this.#outbox.add(ToThread.abort, request.id, ABORT_REASONS.indexOf(reason))
    this.#finished(request)
  }

  // Looking after the thread.

  /** Ends what has taken too long, moves what waits behind something that is stuck, reports. `now`: performance.now(). */
  look(now: number): void {
    if (this.#state !== 'open' && this.#state !== 'closing') return
    this.#feelBeat(now)
    this.#loop.read()
    const stuckFor = this.#stuckFor()
    this.#endOverdue(now, stuckFor)
    if (stuckFor > STUCK_MS) this.#pool.rescue(this)
    const { hangTimeout } = this.#pool.options
    if (hangTimeout > 0 && stuckFor > hangTimeout)
      void this.#hung(`its event loop has not turned for ${seconds(stuckFor)} s`)
    this.#report()
  }

  /** Takes back the requests that have not been begun, and makes sure that they never are. */
  takeBack(): ThreadRequest[] {
    Atomics.store(this.#shared, Shared.revoked, this.#lastId)
    const taken = this.#notBegun()
    for (const request of taken) this.#requests.delete(request.id)
    return taken
  }

  #feelBeat(now: number): void {
    const beat = Atomics.load(this.#shared, Shared.beat)
    if (beat !== this.#beat || now - this.#lookedAt > ASLEEP_MS) this.#beatAt = now
    this.#beat = beat
    this.#lookedAt = now
  }

  #stuckFor(): number {
    return this.#lookedAt - this.#beatAt
  }

  #endOverdue(now: number, stuckFor: number): void {
    const { requestTimeout, log } = this.#pool.options
    const started = Atomics.load(this.#shared, Shared.started)
    const overdue: RunningRequest[] = []
    for (const request of this.#requests.values()) {
      if (request.id > started) break
      if (request.begunAt === 0) request.begunAt = now
      if (requestTimeout === 0 || now - request.begunAt <= requestTimeout) continue
      // What holds the thread up is most likely what it has begun last; the reply of an earlier one may be stuck with it.
      if (stuckFor > STUCK_MS && request.id < started && request.mayBeRetried) continue
      const running = request.describe(now)
      overdue.push(running)
      log.warn({ child: this.id, ...running }, 'request-timeout has run out')
      this.#outbox.add(ToThread.abort, request.id, ABORT_REASONS.indexOf('timeout'))
      this.#requests.delete(request.id)
      this.#pool.refuse(request, 504)
    }
    if (overdue.length > 0) this.#pool.advance()
    if (overdue.length > 0 && stuckFor > STUCK_MS)
      void this.#hung('a request is past request-timeout and does not let go', overdue)
  }

  /** `ended`: requests that were answered already and may be what holds the thread up. */
  async #hung(why: string, ended: readonly RunningRequest[] = []): Promise<void> {
    if (this.#hanging) return
    this.#hanging = true
    const running = [...ended, ...this.#running()]
    const stack = await stackOf(this.#worker)
    const details = { child: this.id, running, ...(stack !== undefined && { stack }) }
    this.#pool.options.log.error(details, `thread ${this.id} is stuck: ${why}`)
    this.#listener.hung(why)
  }

  #report(): void {
    const inflight = this.#requests.size
    const memory = Atomics.load(this.#shared, Shared.heap) * 1024
    const reported = `${inflight} ${this.#served} ${memory}`
    if (reported === this.#reported) return
    this.#reported = reported
    this.#listener.report(inflight, this.#served, memory)
  }

  #begun(): ThreadRequest[] {
    const started = Atomics.load(this.#shared, Shared.started)
    return [...this.#requests.values()].filter(request => request.id <= started)
  }

  #running(): RunningRequest[] {
    const now = performance.now()
    return this.#begun().map(request => request.describe(now))
  }

  #notBegun(): ThreadRequest[] {
    const started = Atomics.load(this.#shared, Shared.started)
    return [...this.#requests.values()].filter(request => request.id > started)
  }

  // What the thread says.

  #hear(message: Operand[] | ThreadNotice): void {
    if (Array.isArray(message)) {
      const operations = new Operations(message)
      while (operations.more) this.#operate(operations.number(), operations.number(), operations)
    } else this.#notice(message)
  }

  #notice(notice: ThreadNotice): void {
    switch (notice.type) {
      case 'ready':
        this.#state = 'open'
        this.#pool.authorizes = notice.loaded.authorizes === true
        this.#beatAt = this.#lookedAt = performance.now()
        this.#listener.ready(notice.loaded)
        this.#pool.advance()
        break
      case 'load-failed':
        this.#listener.loadFailed(notice.error)
        break
      case 'crashed': {
        const running = this.#running()
        this.#pool.options.log.error({ child: this.id, running, stack: notice.stack }, `uncaught: ${notice.error}`)
        this.#listener.crashed(`uncaught: ${notice.error}`)
        break
      }
      case 'drained':
        this.kill()
        break
      default:
        notice satisfies never
    }
  }

  #operate(operation: number, id: number, operands: Operations): void {
    const request = this.#requests.get(id)
    switch (operation) {
      case ToMain.head: {
        const [status, block, contentLength] = [operands.number(), operands.text(), operands.number()]
        request?.exchange.head(status, block, contentLength)
        break
      }
      case ToMain.flush:
        request?.exchange.flush()
        break
      case ToMain.write: {
        const [content, latin1] = [operands.content(), operands.flag()]
        if (request !== undefined) this.#write(request, content, latin1)
        break
      }
      case ToMain.end: {
        const content = operands.content()
        const latin1 = operands.flag()
        if (request !== undefined) this.#endReply(request, content, latin1)
        break
      }
      case ToMain.reply: {
        const status = operands.number()
        const block = operands.text()
        const contentLength = operands.number()
        const content = operands.content()
        const latin1 = operands.flag()
        request?.exchange.head(status, block, contentLength)
        if (request !== undefined) this.#endReply(request, content, latin1)
        break
      }
      case ToMain.stderr: {
        const content = operands.content()
        request?.exchange.stderr(content)
        break
      }
      case ToMain.fail: {
        const [name, message, stack] = [operands.text(), operands.text(), operands.text()]
        const error = Object.assign(new Error(message), { name, stack })
        if (request !== undefined) this.#fail(request, error)
        break
      }
      case ToMain.status: {
        const status = operands.number()
        if (request !== undefined) this.#refuse(request, status)
        break
      }
      case ToMain.resumeStdin:
        if (request !== undefined) this.#wantsStdin(request, true)
        break
      case ToMain.pauseStdin:
        if (request !== undefined) this.#wantsStdin(request, false)
        break
      case ToMain.credit: {
        const bytes = operands.number()
        if (request !== undefined) this.#taken(request, bytes)
        break
      }
      case ToMain.skipped:
        if (request !== undefined) {
          this.#requests.delete(id)
          this.#pool.dispatch(request)
        }
        break
      default:
        throw new Error(`no such operation: ${operation}`)
    }
  }

  #write(request: ThreadRequest, content: string | Uint8Array, latin1: boolean): void {
    const room = request.exchange.write(content, latin1)
    request.creditOwed += content.length
    if (room && request.creditOwed >= WINDOW / 4) this.sendCredit(request)
  }

  #endReply(request: ThreadRequest, content: string | Uint8Array, latin1: boolean): void {
    request.done = true
    request.exchange.end(content, latin1)
    this.#finished(request)
  }

  #fail(request: ThreadRequest, error: Error): void {
    request.done = true
    request.exchange.fail(error)
    this.#finished(request)
  }

  #refuse(request: ThreadRequest, status: number): void {
    request.done = true
    request.exchange.refuse(status)
    this.#finished(request)
  }

  #finished(request: ThreadRequest): void {
    this.#requests.delete(request.id)
    this.#served++
    this.#pool.advance()
  }

  #wantsStdin(request: ThreadRequest, wanted: boolean): void {
    request.wantsStdin = wanted
    if (!wanted) request.exchange.pauseStdin()
    else if (request.stdinOnTheWay < WINDOW) request.exchange.resumeStdin()
  }

  #taken(request: ThreadRequest, bytes: number): void {
    request.stdinOnTheWay -= bytes
    if (request.wantsStdin && request.stdinOnTheWay < WINDOW) request.exchange.resumeStdin()
  }

  #order(order: ThreadOrder): void {
    if (this.#state === 'gone') return
    if (this.#state === 'starting') {
      this.kill()
      return
    }
    this.#state = 'closing'
    this.#outbox.sendNow()
    this.#worker.postMessage(order)
  }

  #exited(code: number): void {
    this.#state = 'gone'
    const [begun, notBegun] = [this.#begun(), this.#notBegun()]
    // What ended it is most likely what it has begun last: that would end another thread as well.
    const culprit = this.#killed ? undefined : begun.at(-1)
    if (culprit !== undefined) culprit.retried = true
    this.#requests.clear()
    this.#pool.ended(this, begun, notBegun)
    this.#listener.exited(this.#end === '' ? `exit code ${code}` : this.#end)
  }
}

const seconds = (ms: number): string => (ms / 1000).toFixed(1)
