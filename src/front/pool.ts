/**
 * Keep-alive connections to one responder. A connection carries one request at a time; idle ones are taken again, the
 * last one first, so that surplus ones grow old and close.
 *
 * There is no limit to connections in use: one per event stream would soon be all there is. What is limited is how many
 * are being made at the same time, because a responder's queue of waiting connections is short (`backlog`).
 */

import { Connection } from './connection.ts'
import type { Target } from './target.ts'

export interface PoolOptions {
  /** Idle connections kept at most. Default 256. */
  readonly maxIdle?: number
  /** Milliseconds after which an idle connection is closed. Default 30,000. */
  readonly idleMs?: number
  /** Connections being made at the same time at most; further requests wait. Default 64. */
  readonly maxConnecting?: number
}

interface Waiter {
  /** Not content with a connection that was used before. */
  readonly fresh: boolean
  readonly use: (connection: Connection) => void
}

export class ConnectionPool {
  readonly #target: Target
  readonly #maxIdle: number
  readonly #idleMs: number
  readonly #maxConnecting: number
  readonly #idle: Connection[] = []
  readonly #open = new Set<Connection>()
  readonly #connecting = new Set<Connection>()
  readonly #waiting = new Set<Waiter>()
  #closed = false

  constructor(target: Target, { maxIdle = 256, idleMs = 30_000, maxConnecting = 64 }: PoolOptions = {}) {
    this.#target = target
    this.#maxIdle = maxIdle
    this.#idleMs = idleMs
    this.#maxConnecting = maxConnecting
  }

  /** Connections open, how many of them are idle, and requests that wait for one. */
  get stats(): { readonly open: number; readonly idle: number; readonly waiting: number } {
    return { open: this.#open.size, idle: this.#idle.length, waiting: this.#waiting.size }
  }

  /**
   * Calls `use` with a connection for one request, at once or later: an idle one, unless `fresh` is set or there is none.
   * It may still be connecting. Returns a function that calls the wait off.
   */
  take(fresh: boolean, use: (connection: Connection) => void): () => void {
    const kept = fresh ? undefined : this.#idle.pop()
    if (kept !== undefined) {
      kept.setTimeout(0)
      use(kept)
    } else if (this.#connecting.size < this.#maxConnecting) use(this.#connect())
    else {
      const waiter = { fresh, use }
      this.#waiting.add(waiter)
      return () => void this.#waiting.delete(waiter)
    }
    return () => {}
  }

  /** Takes a connection back after its request; closes it if it cannot carry another one. */
  give(connection: Connection): void {
    if (this.#closed || !connection.reusable || this.#idle.length >= this.#maxIdle) {
      connection.destroy()
      return
    }
    connection.resume()
    for (const waiter of this.#waiting) {
      if (waiter.fresh) continue
      this.#waiting.delete(waiter)
      waiter.use(connection)
      return
    }
    connection.setTimeout(this.#idleMs)
    this.#idle.push(connection)
  }

  /** Closes the idle connections now, and those in use when they are given back. */
  close(): void {
    this.#closed = true
    for (const connection of this.#idle.splice(0)) connection.destroy()
  }

  #connect(): Connection {
    const connection = new Connection(this.#target)
    this.#open.add(connection)
    this.#connecting.add(connection)
    connection.onConnected = () => this.#connected(connection)
    connection.onClosed = () => this.#forget(connection)
    return connection
  }

  #connected(connection: Connection): void {
    if (!this.#connecting.delete(connection)) return
    for (const waiter of this.#waiting) {
      if (this.#connecting.size >= this.#maxConnecting) return
      this.#waiting.delete(waiter)
      waiter.use(this.#connect())
    }
  }

  #forget(connection: Connection): void {
    this.#open.delete(connection)
    const at = this.#idle.indexOf(connection)
    if (at !== -1) this.#idle.splice(at, 1)
    this.#connected(connection)
  }
}
