/**
 * A FastCGI responder: serves one application on any number of listening sockets. Knows the connections there are, what
 * they have done, and how to end them in good order; starts no process and reads no settings.
 */

import type { Server, Socket } from 'node:net'
import type { Application } from '../app/exchange.ts'
import type { Params } from '../cgi/params.ts'
import type { ConnectionLimits } from '../fcgi/limits.ts'
import type { Log } from '../log.ts'
import type { Host } from './connections/carrier.ts'
import { ServerConnection } from './connections/connection.ts'
import { Departure } from './connections/departure.ts'
import type { ServerExchange } from './connections/exchange.ts'
import { type Limits, LONGEST_STEP_MS, MAX_INCOMPLETE, SHED_MS, TICK_MS } from './limits.ts'
import { pinging } from './ping.ts'
import { Roster } from './roster.ts'
import { closeWhenQuiet } from './sockets/last-connections.ts'
import { type Counts, Tally } from './tally.ts'

/** A request that has ended, for the access log. */
export interface AccessRecord {
  readonly params: Params
  /** The status of the reply; 0 if the client left before there was one. */
  readonly status: number
  /** Bytes of body that the application sent. */
  readonly bytes: number
  /** Milliseconds, as coarse as the responder's clock. */
  readonly duration: number
  readonly aborted: boolean
}

export interface ResponderOptions {
  readonly app: Application
  readonly log: Log
  readonly limits: Limits
  /** Show the stack of an application's error to the client. */
  readonly debug: boolean
  /** Who may connect over TCP; everybody if absent. Not asked for Unix sockets, whose file mode says it. */
  readonly allowed?: ((remoteAddress: string | undefined) => boolean) | undefined
  /** The path that is answered here, for health checks; none if absent. */
  readonly ping?: string | undefined
  readonly onRequestEnd?: ((record: AccessRecord) => void) | undefined
  /** Takes connections whose only request has not begun, with what was received of it: see `Exchange.handBack`. */
  readonly onHandBack?: ((socket: Socket, received: Buffer) => void) | undefined
}

export interface ResponderStats {
  readonly connections: number
  readonly inflight: number
  /** Requests that have ended since the start. */
  readonly requests: number
  /** The same by status. */
  readonly statuses: Counts
}

/** A request for which there is no complete reply yet. */
export interface RunningRequest {
  readonly method: string
  readonly uri: string
  /** Milliseconds, as coarse as the responder's clock. */
  readonly age: number
}

export interface Responder {
  /** Serves the connections of a listening socket. */
  attach(server: Server): void
  /** Serves one connection. */
  accept(socket: Socket): void
  /**
   * Ends in good order: accepts who has connected already and nobody after that, answers what has arrived, closes each
   * connection when its last request has ended. After `graceMs` milliseconds what still runs is aborted (503, or cut off).
   * Resolves when all is closed.
   */
  drain(graceMs: number): Promise<void>
  /** From now on health checks (`ping`) are told that it will stop. Everything else is served as before. */
  lameDuck(): void
  /**
   * Leaves without closing a connection, where others can go on with it: accepts nothing more, and passes each socket to
   * `letGo` as soon as nothing of a request is on it; at most `window` at a time, for which `arrived` was not called: the
   * others are served meanwhile. Resolves when none is left; there is no limit (`drain` is one).
   */
  retire(letGo: (socket: Socket) => void, window?: number): Promise<void>
  /**
   * Passes up to `count` connections to `letGo` that are in use, in the same way and for the same reason, but goes on
   * serving. Those on which a request is open a second later stay.
   */
  shed(letGo: (socket: Socket) => void, count: number, window?: number): void
  /** One of the sockets that were let go of is in use elsewhere. */
  arrived(): void
  /** From now on; connections that are open keep their limits of PARAMS and of requests at once. */
  configure(options: Pick<ResponderOptions, 'limits' | 'debug' | 'allowed'>): void
  stats(): ResponderStats
  /** Connections on which requests have come in the last half second or so. */
  busyConnections(): number
  running(): RunningRequest[]
}

/** Creates a responder. It serves from the first `attach` or `accept` on. */
export function createResponder(options: ResponderOptions): Responder {
  return new FastCgiResponder(options)
}

const connectionLimits = ({ limits, app }: ResponderOptions): ConnectionLimits => ({
  maxParamsSize: limits.maxParamsSize,
  maxInflight: limits.maxInflight,
  maxConnections: limits.maxConnections,
  maxIncomplete: MAX_INCOMPLETE,
  // A reload may bring an authorizer.
  get authorizer() {
    return app.authorizes === true
  },
  late: app.passesOn === true,
})

class FastCgiResponder implements Responder, Host {
  readonly app: Application
  readonly log: Log
  limits: Limits
  connectionLimits: ConnectionLimits
  debug: boolean
  now = performance.now()
  /** When the last tick was (`performance.now()`). */
  #ticked = this.now
  #options: ResponderOptions
  #draining = false
  #lameDuck = false
  #retired = false
  #departure: Departure | null = null
  readonly #connections = new Roster<ServerConnection>()
  readonly #servers = new Set<Server>()
  #requests = 0
  readonly #statuses = new Tally()
  #ticker: NodeJS.Timeout | null = null
  #onEmpty: (() => void)[] = []

