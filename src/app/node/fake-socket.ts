/**
 * The part of a net.Socket that frameworks and middleware look for in `req.socket`: addresses, switches that do nothing
 * behind a web server, and a timeout. Knows what the CGI variables say, not what travels over the connection.
 */

import { EventEmitter } from 'node:events'
import { getDefaultHighWaterMark } from 'node:stream'
import type { RequestFacts } from '../../cgi/request.ts'
import { familyOf } from '../incoming.ts'
import { unopened } from '../unopened.ts'

const HIGH_WATER_MARK = getDefaultHighWaterMark(false)

export abstract class FakeSocket extends unopened(EventEmitter) {
  readonly facts: RequestFacts
  destroyed = false
  readable = true
  writable = true
  bytesRead = 0
  bytesWritten = 0
  /**
   * There, and true, when the client speaks TLS to the web server: what Express's `req.secure` and Koa's `ctx.secure` look
   * at. AdonisJS asks whether it is there at all, as it is on no net.Socket.
   */
  declare readonly encrypted?: true
  #timer: NodeJS.Timeout | undefined

  constructor(facts: RequestFacts) {
    super()
    this.facts = facts
    if (facts.https) this.encrypted = true
  }

  /** What became of `setTimeout`. */
  protected abstract onTimeout(): void

  get remoteAddress(): string | undefined {
    return this.facts.remoteAddress || undefined
  }

  get remotePort(): number | undefined {
    return this.facts.remotePort || undefined
  }

  get remoteFamily(): string | undefined {
    return familyOf(this.remoteAddress)
  }

  get localAddress(): string | undefined {
    return this.facts.environ().SERVER_ADDR || undefined
  }

  get localPort(): number {
    return this.facts.serverPort
  }

  get localFamily(): string | undefined {
    return familyOf(this.localAddress)
  }

  get readyState(): 'open' | 'closed' {
    return this.destroyed ? 'closed' : 'open'
  }

  get connecting(): boolean {
    return false
  }

  get readableHighWaterMark(): number {
    return HIGH_WATER_MARK
  }

  get writableHighWaterMark(): number {
    return HIGH_WATER_MARK
  }

  address(): { address: string; family: string; port: number } | Record<string, never> {
    const { localAddress: address, localFamily: family, localPort: port } = this
    return address === undefined || family === undefined ? {} : { address, family, port }
  }

  setKeepAlive(): this {
    return this
  }

  setNoDelay(): this {
    return this
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  /** Milliseconds without a byte in either direction; 0: no timeout. */
  setTimeout(milliseconds: number, callback?: () => void): this {
    this.clearTimeout()
    if (milliseconds > 0 && !this.destroyed) {
      this.#timer = setTimeout(() => this.onTimeout(), milliseconds).unref()
      if (callback !== undefined) this.once('timeout', callback)
    } else if (callback !== undefined) this.removeListener('timeout', callback)
    return this
  }

  protected clearTimeout(): void {
    if (this.#timer === undefined) return
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** A byte has passed. */
  protected refreshTimeout(): void {
    if (this.#timer !== undefined) this.#timer.refresh()
  }
}
