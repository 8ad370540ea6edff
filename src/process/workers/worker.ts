/**
 * What a worker process runs (prefork.ts starts it): loads the application and serves it on the sockets that it has
 * inherited, until its primary tells it to end or is gone itself.
 *
 * Signals of the terminal reach every process of its group. They mean the primary, which tells us what follows.
 */

import type { SendHandle } from 'node:child_process'
import { Server } from 'node:net'
import type { Application, Exchange, RequestHandler } from '../../app/exchange.ts'
import { type LoadedApplication, loadApplication } from '../../app/load/load.ts'
import { LoadError, loadFailure } from '../../app/load/load-error.ts'
import { accessLine } from '../../server/access-log.ts'
import { allowedClients } from '../../server/clients.ts'
import { type AccessRecord, createResponder, type Responder, type RunningRequest } from '../../server/responder.ts'
import { ListenError } from '../../server/sockets/listen-error.ts'
import { messageOf, stackOf } from '../../server/thrown.ts'
import { become } from '../daemon/account.ts'
import { isFull, LoopMeter } from '../loop-meter.ts'
import { socketOf } from '../passing.ts'
import { closeApplication, loadedBy } from '../pool/child.ts'
import { residentMemory } from '../resident-memory.ts'
import { untilWritten } from '../standard-streams.ts'
import { NO_TRAFFIC } from '../status.ts'
import { onUncaught } from '../uncaught.ts'
import { closeDebugger, showRunning } from './inspected.ts'
import { leadToPrimary } from './last-lines.ts'
import { LimitedApplication } from './limited.ts'
import { rhythmFor, type WorkerData, type WorkerOrder, type WorkerReport } from './messages.ts'
import { PrimaryLink } from './primary-link.ts'

/** Connections that are on their way to others at a time. Nobody serves them: one that passes alone takes a millisecond. */
const WINDOW = 8

/** Requests younger than this are not worth telling the primary about. */
const WORTH_TELLING_MS = 500

/** How many of them are told at most. */
const MOST_TOLD = 20

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP', 'SIGUSR2', 'SIGTTIN', 'SIGTTOU'] as const

class WorkerProcess {
  readonly #primary = new PrimaryLink()
  #data: WorkerData | null = null
  #app: LoadedApplication | null = null
  #limited: LimitedApplication | null = null
  #responder: Responder | null = null
  #lameDuck = false
  #leaving = false
  #ending = false
  readonly #loop = new LoopMeter()
  #reported = ''
  #reportedAt = 0
  #rhythm = rhythmFor(0)

  constructor() {
    for (const signal of SIGNALS) process.on(signal, () => {})
    onUncaught(
      error => this.#crashed(error),
      () => this.#app?.closed,
    )
    process.on('message', (order: WorkerOrder, handle: SendHandle) => this.#hear(order, handle))
    process.on('disconnect', () => this.#orphaned())
  }

  #hear(order: WorkerOrder, handle: SendHandle): void {
    switch (order.type) {
      case 'begin':
        process.title = order.title
        this.#data = order.data
        this.#rhythm = rhythmFor(order.hangTimeout)
        this.#holdOutput(order)
        void this.#begin(order.data, order.fds)
        if (order.inspectable) showRunning(() => this.#running().slice(0, MOST_TOLD))
        else process.on('SIGUSR1', () => {})
        break
      case 'connection':
        this.#take(order.key, { handle, received: order.received })
        break
      case 'shed':
        this.#shed([...order.to])
        break
      case 'share':
        this.#limited?.share(order.requests)
        break
      case 'taken':
        this.#primary.taken(order.key)
        this.#responder?.arrived()
        break
      case 'lame-duck':
        this.#lameDuck = true
        this.#responder?.lameDuck()
        break
      case 'retire':
        void this.#retire()
        break
      case 'drain':
        void this.#end(this.#data?.gracefulTimeout ?? 0)
        break
      case 'terminate':
        void this.#end(0)
        break
      case 'close-debugger':
        void closeDebugger()
        break
      default:
        order satisfies never
    }
  }

  #orphaned(): void {
    void this.#end(this.#data?.gracefulTimeout ?? 0)
  }

  #holdOutput({ data: { redirect = [] }, inspectable }: Extract<WorkerOrder, { type: 'begin' }>): void {
    if (redirect.includes('out')) leadToPrimary(process.stdout, true)
    if (redirect.includes('err') || inspectable) leadToPrimary(process.stderr, redirect.includes('err'))
    process.once('exit', () => this.#primary.sendAccessLines())
  }

  async #begin(data: WorkerData, fds: readonly number[]): Promise<void> {
    try {
      if (data.workdir !== undefined) process.chdir(data.workdir)
      if (data.account !== undefined) become(data.account)
      const app = await loadApplication(data.request, data.adapter)
      const responder = this.#respond(data, app)
      await Promise.all(fds.map(fd => this.#listen(fd, data, responder)))
      this.#app = app
      this.#responder = responder
      if (this.#lameDuck) responder.lameDuck()
      setInterval(() => this.#look(), this.#rhythm.look).unref()
      this.#primary.tell({ type: 'ready', loaded: loadedBy(app) })
      this.#look()
    } catch (error) {
      await this.#loadFailed(error)
    }
  }

  #respond(data: WorkerData, app: Application): Responder {
    const { limits, limit, debug, ping, accessLog, maxRequests } = data
    const log = this.#primary.log(data.logDebug)
    const isLimited = limit.concurrency > 0 && maxRequests !== 1
    if (isLimited) this.#limited = new LimitedApplication(app, limit, log, waiting => this.#crowd(waiting))
    return createResponder({
      app: maxRequests === 1 ? this.#once(app) : (this.#limited ?? app),
      log,
      limits: isLimited ? { ...limits, requestTimeout: 0 } : limits,
      debug,
      ping,
      allowed: allowedClients(data.allowedClients),
      onRequestEnd: accessLog || maxRequests === 1 ? record => this.#requestEnded(record) : undefined,
      onHandBack: isLimited ? (socket, received) => this.#primary.leave(socket, received) : undefined,
    })
  }

  #crowd(waiting: number): void {
    this.#look()
    this.#primary.tell({ type: 'crowded', waiting })
  }

  #requestEnded(record: AccessRecord): void {
    if (this.#data?.accessLog) this.#primary.tellAccess(accessLine(record, Date.now()))
    // Its successor is waited for.
    if (this.#data?.maxRequests === 1) this.#look()
  }

  /** The descriptor is the socket that all workers share: each has its own copy, and its own right to listen and accept. */
  #listen(fd: number, { backlog }: WorkerData, responder: Responder): Promise<void> {
    const server = new Server({ allowHalfOpen: true, noDelay: true })
    responder.attach(server)
    return new Promise((resolve, reject) => {
      server.once('error', error => reject(new ListenError('system', `cannot listen: ${error.message}`, error)))
      server.once('close', () => this.#deafened())
      server.listen({ fd }, backlog, resolve)
    })
  }

  /** A listening socket is closed: by whom, if not by us? The application has found it among the handles of the process. */
  #deafened(): void {
    if (!this.#leaving && !this.#ending)
      this.#crashed(new Error('the application has closed a listening socket of runfcgi'))
  }

  /** A connection that the primary has for us. */
  #take(key: number, passed: Parameters<typeof socketOf>[0]): void {
    this.#primary.tell({ type: 'taken', key })
    const socket = socketOf(passed)
    socket.once('close', () => this.#primary.tell({ type: 'closed' }))
    socket.setNoDelay(true)
    this.#responder?.accept(socket)
  }

  /** Leaves all connections to others, each as soon as nothing of a request is on it; few at a time, or all at once. */
  async #leave(window = WINDOW): Promise<void> {
    this.#leaving = true
    this.#primary.tell({ type: 'leaving' })
    await this.#responder?.retire(socket => this.#primary.leave(socket), window)
  }

  #shed(to: number[]): void {
    this.#responder?.shed(socket => this.#primary.leave(socket, undefined, to.shift()), to.length, WINDOW)
  }

  /** maxrequests=1, a fresh application for each request: all others are left to other workers when one begins. */
  #once(app: Application): Application {
    return {
      interface: app.interface,
      authorizes: app.authorizes,
      handle: (exchange: Exchange): RequestHandler => {
        void this.#leave(Number.POSITIVE_INFINITY)
        return app.handle(exchange)
      },
    }
  }

