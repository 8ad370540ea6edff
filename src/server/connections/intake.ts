/**
 * When the socket of a connection is read, and when it waits: so a web server feels an application that does not read, and a
 * peer that does not take its replies gets no more of them. Knows what waits in either direction, not what it is.
 */

import type { Socket } from 'node:net'
import type { Connection } from '../../fcgi/connection.ts'
import type { Few } from '../../fcgi/few.ts'
import type { Request } from '../../fcgi/request.ts'
import { DRAIN_BYTES, DRAIN_MS, OUTPUT_HIGH_WATER, STDIN_HIGH_WATER } from '../limits.ts'
import type { ServerExchange } from './exchange.ts'

export class Intake {
  /** The socket is not being read. */
  paused = false
  readonly #socket: Socket
  readonly #core: Connection
  readonly #exchanges: Few<Request, ServerExchange>
  /** How often the peer had asked for something when it began not to take what is written; -1 while it takes it. */
  #askedBefore = -1
  /** Since when, and how many bytes, the peer has been sending a body nobody wants. */
  #drainSince = 0
  #drainBytes = 0

  constructor(socket: Socket, core: Connection, exchanges: Few<Request, ServerExchange>) {
    this.#socket = socket
    this.#core = core
    this.#exchanges = exchanges
  }

  /** So much waits for the peer that applications should wait, too. */
  get congested(): boolean {
    return this.#core.out.length + this.#socket.writableLength >= OUTPUT_HIGH_WATER
  }

  /** More or less waits than before. */
  review(): void {
    const pause = this.#shouldPause()
    if (pause === this.paused) return
    this.paused = pause
    if (pause) this.#socket.pause()
    else this.#socket.resume()
  }

  /** `length` bytes have come. `now` in milliseconds. */
  received(length: number, now: number): void {
    if (this.#core.draining > 0) {
      this.#drainBytes += length
      if (this.#drainSince === 0) this.#drainSince = now
    } else this.#drainSince = this.#drainBytes = 0
  }

  /** All requests are answered, and the rest of a body that nobody wants is too much, or takes too long. */
  drainsTooLong(now: number): boolean {
    if (this.#core.draining === 0) return false
    if (this.#drainSince === 0) this.#drainSince = now
    if (this.#core.inflight > 0) return false
    return this.#drainBytes > DRAIN_BYTES || now - this.#drainSince > DRAIN_MS
  }

  /**
   * The socket is not read while the only request on it has a body waiting that its application does not read. Not so
   * with several requests, of which one must not hold up the others.
   */
  #shouldPause(): boolean {
    const { congested } = this
    if (!congested) this.#askedBefore = -1
    else if (this.#askedBefore < 0) this.#askedBefore = this.#core.asked
    if (congested) return this.#isFlood()
    if (this.#exchanges.size !== 1 || this.#core.inflight !== 1) return false
    for (const exchange of this.#exchanges.values()) return exchange.unread >= STDIN_HIGH_WATER
    return false
  }

  /**
   * While the peer does not take what was written, it may go on sending the body that it has begun: Caddy and mod_fcgid
   * write all of it before they read a byte. It may not ask for more, whose replies nothing would bound.
   */
  #isFlood(): boolean {
    return this.#core.asked > this.#askedBefore || !this.#core.receivingBody
  }
}
