/**
 * Body bytes that have arrived and that the application has not asked for yet: in memory up to a bound, beyond it in a
 * temporary file that has no name.
 *
 * The file is written and read synchronously, as nginx does with its own body files: it is page cache in nearly every
 * case, it keeps the order trivially, and it is reached only when a web server sends a body that nobody reads.
 */

import { randomBytes } from 'node:crypto'
import { closeSync, constants, openSync, readSync, unlinkSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const READ_SIZE = 64 * 1024

export class Spool {
  /** Bytes waiting, in memory and in the file. */
  length = 0
  readonly #memoryLimit: number
  #memory: Buffer[] = []
  #head = 0
  #memoryBytes = 0
  #file = -1
  #readAt = 0
  #writeAt = 0

  constructor(memoryLimit: number) {
    this.#memoryLimit = memoryLimit
  }

  /** Takes a chunk over. @throws the file system's error when the temporary file cannot be written */
  push(chunk: Buffer): void {
    if (this.#file < 0 && this.#memoryBytes + chunk.length <= this.#memoryLimit) {
      // A small piece must not keep alive the whole packet that it came in.
      this.#memory.push(chunk.length < chunk.buffer.byteLength / 8 ? Buffer.from(chunk) : chunk)
      this.#memoryBytes += chunk.length
    } else {
      // Once there is a file everything goes there, until it has been read to its end: the order must hold.
      if (this.#file < 0) this.#file = openUnnamed()
      for (let at = 0; at < chunk.length; )
        at += writeSync(this.#file, chunk, at, chunk.length - at, this.#writeAt + at)
      this.#writeAt += chunk.length
    }
    this.length += chunk.length
  }

  /** The next bytes, or undefined when there are none. */
  shift(): Buffer | undefined {
    const chunk = this.#fromMemory() ?? this.#fromFile()
    if (chunk !== undefined) this.length -= chunk.length
    return chunk
  }

  /** Drops everything. */
  close(): void {
    if (this.#file >= 0) closeSync(this.#file)
    this.#file = -1
    this.#memory = []
    this.#head = 0
    this.#memoryBytes = 0
    this.length = 0
  }

  #fromMemory(): Buffer | undefined {
    const chunk = this.#memory[this.#head]
    if (chunk === undefined) return undefined
    this.#memoryBytes -= chunk.length
    if (++this.#head === this.#memory.length) {
      this.#memory = []
      this.#head = 0
    }
    return chunk
  }

  #fromFile(): Buffer | undefined {
    if (this.#file < 0) return undefined
    const wanted = Math.min(READ_SIZE, this.#writeAt - this.#readAt)
    const chunk = Buffer.allocUnsafeSlow(wanted)
    const read = readSync(this.#file, chunk, 0, wanted, this.#readAt)
    if (read === 0) throw new Error('the temporary file of a request body was cut short')
    this.#readAt += read
    if (this.#readAt === this.#writeAt) {
      closeSync(this.#file)
      this.#file = -1
      this.#readAt = 0
      this.#writeAt = 0
    }
    return chunk.subarray(0, read)
  }
}

/** A file that vanishes with its descriptor, so that nothing is left behind however the process ends. */
function openUnnamed(): number {
  const path = join(tmpdir(), `runfcgi-body-${process.pid}-${randomBytes(8).toString('hex')}`)
  const file = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600)
  unlinkSync(path)
  return file
}
