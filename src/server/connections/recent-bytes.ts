/** What a connection has received since it was idle last, so that somebody else can begin its request anew. */

import type { Connection } from '../../fcgi/connection.ts'

/** Requests up to this many bytes can be begun anew elsewhere; larger ones wait where they are. */
const MOST_BYTES = 65_536

export class RecentBytes {
  #pieces: Buffer[] = []
  #length = 0
  #askedBefore = 0

  /** Bytes that `core` has not received yet; they are copied. */
  add(core: Connection, bytes: Buffer): void {
    if (core.idle) {
      this.#pieces = []
      this.#length = 0
      this.#askedBefore = core.asked
    }
    this.#length += bytes.length
    if (this.#length <= MOST_BYTES) this.#pieces.push(Buffer.from(bytes))
    else this.#pieces = []
  }

  /** They are of no use any more: the request is answered. */
  forget(): void {
    this.#pieces = []
    this.#length = MOST_BYTES + 1
  }

  /** All of them, if one request is all that the peer has asked for since. */
  ofOneRequest(core: Connection): Buffer | undefined {
    if (this.#length > MOST_BYTES || core.asked !== this.#askedBefore + 1) return undefined
    return Buffer.concat(this.#pieces)
  }
}
