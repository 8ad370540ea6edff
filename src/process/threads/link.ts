/**
 * One worker thread from the main thread's side: the requests it has, and whether it gets on with them. Which thread gets
 * which request is decided in threaded.ts; what is said about a request, in request.ts.
 */

import { MessageChannel, type MessagePort, receiveMessageOnPort, type Worker } from 'node:worker_threads'
import { encodePairs } from '../../fcgi/pairs.ts'
import type { RunningRequest } from '../../server/responder.ts'
import { stackOf } from '../blocked.ts'
import { LoopMeter } from '../loop-meter.ts'
import type { Child, ChildListener, Vitals } from '../pool/child.ts'
import { hasEnded, type Lasting, outlasts } from './by-force.ts'
import { channelMemory, freeCells, ThreadChannel } from './channel.ts'
import {
  ABORT_REASONS,
  type Failure,
  isBehind,
  RequestFlag,
  Shared,
  type ThreadNotice,
  type ThreadOrder,
  ToMain,
  ToThread,
} from './messages.ts'
import { Pulse } from './pulse.ts'
import type { Received } from './record.ts'
import type { Keeper, ThreadRequest } from './request.ts'
import type { ThreadPool } from './threaded.ts'
import { Numbers, UnderWay } from './under-way.ts'

/** Added to the load of a thread that does not turn, so that it is the last choice. */
export const STUCK_LOAD = 1_000_000

// A thread may take so many looks to end by force: it takes a moment, where it ends at all (by-force.ts). No plain second,
// because all of the process may have stood still for that long.
const LAST_LOOKS = 10
const LAST_LOOK_MS = 100

/** How long one may stand still that is to end together with its process, which waits for five seconds. */
const DEAF_MS = 2_000

export class ThreadLink implements Child, Keeper, Lasting {
  readonly id: number
  readonly channel: ThreadChannel
  readonly #worker: Worker
  /** Not the worker's own port, on which the application may say what it likes. */
  readonly #orders: MessagePort
  readonly #shared: Int32Array
  readonly #pulse: Pulse
  readonly #loop: LoopMeter
  readonly #listener: ChildListener
  readonly #pool: ThreadPool
  readonly #requests = new UnderWay<ThreadRequest>()
  readonly #numbers = new Numbers()
  #state: 'starting' | 'open' | 'closing' | 'gone' = 'starting'
  #given = 0
  #served = 0
  #reported = ''
  #end = ''
  #hanging = false
  #killed = false
  lost = false