  // What the primary hears.

  #look(): void {
    const now = performance.now()
    const report = this.#report()
    const state = `${report.inflight} ${report.served}`
    if (state === this.#reported && now - this.#reportedAt < this.#rhythm.beat) return
    this.#reported = state
    this.#reportedAt = now
    this.#primary.tell(report)
  }

  #report(): WorkerReport {
    const { connections, inflight, requests: served, statuses } = this.#responder?.stats() ?? NO_TRAFFIC
    const memory = residentMemory()
    const { waiting = 0 } = this.#limited ?? {}
    const utilization = this.#loop.read()
    const busy = isFull({ utilization }) ? (this.#responder?.busyConnections() ?? 0) : 0
    const load = { connections, inflight, waiting, utilization, busy }
    const report: WorkerReport = { type: 'report', ...load, served, statuses, memory }
    const running = inflight === 0 ? [] : this.#running().filter(({ age }) => age > WORTH_TELLING_MS)
    return running.length === 0 ? report : { ...report, running: running.slice(0, MOST_TOLD) }
  }

  #running(): RunningRequest[] {
    return this.#responder?.running() ?? []
  }

  #crashed(thrown: unknown): void {
    if (this.#responder === null) {
      void this.#loadFailed(thrown)
      return
    }
    const running = this.#running().slice(0, MOST_TOLD)
    // Whether it was of use decides how soon there is another.
    this.#primary.tell(this.#report())
    this.#primary.tell({ type: 'crashed', error: messageOf(thrown), stack: stackOf(thrown), running })
    void this.#leave()
  }

  async #loadFailed(thrown: unknown): Promise<void> {
    const { app, cwd } = (this.#data as WorkerData).request
    const explained = thrown instanceof LoadError || thrown instanceof ListenError
    const { message } = explained ? thrown : loadFailure(thrown, app ?? cwd, cwd)
    await this.#primary.tellLast({ type: 'load-failed', error: message })
    await untilWritten()
    process.exit(1)
  }

  async #retire(): Promise<void> {
    await this.#leave()
    await this.#end(this.#data?.gracefulTimeout ?? 0)
  }

  /** May be called again, with less time. */
  async #end(graceMs: number): Promise<void> {
    const again = this.#ending
    this.#ending = true
    await this.#responder?.drain(graceMs)
    if (again) return
    if (graceMs > 0 && this.#app !== null) await closeApplication(this.#app).catch(error => this.#crashed(error))
    await this.#primary.tellLast(this.#report())
    await untilWritten(graceMs > 0 ? undefined : 0)
    process.exit(0)
  }
}

new WorkerProcess()
