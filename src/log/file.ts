/**
 * One file (or descriptor) that lines are appended to. Synchronous: what was written before the process ends is written,
 * and it goes to memory of the system. A file that cannot be written costs its lines, never the server: a full disk and a
 * terminal that has gone are reported once, and nothing is kept for later. (pino's own destination tries again for ever.)
 */

import { closeSync, openSync, writeSync } from 'node:fs'

export interface LogFileOptions {
  /** Write every so many bytes, or after a second, instead of every line. */
  readonly collectBytes?: number
  /** Who else writes to the same descriptor, later perhaps: what it has not written yet comes first. */
  readonly beside?: NodeJS.WriteStream | undefined
  onError(error: unknown): void
}

/** After how many milliseconds collected lines are written. */
const COLLECT_MS = 1_000

/** How long a reader that takes nothing (a full pipe) may hold up the process, in milliseconds. */
const PATIENCE = 500
const PAUSE = 5

const sleeper = new Int32Array(new SharedArrayBuffer(4))

export class LogFile {
  readonly #name: string | number
  readonly #collectBytes: number
  readonly #onError: (error: unknown) => void
  readonly #beside: NodeJS.WriteStream | undefined
  #fd: number
  #collected = ''
  #timer: NodeJS.Timeout | null = null
  #failing = false

  /** @throws the system's error if the file cannot be opened */
  constructor(name: string | number, options: LogFileOptions) {
    this.#name = name
    this.#collectBytes = options.collectBytes ?? 0
    this.#onError = options.onError
    this.#beside = options.beside
    this.#fd = typeof name === 'number' ? name : openSync(name, 'a')
  }

  write(text: string): void {
    if (this.#collectBytes === 0) {
      this.#append(text)
      return
    }
    this.#collected += text
    if (this.#collected.length >= this.#collectBytes) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), COLLECT_MS).unref()
  }

  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    const text = this.#collected
    this.#collected = ''
    if (text !== '') this.#append(text)
  }

  /**
   * Opens the file again under its name. Does nothing for a descriptor.
   * @throws the system's error if it cannot be opened: then the old one goes on
   */
  reopen(): void {
    if (typeof this.#name === 'number') return
    this.flush()
    const fd = openSync(this.#name, 'a')
    closeSync(this.#fd)
    this.#fd = fd
  }

  #append(text: string): void {
    if (this.#beside !== undefined && this.#beside.writableLength > 0) {
      this.#beside.write(text)
      return
    }
    try {
      this.#writeAll(Buffer.from(text))
      this.#failing = false
    } catch (error) {
      if (this.#failing) return
      this.#failing = true
      this.#onError(error)
    }
  }

  #writeAll(bytes: Buffer): void {
    // One that has taken nothing for so long is not waited for again before it does.
    let deadline = performance.now() + (this.#failing ? 0 : PATIENCE)
    for (let at = 0; at < bytes.length; ) {
      try {
        at += writeSync(this.#fd, bytes, at)
        deadline = performance.now() + PATIENCE
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || performance.now() > deadline) throw error
        Atomics.wait(sleeper, 0, 0, PAUSE)
      }
    }
  }
}
