/**
 * One worker process as its primary sees it (prefork.ts): what it is told, what it says about itself, which connections it
 * is given and leaves behind, and whether its event loop still turns.
 */

import type { ChildProcess, SendHandle } from 'node:child_process'
import { once } from 'node:events'
import type { Channel, ServerLog } from '../../log.ts'
import type { RunningRequest } from '../../server/responder.ts'
import { soon } from '../blocked.ts'
import { type Passable, Passage, passedOn } from '../passing.ts'
import type { Child, ChildListener, Ending, Vitals } from '../pool/child.ts'
import type { Load } from './balance.ts'
import {
  BEAT_MS,
  fromPortable,
  type WorkerData,
  type WorkerNotice,
  type WorkerOrder,
  type WorkerReport,
} from './messages.ts'
import { WorkerOutput } from './output.ts'
import type { Receiver, RoundRobin } from './round-robin.ts'
import { StandardError, type Standstill } from './standstill.ts'

export interface WorkerOptions {
  readonly worker: WorkerData
  /** Milliseconds that the event loop of a worker may stand still; 0: for ever. */
  readonly hangTimeout: number
  readonly log: Pick<ServerLog, 'debug' | 'info' | 'warn' | 'error' | 'print'>
}

/** A worker that has not said anything for so long is given nothing while there is another. */
const STUCK_MS = 3 * BEAT_MS

/** More than any worker has connections. */
const FULL_LOAD = 1_000_000

/** How long the last words of a worker that has ended may take to arrive, in milliseconds. */
const LAST_WORDS_MS = 1_000

export class WorkerLink implements Child, Receiver {
  /** When it said something last (`performance.now()`). */
  heardAt = performance.now()
  readonly id: number
  readonly generation: number
  #connections = 0
  /** Requests that it was given since its last report. */
  #givenSince = 0
  readonly #process: ChildProcess
  readonly #options: WorkerOptions
  readonly #listener: ChildListener
  readonly #others: RoundRobin
  readonly #passage = new Passage()
  #state: 'starting' | 'ready' | 'hung' | 'gone' = 'starting'
  #leaving = false
  #running: readonly RunningRequest[] = []
  readonly #inspectable: boolean
  /** Null where they are not ours to read. */
  readonly #stdout: WorkerOutput | null
  readonly #stderr: StandardError | null
  #report: WorkerReport | null = null
  #reportedAt = 0

