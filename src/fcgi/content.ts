/**
 * The content of neighbouring records of one stream, taken out of what was read: without the headers and padding in between.
 *
 * Much of it in few pieces is passed on as it lies there, since to copy a body costs as much as to read it. Otherwise all
 * is copied into one piece, however many records it came in: a web server may send a body in records of 8 KiB.
 */

/** What is passed on uncopied fills so much of the buffer at least: little must not keep much alive. */
const FILLED = 3 / 4

/** In pieces no smaller than this on average: each costs its reader as much as to copy 10 KiB. */
const MIN_PIECE = 12_288

export class Content {
  /** Bytes so far. */
  length = 0
  /** Start and end of each piece, by turns. */
  #bounds: number[] = []

  add(start: number, end: number): void {
    this.#bounds.push(start, end)
    this.length += end - start
  }

  /** Whether it is better passed on as it lies in `bytes`, which then must not be used again. */
  fills(bytes: Buffer): boolean {
    return this.length >= bytes.length * FILLED && this.length >= (this.#bounds.length / 2) * MIN_PIECE
  }

  /** The pieces as they lie in `bytes`. */
  takeViews(bytes: Buffer): Buffer[] {
    const bounds = this.#clear()
    return Array.from({ length: bounds.length / 2 }, (_, i) => bytes.subarray(bounds[2 * i], bounds[2 * i + 1]))
  }

  /** All of it, copied from `bytes`. */
  takeCopy(bytes: Buffer): Buffer {
    const content = Buffer.allocUnsafe(this.length)
    const bounds = this.#clear()
    let at = 0
    for (let i = 0; i < bounds.length; i += 2) at += bytes.copy(content, at, bounds[i], bounds[i + 1])
    return content
  }

  #clear(): readonly number[] {
    const bounds = this.#bounds
    this.#bounds = []
    this.length = 0
    return bounds
  }
}
