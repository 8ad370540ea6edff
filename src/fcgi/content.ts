/**
 * The content of neighbouring records of one stream, copied out of what was read: one piece, however many records it came
 * in (nginx sends a body in records of 8 to 32 KiB), and without their headers and padding in between. To hand over what was
 * read itself, and to read on into another buffer, costs more than the copy.
 */

export class Content {
  /** Bytes so far. */
  length = 0
  /** Start and end of each piece, by turns. */
  #bounds: number[] = []

  add(start: number, end: number): void {
    this.#bounds.push(start, end)
    this.length += end - start
  }

  /** All of it, taken from `bytes`; nobody else has it. */
  take(bytes: Buffer): Buffer {
    const content = Buffer.allocUnsafe(this.length)
    const bounds = this.#bounds
    let at = 0
    for (let i = 0; i < bounds.length; i += 2) at += bytes.copy(content, at, bounds[i], bounds[i + 1])
    this.#bounds = []
    this.length = 0
    return content
  }
}
