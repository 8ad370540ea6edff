/**
 * method=prefork: worker processes that share listening sockets. This file is the primary's side: it starts workers, hands
 * them the sockets, and notices when one hangs or dies. It neither listens nor accepts, unless balance=round-robin: the
 * system gives each connection to a worker that is waiting for one. Nor does it see a byte of what is on them, but a worker
 * that is replaced leaves its open connections to the others through it: no web server loses one by a reload, or a request
 * that it was sending on one.
 *
 *     const sockets = await reserveAll(addresses)                        // src/server/reserve.ts
 *     const pool = new ProcessPool({ worker, sockets, balance, hangTimeout, log })
 *     const supervisor = new Supervisor({ kind: pool, settings, log, noun: 'worker' })
 *     const loaded = await supervisor.start()                            // null: supervisor.loadError
 *     await pool.listen()                                                // only round-robin has something to do
 *     for (const socket of sockets) await socket.publish()               // now that somebody listens
 *     …  supervisor.hear({ type: 'stop', reason }); await supervisor.ended; pool.close(); close the sockets
 *
 * Not node:cluster: there a worker can only get a socket that the primary closes with its last worker, `exclusive` does
 * not hold for descriptors, and a worker whose primary is gone ends in the middle of its requests.
 */

import { type ChildProcess, fork, type SendHandle } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { ServerLog } from '../log.ts'
import type { Reserved } from '../server/reserve.ts'
import type { RunningRequest } from '../server/responder.ts'
import { Tally } from '../server/tally.ts'
import type { Child, ChildKind, ChildListener, Ending } from './child.ts'
import { type Passable, Passage, passedOn } from './passing.ts'
import { type Receiver, RoundRobin } from './round-robin.ts'
import type { Traffic } from './status.ts'
import type { Blocked, Watch } from './watch.ts'
import {
  BEAT_MS,
  fromPortable,
  type WorkerData,
  type WorkerNotice,
  type WorkerOrder,
  type WorkerReport,
} from './worker-messages.ts'

export interface PreforkOptions {
  readonly worker: WorkerData
  /** Where to listen; somebody else closes them. */
  readonly sockets: readonly Reserved[]
  /** Whether workers accept connections themselves or are given them in turn. */
  readonly balance: 'shared' | 'round-robin'
  /** Milliseconds that the event loop of a worker may stand still; 0: for ever. */
  readonly hangTimeout: number
  readonly log: Pick<ServerLog, 'debug' | 'info' | 'warn' | 'error' | 'print'>
}

/** How often workers are looked at, in milliseconds. */
const LOOK_MS = 500

/** If this process was not looking for so long, it was stopped itself: what it did not hear says nothing. */
const ASLEEP_MS = 2_000

/** A worker that has not said anything for so long is given nothing while there is another. */
const STUCK_MS = 3 * BEAT_MS

/** More than any worker has connections. */
const FULL_LOAD = 1_000_000

/** How long the last words of a worker that has ended may take to arrive, in milliseconds. */
const LAST_WORDS_MS = 1_000

const WORKER = fileURLToPath(new URL('./worker.js', import.meta.url))

/** The first descriptor after standard input, output, error and the channel. */
const FIRST_FD = 4

export class ProcessPool implements ChildKind {
  #options: PreforkOptions
  readonly #links = new Set<WorkerLink>()
  readonly #roundRobin = new RoundRobin()
  readonly #looking: NodeJS.Timeout
  /** What workers that are gone have served. */
  readonly #past = new Tally()
  #lookedAt = performance.now()
  /** A worker has hung: those that are started from now on say where they stand. */
  #watching = false

  constructor(options: PreforkOptions) {
    this.#options = options
    this.#looking = setInterval(() => this.#look(), LOOK_MS).unref()
  }

  /** For workers that are started from now on. */
  configure(options: Pick<PreforkOptions, 'worker' | 'hangTimeout'>): void {
    this.#options = { ...this.#options, ...options }
  }

