/**
 * What is to be written to the peer, in order: text (one character a byte) and bytes.
 *
 * Neighbouring texts are joined, so that the records of a small reply become one string and one write. What is long is
 * never copied; it goes between the texts of its records.
 */

import { HEADER_LENGTH, RecordType, STREAM_CONTENT_LENGTH } from './constants.ts'
import { padding, paddingFor, recordHeader } from './record.ts'

/** Text of this length costs more to join than to write by itself. */
const LONG_TEXT = 16_384

/** Fewer bytes than these cost more by themselves than as text that is joined. */
const FEW_BYTES = 4_096

/** One character a byte. */
export const asText = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')

/** An array of its own only while it has something: see `Connection` for what those of idle connections would cost. */
const NONE: (string | Uint8Array)[] = []

export class Output {
  #parts: (string | Uint8Array)[] = NONE
  #text = ''
  /** Bytes waiting. */
  length = 0

  text(text: string): void {
    this.#text += text
    this.length += text.length
  }

  /** Content of a stream in as many records as it takes. Padded where that is needed, and always if it is STDERR. */
  stream(type: number, id: number, content: string | Uint8Array): void {
    if (content.length <= STREAM_CONTENT_LENGTH) {
      this.#record(type, id, content)
      return
    }
    for (let at = 0; at < content.length; at += STREAM_CONTENT_LENGTH) {
      const end = Math.min(at + STREAM_CONTENT_LENGTH, content.length)
      this.#record(type, id, typeof content === 'string' ? content.substring(at, end) : content.subarray(at, end))
    }
  }

  /** Everything so far, if it is one text; it is taken. Undefined if there is more than that (`take` it). */
  takeText(): string | undefined {
    if (this.#parts !== NONE) return undefined
    const text = this.#text
    this.#text = ''
    this.length = 0
    return text
  }

  /** Everything so far; it is taken. */
  take(): (string | Uint8Array)[] {
    if (this.#text !== '') this.#part(this.#text)
    const parts = this.#parts
    this.#parts = NONE
    this.#text = ''
    this.length = 0
    return parts
  }

  #record(type: number, id: number, content: string | Uint8Array): void {
    const { length } = content
    // HAProxy 2.6 crashes on an FCGI_STDERR record without padding.
    const pad = paddingFor(length) || (type === RecordType.stderr ? 8 : 0)
    const header = recordHeader(type, id, length, pad)
    if (typeof content === 'string' ? length < LONG_TEXT : length < FEW_BYTES) {
      this.text(header + (typeof content === 'string' ? content : asText(content)) + padding(pad))
      return
    }
    this.#part(this.#text + header)
    this.#part(content)
    this.#text = padding(pad)
    this.length += HEADER_LENGTH + length + pad
  }

  #part(part: string | Uint8Array): void {
    if (this.#parts === NONE) this.#parts = [part]
    else this.#parts.push(part)
  }
}
