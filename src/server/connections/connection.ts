/**
 * One FastCGI connection: a socket, the state machine (src/fcgi/connection.ts) and the exchanges on it. Decides when the
 * socket is read, written and closed; what the bytes mean is decided below, what the requests do above.
 */

import type { Socket } from 'node:net'
import type { Params } from '../../cgi/params.ts'
import { Connection } from '../../fcgi/connection.ts'
import type { ConnectionEvent, Refusal } from '../../fcgi/events.ts'
import { Few } from '../../fcgi/few.ts'
import type { Request } from '../../fcgi/request.ts'
import type { Log } from '../../log.ts'
import { FIRST_REQUEST_MS, LINGER_MS, type Limits, SHARED_WRITE } from '../limits.ts'
import type { RunningRequest } from '../responder.ts'
import type { Member } from '../roster.ts'
import type { Carrier, Host } from './carrier.ts'
import type { Departure } from './departure.ts'
import { ServerExchange } from './exchange.ts'
import { Intake } from './intake.ts'
import { readFrom } from './read-buffer.ts'
import { RecentBytes } from './recent-bytes.ts'
import { beginTurn, writeAtEndOfTurn } from './turn.ts'

const NO_PARAMS: Params = { names: [], values: [] }

const REFUSAL_STATUS: Readonly<Record<Refusal, number>> = {
  'params-too-large': 431,
  'params-too-slow': 408,
  'too-many-requests': 503,
  'unknown-role': 501,
}

export class ServerConnection implements Carrier, Member {
  place = -1
  readonly core: Connection
  readonly #host: Host
  readonly #socket: Socket
  readonly #exchanges = new Few<Request, ServerExchange>()
  readonly #intake: Intake
  #inBatch = false
  #flushScheduled = false
  #peerEnded = false
  #ended = false
  #closed = false
  /** How often a peer that ended its side has been asked whether it is still there. */
  #probes = 0
  readonly #accepted: number
  #draining = false
  #departure: Departure | null = null
  /** How often the peer had asked for something at the last tick, and at the one before. */
  #askedLately = 0
  #askedEarlier = 0
  readonly #recent: RecentBytes | null