  /** Call it when the first worker is ready. @throws ListenError */
  async listen(): Promise<void> {
    const { balance, sockets, worker } = this.#options
    if (balance === 'round-robin') await this.#roundRobin.listen(sockets, worker.backlog)
  }

  spawn(id: number, generation: number, listener: ChildListener): Child {
    const { worker, sockets, balance } = this.#options
    const inherited = balance === 'shared' ? sockets.map(({ fd }) => fd) : []
    const { hangTimeout } = this.#options
    const watch = this.#watching ? { fd: FIRST_FD + inherited.length, after: hangTimeout / 2 } : undefined
    const link = new WorkerLink({ id, generation }, forkWorker(inherited, watch), this.#options, this.#roundRobin, {
      ...listener,
      hung: details => {
        this.#watching = true
        listener.hung(details)
      },
      ready: loaded => {
        this.#roundRobin.add(link)
        listener.ready(loaded)
      },
      exited: details => {
        this.#forget(link)
        listener.exited(details)
      },
    })
    this.#links.add(link)
    const title = `runfcgi: worker ${id} (generation ${generation})`
    const fds = inherited.map((_, at) => FIRST_FD + at)
    link.tell({ type: 'begin', data: worker, fds, title, ...(watch !== undefined && { watch }) })
    return link
  }

  #forget(link: WorkerLink): void {
    this.#links.delete(link)
    this.#past.addAll(link.report?.statuses ?? {})
    this.#roundRobin.remove(link)
  }

  /** Of all workers; what those that are gone have served is in it. */
  traffic(): Traffic {
    const reports = this.#reports()
    const statuses = new Tally()
    for (const counts of [this.#past.counts, ...reports.map(({ statuses }) => statuses)]) statuses.addAll(counts)
    return {
      connections: sum(reports.map(({ connections }) => connections)),
      inflight: sum(reports.map(({ inflight }) => inflight)),
      requests: sum(Object.values(statuses.counts)),
      statuses: statuses.counts,
    }
  }

  /** Requests that wait for others of their worker to end. */
  get waiting(): number {
    return sum(this.#reports().map(({ waiting }) => waiting))
  }

  #reports(): WorkerReport[] {
    return [...this.#links].map(({ report }) => report).filter(report => report !== null)
  }

  /** Goes on with a connection that somebody else has left. */
  take(connection: Passable): void {
    this.#roundRobin.give(connection)
  }

  /** Another process goes on with what workers have open when they end. */
  leaveTo(successor: (connection: Passable) => void): void {
    this.#roundRobin.leaveTo(successor)
  }

  /** For when this process ends at once: whatever its workers are doing. */
  killAll(): void {
    for (const link of this.#links) link.kill()
  }

  /** Stops looking after workers. */
  close(): void {
    clearInterval(this.#looking)
    this.#roundRobin.close()
  }

  #look(): void {
    const now = performance.now()
    const slept = now - this.#lookedAt > ASLEEP_MS
    this.#lookedAt = now
    for (const link of this.#links) {
      if (slept) link.heardAt = now
      else link.look(now)
    }
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)

function forkWorker(fds: readonly number[], watch: Watch | undefined): ChildProcess {
  return fork(WORKER, {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc', ...fds, ...(watch === undefined ? [] : ['pipe' as const])],
    // Each would want the port of the primary's debugger.
    execArgv: process.execArgv.filter(option => !option.startsWith('--inspect')),
  })
}

class WorkerLink implements Child, Receiver {
  /** When it said something last (`performance.now()`). */
  heardAt = performance.now()
  readonly generation: number
  #connections = 0
  /** Requests that it was given since its last report. */
  #givenSince = 0
  readonly #id: number
  readonly #process: ChildProcess
  readonly #options: PreforkOptions
  readonly #listener: ChildListener
  readonly #others: RoundRobin
  readonly #passage = new Passage()
  #state: 'starting' | 'ready' | 'hung' | 'gone' = 'starting'
  #leaving = false
  #running: readonly RunningRequest[] = []
  /** From the thread that watches it, if one does, and what that has said. */
  readonly #watch: ChildProcess['stdio'][number]
  #blocked: Blocked | null = null
  #report: WorkerReport | null = null

  /** @param others who goes on with the connections that this worker leaves behind */
  constructor(
    { id, generation }: { readonly id: number; readonly generation: number },
    process: ChildProcess,
    options: PreforkOptions,
    others: RoundRobin,
    listener: ChildListener,
  ) {
    this.#id = id
    this.generation = generation
    this.#process = process
    this.#options = options
    this.#others = others
    this.#listener = listener
    this.#watch = process.stdio.at(-1) ?? null
    this.#watch?.on('data', text => this.#hearWatch(String(text)))
    process.on('message', (notice, handle) => this.#hear(notice as WorkerNotice, handle))
    process.on('error', error => this.#failed(error))
    process.once('exit', (code, signal) => this.#exited(signal === null ? `exit code ${code}` : `signal ${signal}`))
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

  terminate(): void {
    this.#leaving = true
    this.tell({ type: 'terminate' })
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
    // Who watches it may be about to say where it stands.
    if (this.#watch !== null && this.#blocked === null) setTimeout(() => this.#reportHang(details), LAST_WORDS_MS)
    else this.#reportHang(details)
  }

  #reportHang(details: string): void {
    const known = this.#blocked ?? { running: this.#running }
    this.#options.log.error({ child: this.#id, ...known }, details)
    this.#listener.hung(details)
  }

  /** Requests wait here while others could begin them. */
  #share(waiting: number): void {
    const requests = Math.min(waiting, this.#others.roomBeside(this))
    if (requests > 0) this.tell({ type: 'share', requests })
  }

  /** It is less than the pipe holds, and comes in one piece. */
  #hearWatch(line: string): void {
    this.#blocked = JSON.parse(line)
  }

  #hear(notice: WorkerNotice, handle: SendHandle): void {
    this.heardAt = performance.now()
    this.#blocked = null
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
        this.#givenSince = 0
        this.#listener.report(notice.inflight, notice.served, notice.memory)
        break
      case 'leaving':
        this.#leaving = true
        break
      case 'crowded':
        this.#share(notice.waiting)
        break
      case 'connection':
        this.#others.passOn(passedOn(handle, notice.received, () => this.tell({ type: 'taken', key: notice.key })))
        break
      case 'taken':
        this.#passage.arrived(notice.key)
        break
      case 'crashed': {
        this.#leaving = true
        const { running, stack } = notice
        log.error({ child: this.#id, running, stack }, `uncaught: ${notice.error}`)
        this.#listener.crashed(`uncaught: ${notice.error}`)
        break
      }
      case 'closed':
        this.#connections--
        break
      case 'log':
        log[notice.level]({ child: this.#id, ...fromPortable(notice.details) }, notice.message)
        break
      case 'print':
        log.print(notice.channel, notice.text)
        break
      default:
        notice satisfies never
    }
  }

  /** It could not be started, or not be told something. */
  #failed(error: Error): void {
    if (this.#process.pid === undefined) this.#gone(`cannot start: ${error.message}`)
    else this.#options.log.debug({ err: error, child: this.#id }, 'worker cannot be reached')
  }

  /** What it said last is still on its way. */
  #exited(details: string): void {
    if (!this.#process.connected) {
      this.#gone(details)
      return
    }
    this.#process.once('disconnect', () => this.#gone(details))
    setTimeout(() => this.#gone(details), LAST_WORDS_MS)
  }

  #gone(details: string): void {
    if (this.#state === 'gone') return
    this.#state = 'gone'
    for (const connection of this.#passage.takeBack()) this.#others.give(connection)
    this.#listener.exited(details)
  }
}
