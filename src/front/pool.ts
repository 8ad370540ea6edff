/**
 * Keep-alive connections to one responder. A connection carries one request at a time; idle ones are taken again, the
 * last one first, so that surplus ones grow old and close.
 */

import { Connection, type Target } from './connection.ts'

export interface PoolOptions {
  /** Idle connections kept at most. Default 32. */
  readonly maxIdle?: number
  /** Milliseconds after which an idle connection is closed. Default 30,000. */
  readonly idleMs?: number
}

export class ConnectionPool {
  readonly #target: Target
  readonly #maxIdle: number
  readonly #idleMs: number
  readonly #idle: Connection[] = []
  readonly #open = new Set<Connection>()
  #closed = false

  constructor(target: Target, { maxIdle = 32, idleMs = 30_000 }: PoolOptions = {}) {
    this.#target = target
    this.#maxIdle = maxIdle
    this.#idleMs = idleMs
  }

  /** Connections open, and how many of them are idle. */
  get stats(): { readonly open: number; readonly idle: number } {
    return { open: this.#open.size, idle: this.#idle.length }
  }

  /** A connection for one request: an idle one, unless `fresh` is set or there is none. */
  take(fresh: boolean): Connection {
    const kept = fresh ? undefined : this.#idle.pop()
    if (kept !== undefined) {
      kept.setTimeout(0)
      return kept
    }
    const connection = new Connection(this.#target)
    this.#open.add(connection)
    connection.onClosed = () => this.#forget(connection)
    return connection
  }

  /** Takes a connection back after its request; closes it if it cannot carry another one. */
  give(connection: Connection): void {
    if (this.#closed || !connection.reusable || this.#idle.length >= this.#maxIdle) {
      connection.destroy()
      return
    }
    connection.resume()
    connection.setTimeout(this.#idleMs)
    this.#idle.push(connection)
  }

  /** Closes the idle connections now, and those in use when they are given back. */
  close(): void {
    this.#closed = true
    for (const connection of this.#idle.splice(0)) connection.destroy()
  }

  #forget(connection: Connection): void {
    this.#open.delete(connection)
    const at = this.#idle.indexOf(connection)
    if (at !== -1) this.#idle.splice(at, 1)
  }
}
