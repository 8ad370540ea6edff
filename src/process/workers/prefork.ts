/**
 * method=prefork: worker processes that share listening sockets. This file is the primary's side: it starts workers, hands
 * them the sockets, and notices when one hangs or dies. It neither listens nor accepts, unless balance=round-robin: the
 * system gives each connection to a worker that is waiting for one. Nor does it see a byte of what is on them, but a worker
 * that is replaced leaves its open connections to the others through it: no web server loses one by a reload, or a request
 * that it was sending on one. So does one that has too many of those that are in use (balance.ts).
 *
 *     const sockets = await reserveAll(addresses)                        // src/server/sockets/reserve.ts
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

import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Reserved } from '../../server/sockets/reserve.ts'
import { Tally } from '../../server/tally.ts'
import { isFull } from '../loop-meter.ts'
import type { Passable } from '../passing.ts'
import type { Child, ChildKind, ChildListener } from '../pool/child.ts'
import type { Traffic } from '../status.ts'
import { type Load, NEVER_MOVED, rebalance } from './balance.ts'
import { INSPECTABLE } from './inspected.ts'
import { WorkerLink, type WorkerOptions } from './link.ts'
import type { WorkerReport } from './messages.ts'
import { RoundRobin } from './round-robin.ts'
import { canInspect } from './standstill.ts'

export interface PreforkOptions extends WorkerOptions {
  /** Where to listen; somebody else closes them. */
  readonly sockets: readonly Reserved[]
  /** Whether workers accept connections themselves or are given them in turn. */
  readonly balance: 'shared' | 'round-robin'
}

/** How often workers are looked at, in milliseconds. */
const LOOK_MS = 500

/** If this process was not looking for so long, it was stopped itself: what it did not hear says nothing. */
const ASLEEP_MS = 2_000

const WORKER = fileURLToPath(new URL('../process/worker.cjs', import.meta.url))

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
  #balance = NEVER_MOVED
  #serves = false
  /** Accepts connections and hands them out. */
  #handsOut = false
  #lameDuck = false

  constructor(options: PreforkOptions) {
    this.#options = options
    this.#looking = setInterval(() => this.#look(), LOOK_MS).unref()
  }

  /** For workers that are started from now on. */
  configure(options: Pick<PreforkOptions, 'worker' | 'hangTimeout' | 'balance'>): void {
    this.#options = { ...this.#options, ...options }
  }

  /** Call it when the first worker is ready. @throws ListenError */
  async listen(): Promise<void> {
    this.#serves = true
    if (this.#options.balance === 'round-robin') await this.#handOut()
  }

  /** Once begun, it goes on: with the listening of this process the descriptors would be closed. */
  async #handOut(): Promise<void> {
    const { sockets, worker } = this.#options
    if (this.#handsOut) return
    this.#handsOut = true
    await this.#roundRobin.listen(sockets, worker.backlog)
  }

  spawn(id: number, generation: number, listener: ChildListener): Child {
    const { worker, sockets, balance, hangTimeout } = this.#options
    const accepts = balance === 'shared' && !this.#handsOut
    const inherited = accepts ? sockets.map(({ fd }) => fd) : []
    const { redirect = [] } = worker
    const inspectable = hangTimeout > 0 && canInspect(redirect.includes('err'))
    const process = forkWorker(inherited, redirect, inspectable)
    const link = new WorkerLink({ id, generation, inspectable }, process, this.#options, this.#roundRobin, {
      ...listener,
      report: (...figures) => {
        listener.report(...figures)
        if (link.report !== null && isFull(link.report)) this.#rebalance()
      },
      ready: loaded => {
        this.#roundRobin.add(link)
        // A reload has turned to it, and the workers that accept will be gone.
        if (!accepts && this.#serves)
          void this.#handOut().catch(error => this.#options.log.error({ err: error }, error.message))
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
    link.tell({ type: 'begin', data: worker, fds, title, hangTimeout, inspectable })
    if (this.#lameDuck) link.tell({ type: 'lame-duck' })
    return link
  }

  #forget(link: WorkerLink): void {
    this.#links.delete(link)
    this.#past.addAll(link.report?.statuses ?? {})
    this.#roundRobin.remove(link)
  }

  /** A worker is full: is there one that is not? Workers that are being replaced leave their connections anyway. */
  #rebalance(): void {
    const links = [...this.#links].filter(({ balanceable }) => balanceable !== undefined)
    if (new Set(links.map(({ generation }) => generation)).size > 1 || this.#roundRobin.hasSuccessor) return
    const loads = links.map(({ balanceable }) => balanceable as Load)
    const { state, moves } = rebalance(this.#balance, loads, performance.now())
    this.#balance = state
    for (const { from, to } of moves) {
      const load = loads.map(({ id, utilization, busy }) => ({ id, utilization, busy }))
      const whom = [...new Set(to)].join(', ')
      this.#options.log.debug({ child: from, load }, `leaves ${to.length} connections to worker ${whom}`)
      links.find(({ id }) => id === from)?.tell({ type: 'shed', to })
    }
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

  /** From now on all workers, also those to come, tell health checks that they will stop. */
  lameDuck(): void {
    this.#lameDuck = true
    for (const link of this.#links) link.tell({ type: 'lame-duck' })
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

function forkWorker(fds: readonly number[], redirect: readonly string[], inspectable: boolean): ChildProcess {
  // Each would want the port of the primary's debugger.
  const options = process.execArgv.filter(option => !option.startsWith('--inspect'))
  const out = redirect.includes('out') ? 'pipe' : 'inherit'
  const err = redirect.includes('err') || inspectable ? 'pipe' : 'inherit'
  return fork(WORKER, {
    stdio: ['ignore', out, err, 'ipc', ...fds],
    execArgv: [...options, ...(inspectable ? INSPECTABLE : [])],
  })
}
