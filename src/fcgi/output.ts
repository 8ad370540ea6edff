/**
 * What is to be written to the peer, in order: text (one character a byte) and bytes.
 *
 * Neighbouring texts are joined, so that the records of a small reply become one string and one write. Bytes are never
 * copied; they go between the texts of their records.
 */
export class Output {
  #parts: (string | Uint8Array)[] = []
  #text = ''
  /** Bytes waiting. */
  length = 0

  text(text: string): void {
    this.#text += text
    this.length += text.length
  }

  bytes(bytes: Uint8Array): void {
    if (this.#text !== '') {
      this.#parts.push(this.#text)
      this.#text = ''
    }
    this.#parts.push(bytes)
    this.length += bytes.length
  }

  /** Everything so far, if it is one text; it is taken. Undefined if there are bytes among it (`take` them). */
  takeText(): string | undefined {
    if (this.#parts.length > 0) return undefined
    const text = this.#text
    this.#text = ''
    this.length = 0
    return text
  }

  /** Everything so far; it is taken. */
  take(): (string | Uint8Array)[] {
    const parts = this.#parts
    if (this.#text !== '') parts.push(this.#text)
    this.#parts = []
    this.#text = ''
    this.length = 0
    return parts
  }
}