  /** @param others who goes on with the connections that this worker leaves behind */
  constructor(
    { id, generation, inspectable }: Pick<WorkerLink, 'id' | 'generation'> & { readonly inspectable: boolean },
    process: ChildProcess,
    options: WorkerOptions,
    others: RoundRobin,
    listener: ChildListener,
  ) {
    this.id = id
    this.generation = generation
    this.#process = process
    this.#options = options
    this.#others = others
    this.#listener = listener
    this.#inspectable = inspectable
    const print =
      (channel: Channel) =>
      (text: string): void =>
        options.log.print(channel, text)
    this.#stdout = process.stdout && new WorkerOutput(process.stdout, print('out'))
    this.#stderr = process.stderr && new StandardError(process, print('err'), () => this.#closeDebugger())
    process.on('message', (notice, handle) => this.#hear(notice as WorkerNotice, handle))
    process.on('error', error => this.#failed(error))
    process.once(
      'exit',
      (code, signal) => void this.#exited(signal === null ? `exit code ${code}` : `signal ${signal}`),
    )
  }

  /** What it said last about itself. */
  get report(): WorkerReport | null {
    return this.#report
  }

  /** One whose event loop stands still is the last choice, one that is at its limit the last but one. */
  get load(): number {
    return this.#connections + (this.room > 0 ? 0 : FULL_LOAD) + (this.#isStuck ? FULL_LOAD : 0)
  }

  get room(): number {
    const { concurrency } = this.#options.worker.limit
    if (this.#leaving || this.#isStuck) return 0
    return concurrency === 0 ? 1 : Math.max(0, concurrency - (this.#report?.inflight ?? 0) - this.#givenSince)
  }

  /** What balance.ts wants to know; undefined if it gives and takes nothing now. */
  get balanceable(): Load | undefined {
    if (this.#leaving || this.#state !== 'ready' || this.#report === null) return undefined
    const { utilization, busy, connections } = this.#report
    const room = this.#options.worker.limits.maxConnections - connections
    return { id: this.id, at: this.#reportedAt, utilization, busy, room }
  }

  get #isStuck(): boolean {
    return performance.now() - this.heardAt > STUCK_MS
  }

  give(connection: Passable): boolean {
    if (this.#leaving || !this.#process.connected) return false
    this.#connections++
    if (connection.received !== '') this.#givenSince++
    this.#passage.send(this.#process, connection, lost => this.#others.give(lost))
    return true
  }

  drain(ending: Ending): void {
    this.#leaving = true
    this.tell({ type: ending === 'stop' && !this.#others.hasSuccessor ? 'drain' : 'retire' })
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  get vitals(): Vitals {
    const silent = performance.now() - this.heardAt
    const running = this.#running.map(request => ({ ...request, age: request.age + silent }))
    if (this.#isStuck) return { utilization: 1, stuckFor: silent, running }
    return { utilization: this.#report?.utilization ?? 0, stuckFor: 0, running }
  }

  /** One that still loads has nothing that could be lost, and may be too busy to hear. */
  terminate(): void {
    this.#leaving = true
    if (this.#state === 'starting') this.kill()
    else this.tell({ type: 'terminate' })
  }

  kill(): void {
    this.#process.kill('SIGKILL')
  }

  tell(order: WorkerOrder): void {
    // One that is gone hears nothing; its 'exit' event says so.
    if (this.#process.connected) this.#process.send(order, () => {})
  }

  /** `now`: performance.now() */
  look(now: number): void {
    const { hangTimeout } = this.#options
    if (this.#state !== 'ready' || hangTimeout === 0 || now - this.heardAt <= hangTimeout) return
    this.#state = 'hung'
    const details = `its event loop has not turned for ${Math.round((now - this.heardAt) / 1000)} s`
    void this.#reportHang(details)
  }

  async #reportHang(details: string): Promise<void> {
    const { log } = this.#options
    const stoodFor = performance.now() - this.heardAt
    const found = await this.#whereItStands()?.catch(error => {
      log.debug({ err: error, child: this.id }, 'its debugger cannot be asked')
    })
    const running = found?.running.map(one => ({ ...one, age: Math.round(one.age + stoodFor) })) ?? this.#running
    const stack = found && { stack: found.stack }
    log.error({ child: this.id, running, ...stack }, `worker ${this.id} is stuck: ${details}`)
    this.#listener.hung(details)
  }

  #whereItStands(): Promise<Standstill | undefined> | undefined {
    return this.#inspectable ? this.#stderr?.whereItStands() : undefined
  }

  #closeDebugger(): void {
    this.#options.log.info({ child: this.id }, 'SIGUSR1 has opened its debugger: closed again')
    this.tell({ type: 'close-debugger' })
  }

  /** Requests wait here while others could begin them. */
  #share(waiting: number): void {
    const requests = Math.min(waiting, this.#others.roomBeside(this))
    if (requests > 0) this.tell({ type: 'share', requests })
  }

  #hear(notice: WorkerNotice, handle: SendHandle): void {
    this.heardAt = performance.now()
    const { log } = this.#options
    switch (notice.type) {
      case 'ready':
        this.#state = 'ready'
        this.#listener.ready(notice.loaded)
        break
      case 'load-failed':
        this.#listener.loadFailed(notice.error)
        break
      case 'report':
        this.#running = notice.running ?? []
        this.#report = notice
        this.#reportedAt = this.heardAt
        this.#givenSince = 0
        this.#listener.report(notice.inflight - notice.waiting, notice.served, notice.memory)
        break
      case 'leaving':
        this.#leaving = true
        break
      case 'crowded':
        this.#share(notice.waiting)
        break
      case 'connection':
        this.#passOn(notice, handle)
        break
      case 'taken':
        this.#passage.arrived(notice.key)
        break
      case 'crashed': {
        this.#leaving = true
        const { running, stack } = notice
        log.error({ child: this.id, running, stack }, `uncaught: ${notice.error}`)
        this.#listener.crashed(`uncaught: ${notice.error}`)
        break
      }
      case 'closed':
        this.#connections--
        break
      case 'log':
        log[notice.level]({ child: this.id, ...fromPortable(notice.details) }, notice.message)
        break
      case 'access':
        log.print('access', notice.text)
        break
      default:
        notice satisfies never
    }
  }

  #passOn({ key, received, to }: Extract<WorkerNotice, { type: 'connection' }>, handle: SendHandle): void {
    this.#others.passOn(
      passedOn(handle, received, () => this.tell({ type: 'taken', key })),
      to,
    )
  }

  /** It could not be started, or not be told something. */
  #failed(error: Error): void {
    if (this.#process.pid === undefined) this.#gone(`cannot start: ${error.message}`)
    else this.#options.log.debug({ err: error, child: this.id }, 'worker cannot be reached')
  }

  /** What it said last is still on its way; what it wrote last may be followed by what its own children write. */
  async #exited(details: string): Promise<void> {
    if (this.#process.connected) await soon(once(this.#process, 'disconnect'), LAST_WORDS_MS)
    await Promise.all([this.#stdout?.drained(), this.#stderr?.drained()])
    this.#gone(details)
  }

  #gone(details: string): void {
    if (this.#state === 'gone') return
    this.#state = 'gone'
    for (const connection of this.#passage.takeBack()) this.#others.give(connection)
    this.#listener.exited(details)
  }
}