  constructor(options: ResponderOptions) {
    this.#options = options
    const { app, ping } = options
    this.app = ping === undefined ? app : pinging(app, ping, () => this.#draining || this.#lameDuck)
    this.log = options.log
    this.limits = options.limits
    this.debug = options.debug
    this.connectionLimits = connectionLimits(options)
  }

  configure(options: Pick<ResponderOptions, 'limits' | 'debug' | 'allowed'>): void {
    this.#options = { ...this.#options, ...options }
    this.limits = options.limits
    this.debug = options.debug
    this.connectionLimits = connectionLimits(this.#options)
  }

  attach(server: Server): void {
    this.#servers.add(server)
    server.on('connection', socket => this.accept(socket))
  }

  accept(socket: Socket): void {
    if (this.#retired && !this.#draining) {
      this.#departure?.leave(socket)
      return
    }
    const { allowed } = this.#options
    if (allowed !== undefined && socket.remoteAddress !== undefined && !allowed(socket.remoteAddress)) {
      this.log.warn({ peer: socket.remoteAddress }, 'connection refused: not in allowed-clients')
      socket.destroy()
      return
    }
    if (this.#connections.size >= this.limits.maxConnections) {
      this.log.warn({ connections: this.#connections.size }, 'connection refused: max-connections reached')
      socket.destroy()
      return
    }
    this.#startTicking()
    const connection = new ServerConnection(this, socket)
    this.#connections.add(connection)
    if (this.#draining) connection.drain()
  }

  async drain(graceMs: number): Promise<void> {
    this.#draining = true
    for (const connection of this.#connections.values()) connection.drain()
    const timer = setTimeout(() => this.#destroyAll(), graceMs)
    if (graceMs > 0) await Promise.all([...this.#servers].map(closeWhenQuiet))
    else for (const server of this.#servers) server.close()
    await this.#empty()
    clearTimeout(timer)
    if (this.#ticker !== null) clearInterval(this.#ticker)
    this.#ticker = null
  }

  lameDuck(): void {
    this.#lameDuck = true
  }

  async retire(letGo: (socket: Socket) => void, window = Number.POSITIVE_INFINITY): Promise<void> {
    if (!this.#retired)
      this.#departure = new Departure(letGo, window, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY)
    this.#retired = true
    for (const server of this.#servers) server.close()
    this.#depart(this.#connections.values())
    await this.#empty()
  }

  shed(letGo: (socket: Socket) => void, count: number, window = Number.POSITIVE_INFINITY): void {
    if (this.#retired || this.#draining) return
    this.#departure = new Departure(letGo, window, count, performance.now() + SHED_MS)
    this.#depart(this.#connections.values().filter(({ isBusy }) => isBusy))
  }

  #depart(connections: readonly ServerConnection[]): void {
    if (this.#departure !== null) for (const connection of connections) connection.leave(this.#departure)
  }

  arrived(): void {
    this.#departure?.arrived()
    for (const connection of this.#connections.values()) {
      if (this.#departure?.isOpen !== true) break
      connection.leaveIfIdle()
    }
  }

  get handsBack(): boolean {
    return this.#options.onHandBack !== undefined
  }

  handBack(socket: Socket, received: Buffer): void {
    this.#options.onHandBack?.(socket, received)
  }

  stats(): ResponderStats {
    let inflight = 0
    for (const connection of this.#connections.values()) inflight += connection.inflight
    return { connections: this.#connections.size, inflight, requests: this.#requests, statuses: this.#statuses.counts }
  }

  busyConnections(): number {
    let busy = 0
    for (const connection of this.#connections.values()) if (connection.isBusy) busy++
    return busy
  }

  running(): RunningRequest[] {
    return this.#connections.values().flatMap(connection => connection.running())
  }

  /** A clock that stands between two ticks would end requests before their time. */
  stamp(): number {
    const exact = this.#options.onRequestEnd !== undefined || this.limits.requestTimeout > 0
    return exact ? performance.now() : this.#ticked
  }

  requestEnded(exchange: ServerExchange): void {
    this.#requests++
    this.#statuses.add(exchange.status)
    this.#options.onRequestEnd?.({
      params: exchange.params,
      status: exchange.status,
      bytes: exchange.sent,
      duration: performance.now() - exchange.started,
      aborted: exchange.aborted,
    })
  }

  connectionClosed(connection: ServerConnection): void {
    this.#connections.delete(connection)
    if (this.#connections.size === 0) for (const tell of this.#onEmpty.splice(0)) tell()
  }

  #startTicking(): void {
    if (this.#ticker !== null) return
    this.#ticked = performance.now()
    this.#ticker = setInterval(() => this.#tick(), TICK_MS).unref()
  }

  #tick(): void {
    const ticked = performance.now()
    this.now += Math.min(ticked - this.#ticked, LONGEST_STEP_MS)
    this.#ticked = ticked
    for (const connection of this.#connections.values()) connection.tick(this.now)
  }

  /** Resolves when no connection is left. */
  #empty(): Promise<void> {
    if (this.#connections.size === 0) return Promise.resolve()
    return new Promise(resolve => {
      this.#onEmpty.push(resolve)
    })
  }

  #destroyAll(): void {
    for (const server of this.#servers) server.close()
    for (const connection of this.#connections.values()) connection.destroy()
  }
}
