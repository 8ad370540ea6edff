/** The content of a stream that is decoded when it is complete, as it came: in one piece, most of the time. */

import { LateParams } from './late-params.ts'
import { decodePairs, type Params } from './pairs.ts'

export class Pieces {
  /** Bytes so far. */
  length = 0
  /** Some of it was too much, and all of it is dropped. */
  overflowed = false
  /** Where they are, from `start` on: in the chunk they came in, or in a buffer of our own that grows by doubling. */
  #bytes: Buffer | null = null
  #start = 0
  #own = false

  add(bytes: Buffer, start: number, end: number): void {
    if (this.overflowed) return
    if (this.#bytes === null) {
      this.#bytes = bytes
      this.#start = start
    } else {
      this.#reserve(this.length + end - start)
      bytes.copy(this.#bytes, this.length, start, end)
    }
    this.length += end - start
  }

  /** The chunk that the bytes came in will be used again: copies them, unless that was done. */
  keep(): void {
    if (this.#bytes !== null) this.#reserve(this.length)
  }

  /** Drops everything, now and from now on. */
  overflow(): void {
    this.overflowed = true
    this.#bytes = null
  }

  /** The name-value pairs, decoded now or late; the bytes are not kept. @throws ProtocolError `pair-overrun` */
  decode(late = false): Params {
    const bytes = this.#bytes ?? NOTHING
    const [start, end] = [this.#start, this.#start + this.length]
    this.#bytes = null
    return late ? new LateParams(bytes.toString('latin1', start, end)) : decodePairs(bytes, start, end)
  }

  #reserve(length: number): void {
    const bytes = this.#bytes as Buffer
    if (this.#own && length <= bytes.length) return
    this.#bytes = Buffer.allocUnsafe(Math.max(2 * length, 1_024))
    bytes.copy(this.#bytes, 0, this.#start, this.#start + this.length)
    this.#start = 0
    this.#own = true
  }
}

const NOTHING = Buffer.alloc(0)
