/** A worker's line to its primary: notices, and a log whose lines the primary writes (one writer, so files can be reopened). */

import type { Socket } from 'node:net'
import type { Log } from '../../log.ts'
import { takeSend } from '../parent-channel.ts'
import { Passage, passable } from '../passing.ts'
import { toPortable, type WorkerNotice } from './messages.ts'

/** Lines are collected for so many or so many milliseconds, whichever is reached first. */
const COLLECT_LINES = 100
const COLLECT_MS = 100

export class PrimaryLink {
  readonly #send = takeSend()
  #accessLines: string[] = []
  readonly #passage = new Passage()

  /** @param debug whether lines for debugging are wanted */
  log(debug: boolean): Log {
    const line =
      (level: keyof Log) =>
      (details: object, message: string): void =>
        this.tell({ type: 'log', level, details: toPortable(details), message })
    return { debug: debug ? line('debug') : () => {}, info: line('info'), warn: line('warn'), error: line('error') }
  }

  tell(notice: WorkerNotice): void {
    // Whoever is gone hears nothing; the 'disconnect' event says so.
    if (process.connected) this.#send?.(notice, undefined, undefined, () => {})
  }

  /** Leaves a connection to others, or to worker `to`, with what was read of it already. With no primary there are none. */
  leave(socket: Socket, received?: Buffer, to?: number): void {
    const connection = passable(socket, received)
    if (connection === undefined) return
    if (process.connected && this.#send !== undefined)
      this.#passage.send({ send: this.#send }, connection, lost => lost.close(), to)
    else connection.close()
  }

  /** The primary has the connection. */
  taken(key: number): void {
    this.#passage.arrived(key)
  }

  /** A line for the access log; sent a moment later. */
  tellAccess(line: string): void {
    if (this.#accessLines.push(line) === 1) setTimeout(() => this.sendAccessLines(), COLLECT_MS).unref()
    if (this.#accessLines.length >= COLLECT_LINES) this.sendAccessLines()
  }

  /** The last thing to say: resolves when the system has it, and the primary every connection that was left to it. */
  tellLast(notice: WorkerNotice): Promise<void> {
    this.sendAccessLines()
    return new Promise(resolve => {
      if (!process.connected) resolve()
      process.once('disconnect', resolve)
      this.#send?.(notice, undefined, undefined, () => resolve())
    })
  }

  /** Sends those that wait. */
  sendAccessLines(): void {
    if (this.#accessLines.length === 0) return
    const text = this.#accessLines.join('')
    this.#accessLines = []
    this.tell({ type: 'access', text })
  }
}