  constructor(id: number, listener: ChildListener, pool: ThreadPool) {
    this.id = id
    this.#listener = listener
    this.#pool = pool
    const memory = channelMemory()
    const [records, orders] = [new MessageChannel(), new MessageChannel()]
    this.#shared = freeCells(memory)
    this.#pulse = new Pulse(this.#shared)
    this.#orders = orders.port1
    this.channel = new ThreadChannel(memory, records.port1, 'main', record => this.#receive(record))
    this.#worker = pool.startWorker({ memory, port: records.port2, orders: orders.port2 })
    this.#loop = new LoopMeter(this.#worker.performance)
    this.#orders.on('message', (notice: ThreadNotice) => this.#hear(notice))
    this.#worker.on('error', error => {
      this.#end = error.message
    })
    this.#worker.on('exit', code => this.#exited(code))
    outlasts(this)
  }

  /** Takes requests. */
  get open(): boolean {
    return this.#state === 'open' && !this.#hanging && (this.#pool.options.maxRequests !== 1 || this.#given === 0)
  }

  get inflight(): number {
    return this.#requests.size
  }

  /** For choosing the least busy. */
  get load(): number {
    return this.#requests.size + (this.#pulse.stuck ? STUCK_LOAD : 0)
  }

  get busy(): boolean {
    return this.load > 0
  }

  get pid(): number {
    return this.#worker.threadId
  }

  get vitals(): Vitals {
    const { stuck, stuckFor } = this.#pulse
    return { utilization: this.#loop.last, stuckFor: stuck ? stuckFor : 0, running: this.#running() }
  }

  drain(): void {
    this.#order({ type: 'drain' })
  }

  terminate(): void {
    for (const request of this.#requests.values()) {
      request.refuse(503)
      this.#drop(request)
    }
    this.#order({ type: 'terminate' })
  }

  kill(): void {
    this.#state = 'closing'
    this.#killed = true
    void this.#worker.terminate()
    this.#loseAfter(LAST_LOOKS)
  }

  #loseAfter(looks: number): void {
    const next = (): void => (looks > 1 ? this.#loseAfter(looks - 1) : this.#lose())
    if (this.#state !== 'gone') setTimeout(next, LAST_LOOK_MS).unref()
  }

  /** What it was given is answered, and nobody waits for it any more. */
  #lose(): void {
    if (this.#state === 'gone') return
    this.lost = true
    this.#worker.unref()
    const error = `thread ${this.id} cannot be ended where it is: it stays until the end of this process`
    this.#pool.options.log.error({ child: this.id, running: this.#running() }, error)
    this.#gone('it cannot be ended')
  }

  // Requests.

  begin(request: ThreadRequest): void {
    const { params, bodyless, role } = request.exchange
    this.#given = (this.#given + 1) | 0
    const id = this.#numbers.take()
    request.give(this, id, this.#given)
    this.#requests.set(request)
    const flags = (bodyless ? RequestFlag.bodyless : 0) | (role === 'authorizer' ? RequestFlag.authorizer : 0)
    const pairs = params.text ?? encodePairs(params.names.map((name, at) => [name, params.values[at] as string]))
    this.channel.send(ToThread.request, id, flags, this.#given, pairs)
  }

  finished(request: ThreadRequest): void {
    this.#drop(request)
    this.#served++
    this.#pool.advance()
  }

  #drop(request: ThreadRequest): void {
    if (this.#requests.delete(request)) this.#numbers.free(request.id)
  }

  /** Takes back the requests that have not been begun, and makes sure that they never are. */
  takeBack(): ThreadRequest[] {
    Atomics.store(this.#shared, Shared.revoked, this.#given)
    const taken = this.#notBegun()
    for (const request of taken) this.#drop(request)
    return taken
  }

  /** In the order in which they were. */
  #begun(): ThreadRequest[] {
    const started = Atomics.load(this.#shared, Shared.started)
    return this.#inOrder().filter(({ order }) => !isBehind(order, started))
  }

  #running(): RunningRequest[] {
    const now = performance.now()
    return this.#begun().map(request => request.describe(now))
  }

  #notBegun(): ThreadRequest[] {
    const started = Atomics.load(this.#shared, Shared.started)
    return this.#inOrder().filter(({ order }) => isBehind(order, started))
  }

  #inOrder(): ThreadRequest[] {
    return this.#requests.values().sort((one, other) => (one.order - other.order) | 0)
  }

  // Looking after the thread.

  /** Ends what has taken too long, moves what waits behind something that is stuck, reports. `now`: performance.now(). */
  look(now: number): void {
    if (this.#state !== 'open' && this.#state !== 'closing') return
    // What was answered just before something began that never lets go: nobody was woken for it.
    this.channel.receive()
    this.#pulse.feel(now)
    this.#loop.read()
    this.#forgetRevoked()
    this.#endOverdue(now)
    const { stuck, stuckFor } = this.#pulse
    if (stuck) this.#pool.rescue(this)
    if (this.#pool.closing && stuckFor > DEAF_MS) this.#listener.hung('it does not hear that it is to end')
    const { hangTimeout } = this.#pool.options
    if (hangTimeout > 0 && stuck && stuckFor > hangTimeout)
      void this.#hung(`its event loop has not turned for ${seconds(stuckFor)} s`)
    this.#report()
  }

  /** What was started is not touched by it; left alone, it would be ahead again after half the way round. */
  #forgetRevoked(): void {
    const started = Atomics.load(this.#shared, Shared.started)
    if (isBehind(started, Atomics.load(this.#shared, Shared.revoked)))
      Atomics.store(this.#shared, Shared.revoked, started)
  }

  #endOverdue(now: number): void {
    const { requestTimeout, log } = this.#pool.options
    const started = Atomics.load(this.#shared, Shared.started)
    const { stuck } = this.#pulse
    const overdue: RunningRequest[] = []
    const begun = this.#begun()
    // What holds the thread up is most likely what it has begun last; the reply of an earlier one may be stuck with it.
    const holdsUp = (request: ThreadRequest): boolean => request.order === started
    // It may also have been answered, and go on: nobody is to wait for that.
    const others = stuck && !begun.some(holdsUp)
    let held = false
    for (const request of begun) {
      if (request.begunAt === 0) request.begunAt = now
      if (requestTimeout === 0 || now - request.begunAt <= requestTimeout) continue
      if (stuck && !holdsUp(request) && request.mayBeRetried) {
        held = others
        continue
      }
      const running = request.describe(now)
      overdue.push(running)
      log.warn({ child: this.id, ...running }, 'request-timeout has run out')
      this.channel.send(ToThread.abort, request.id, ABORT_REASONS.indexOf('timeout'))
      this.#drop(request)
      request.refuse(504)
    }
    if (overdue.length > 0) this.#pool.advance()
    if (stuck && (held || overdue.length > 0))
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

  /** Whether a thread was of use decides how soon there is another when it has ended. */
  #report(): void {
    const inflight = this.#requests.size
    const memory = Atomics.load(this.#shared, Shared.heap) * 1024
    const reported = `${inflight} ${this.#served} ${memory}`
    if (reported === this.#reported) return
    this.#reported = reported
    this.#listener.report(inflight, this.#served, memory)
  }

  // What the thread says.

  /** What the thread had sent before is worked off before. */
  #hear(notice: ThreadNotice): void {
    this.channel.receive()
    switch (notice.type) {
      case 'ready':
        this.#state = 'open'
        this.#pool.authorizes = notice.loaded.authorizes === true
        this.#pulse.restart()
        this.#listener.ready(notice.loaded)
        this.#pool.advance()
        break
      case 'load-failed':
        this.#listener.loadFailed(notice.error)
        break
      case 'drained':
        this.kill()
        break
      default:
        notice satisfies never
    }
  }

  #receive(record: Received): void {
    const request = this.#requests.get(record.id)
    if (request === undefined) {
      if (record.kind === ToMain.crashed) this.#crashed(JSON.parse(record.chunk().toString()))
    } else if (record.kind !== ToMain.skipped) request.receive(record)
    else {
      this.#drop(request)
      this.#pool.dispatch(request)
    }
  }

  #crashed({ message, stack }: Failure): void {
    const error = `uncaught: ${message}`
    this.#pool.options.log.error({ child: this.id, running: this.#running(), stack }, error)
    this.#report()
    this.#listener.crashed(error)
  }

  #order(order: ThreadOrder): void {
    if (this.#state === 'gone') return
    if (this.#state === 'starting') {
      this.kill()
      return
    }
    this.#state = 'closing'
    this.channel.flush()
    this.#orders.postMessage(order)
  }

  #exited(code: number): void {
    hasEnded(this)
    if (this.#state !== 'gone') this.#gone(this.#end === '' ? `exit code ${code}` : this.#end)
  }

  #gone(how: string): void {
    for (let last = receiveMessageOnPort(this.#orders); last; last = receiveMessageOnPort(this.#orders))
      this.#hear(last.message)
    this.#orders.close()
    this.channel.receive()
    this.channel.close()
    this.#state = 'gone'
    const [begun, notBegun] = [this.#begun(), this.#notBegun()]
    // What ended it is most likely what it has begun last: that would end another thread as well.
    const culprit = this.#killed && !this.lost ? undefined : begun.at(-1)
    if (culprit !== undefined) culprit.retried = true
    for (const request of this.#requests.values()) this.#drop(request)
    this.#pool.ended(this, begun, notBegun)
    this.#report()
    this.#listener.exited(how)
  }
}

const seconds = (ms: number): string => (ms / 1000).toFixed(1)