  constructor(host: Host, socket: Socket) {
    this.#host = host
    this.#socket = socket
    this.core = new Connection(host.connectionLimits)
    this.#intake = new Intake(socket, this.core, this.#exchanges)
    this.#accepted = host.now
    this.#recent = host.handsBack ? new RecentBytes() : null
    socket.on('end', () => this.#receiveEnd())
    socket.on('drain', () => this.unblock())
    socket.on('error', error => {
      this.#host.log.debug({ err: error }, 'connection lost')
      this.#lost()
    })
    socket.on('close', () => this.#lost())
    readFrom(socket, (bytes, length) => this.#receive(bytes, length))
  }

  get log(): Log {
    return this.#host.log
  }

  get limits(): Limits {
    return this.#host.limits
  }

  get debug(): boolean {
    return this.#host.debug
  }

  get now(): number {
    return this.#host.now
  }

  stamp(): number {
    return this.#host.stamp()
  }

  get congested(): boolean {
    return this.#intake.congested
  }

  get inflight(): number {
    return this.#exchanges.size
  }

  running(): RunningRequest[] {
    return [...this.#exchanges.values()].map(exchange => exchange.describe())
  }

  flushSoon(): void {
    if (this.#inBatch || this.#flushScheduled) return
    this.#flushScheduled = true
    process.nextTick(flushScheduled, this)
  }

  flushNow(): void {
    if (!this.#inBatch) this.#flushWithOthers()
  }

  /** What is small waits for the replies that others give in this turn of the event loop. */
  #flushWithOthers(): void {
    const { core } = this
    if (core.out.length === 0 || core.out.length > SHARED_WRITE || core.answered) this.flush()
    else if (!this.#flushScheduled) {
      this.#flushScheduled = true
      writeAtEndOfTurn(this)
    }
  }

  /** Writes what is waiting, and closes when nothing can follow. */
  flush(): void {
    this.#flushScheduled = false
    if (this.#closed) return
    const text = this.core.out.takeText()
    if (text === undefined) this.#writeParts(this.core.out.take())
    else if (text !== '' && !this.#ended) this.#socket.write(text, 'latin1')
    if (this.core.finished) this.#finish()
    else if (this.core.answered) this.#end()
    else {
      this.reviewFlow()
      // Not at once: an application that writes without end to a peer that takes it all would never let go.
      if (!this.#socket.writableNeedDrain && this.#someoneWaits()) setImmediate(unblock, this)
      if (this.#departure !== null) this.leaveIfIdle()
    }
  }

  /** The peer has room again, or has taken everything already. */
  unblock(): void {
    if (this.#closed) return
    for (const exchange of this.#exchanges.values()) exchange.drained()
    this.reviewFlow()
  }

  reviewFlow(): void {
    if (!this.#closed) this.#intake.review()
  }

  exchangeEnded(exchange: ServerExchange): void {
    this.#exchanges.delete(exchange.request)
    this.#recent?.forget()
    this.#host.requestEnded(exchange)
    if (this.#intake.paused) this.reviewFlow()
  }

  /** Once in a while: ends what takes too long. `now`: that of the host. */
  tick(now: number): void {
    if (this.#exchanges.size > 0) for (const exchange of this.#exchanges.values()) exchange.checkTimeouts(now)
    if (this.core.incomplete > 0) this.#handle(this.core.expire(now - this.limits.paramsTimeout))
    if (this.#intake.drainsTooLong(now)) this.#socket.destroy()
    if (this.#peerEnded) this.#probe()
    if (this.#departure?.isOver(performance.now())) this.#departure = null
    this.leaveIfIdle()
    this.#askedEarlier = this.#askedLately
    this.#askedLately = this.core.asked
  }

  /**
   * No request may follow those that are open or have already arrived; idle connections are closed. One that was accepted
   * only just now gets a moment for its first request: nobody connects for nothing.
   */
  drain(): void {
    const patience = this.#accepted + FIRST_REQUEST_MS - this.now
    if (this.core.asked > 0 || patience <= 0) this.#drainNow()
    else if (!this.#draining) setTimeout(() => this.#drainNow(), patience).unref()
    this.#draining = true
  }

  #drainNow(): void {
    this.core.close()
    // What had reached the kernel before is read first: its sender could not know.
    setImmediate(() => setImmediate(() => this.flush()))
  }

  /** Requests have come on it in the last two ticks or so. */
  get isBusy(): boolean {
    return this.core.asked > this.#askedEarlier
  }

  /** Somebody else goes on with the connection, as soon as nothing of a request is on it. */
  leave(departure: Departure): void {
    this.#departure = departure
    this.leaveIfIdle()
  }

  leaveIfIdle(): void {
    const departure = this.#departure
    if (departure?.isOpen !== true) return
    const socket = this.#socket
    if (!this.core.idle || this.#peerEnded || this.#closed || socket.writableLength + socket.readableLength > 0) return
    this.#lost()
    departure.leave(socket)
  }

  /** Ends all requests now, then the connection, as soon as the peer has taken their last bytes or `LINGER_MS` later. */
  destroy(): void {
    this.core.close()
    for (const exchange of this.#exchanges.values()) exchange.abort('shutdown')
    this.flush()
    this.#socket.destroySoon()
    setTimeout(() => this.#socket.destroy(), LINGER_MS).unref()
  }

  handBack(): boolean {
    const socket = this.#socket
    const received = this.#recent?.ofOneRequest(this.core)
    if (received === undefined || this.#exchanges.size !== 1 || this.#peerEnded || this.#closed) return false
    if (this.core.out.length + socket.writableLength + socket.readableLength > 0) return false
    for (const exchange of this.#exchanges.values()) exchange.drop()
    this.#lost()
    this.#host.handBack(socket, received)
    return true
  }

  #receive(bytes: Buffer, length: number): void {
    this.#recent?.add(this.core, bytes.subarray(0, length))
    const isFirst = this.core.asked === 0
    this.#handle(this.core.receive(bytes, this.now, length))
    if (isFirst && this.#draining) this.drain()
    this.#intake.received(length, this.now)
  }

  #receiveEnd(): void {
    this.#peerEnded = true
    this.#handle(this.core.receiveEnd())
    if (!this.#closed) this.#probe()
  }

  #handle(events: ConnectionEvent[]): void {
    beginTurn()
    this.#inBatch = true
    for (const event of events) this.#dispatch(event)
    this.#inBatch = false
    this.#flushWithOthers()
  }

  #dispatch(event: ConnectionEvent): void {
    switch (event.type) {
      case 'request':
        this.#begin(event.request, event.params).start(this.#host.app)
        break
      case 'stdin':
        this.#exchanges.get(event.request)?.receiveStdin(event.chunk)
        break
      case 'stdinEnd':
        this.#exchanges.get(event.request)?.receiveStdinEnd()
        break
      case 'abort':
        this.#exchanges.get(event.request)?.abort('client-gone')
        break
      case 'refused':
        this.log.warn({ reason: event.reason, peer: this.#socket.remoteAddress }, 'request refused')
        this.#begin(event.request, NO_PARAMS).refuse(REFUSAL_STATUS[event.reason])
        break
      case 'violation':
        this.log.warn({ code: event.error.code, peer: this.#socket.remoteAddress }, event.error.message)
        this.#socket.destroy()
        this.#lost()
        break
      default:
        event satisfies never
    }
  }

  #begin(request: Request, params: Params): ServerExchange {
    const exchange = new ServerExchange(this, request, params)
    this.#exchanges.set(request, exchange)
    return exchange
  }

  #writeParts(parts: (string | Uint8Array)[]): void {
    if (this.#ended) return
    this.#socket.cork()
    for (const part of parts) {
      if (typeof part === 'string') this.#socket.write(part, 'latin1')
      else this.#socket.write(part)
    }
    this.#socket.uncork()
  }

  #someoneWaits(): boolean {
    if (this.#exchanges.size === 0) return false
    return this.#exchanges.values().some(exchange => exchange.waiting)
  }

  /**
   * A web server whose client left closes its socket, which looks like one that has only finished sending. Something
   * harmless is written to find out, twice: over TCP the first write draws the reset that the second one meets.
   */
  #probe(): void {
    if (this.#probes >= 2 || this.#closed) return
    for (const { request } of this.#exchanges.values()) {
      this.#probes++
      this.core.probe(request)
      this.flush()
      return
    }
  }

  /**
   * Everything has been written, but a body is still coming: only the sending side is closed. nginx, where it keeps no
   * connection, looks at the rest of a reply when it ends, and meanwhile sends no more of the body.
   */
  #end(): void {
    if (!this.#ended) this.#socket.end()
    this.#ended = true
    this.reviewFlow()
  }

  /** Everything has been read and written: the socket can be closed without a reset destroying the reply. */
  #finish(): void {
    if (this.#socket.writableLength === 0) this.#socket.destroy()
    else this.#socket.destroySoon()
  }

  #lost(): void {
    if (this.#closed) return
    this.#closed = true
    for (const exchange of this.#exchanges.values()) exchange.abort('client-gone')
    this.#host.connectionClosed(this)
  }
}

const unblock = (connection: ServerConnection): void => connection.unblock()

const flushScheduled = (connection: ServerConnection): void => connection.flush()
