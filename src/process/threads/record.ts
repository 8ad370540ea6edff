/**
 * What travels through a channel between two threads (channel.ts): a record of a ring (ring.ts) whose payload is a
 * text, one character a byte, and then content. A payload that is too long for the ring is attached: it goes by message,
 * and its copy is then the receiver's to keep.
 */

import type { RingReader } from './ring.ts'

/** Added to the kind of a record whose payload is attached. */
export const ATTACHED = 0x100

/** Content up to this length is given out as text, which is cheaper to join and to write. */
const SHORT = 4_096

/** A record as it is received. What it tells holds until the receiver returns. */
export interface Received {
  readonly kind: number
  readonly id: number
  readonly code: number
  readonly amount: number
  /** Where the payload is. */
  readonly bytes: Buffer
  readonly start: number
  readonly end: number
  /** The first part of the payload, one character a byte. */
  text(): string
  /** The second part: one character a byte, or bytes that are the receiver's to keep. */
  content(): string | Buffer
  /** All of it, as bytes that are the receiver's to keep. */
  chunk(): Buffer
}

/** The record that a reader is at. */
export class ReceivedRecord implements Received {
  /** The payload, if it was attached. */
  attachment: Buffer | null = null
  readonly #reader: RingReader

  constructor(reader: RingReader) {
    this.#reader = reader
  }

  get attached(): boolean {
    return (this.#reader.kind & ATTACHED) !== 0
  }

  get kind(): number {
    return this.#reader.kind & ~ATTACHED
  }

  get id(): number {
    return this.#reader.id
  }

  get code(): number {
    return this.#reader.code
  }

  get amount(): number {
    return this.#reader.amount
  }

  get bytes(): Buffer {
    return this.attachment ?? this.#reader.bytes
  }

  get start(): number {
    return this.attachment === null ? this.#reader.start : 0
  }

  get end(): number {
    return this.attachment === null ? this.#reader.start + this.#reader.length : this.attachment.length
  }

  text(): string {
    return this.bytes.toString('latin1', this.start, this.start + this.#reader.split)
  }

  content(): string | Buffer {
    const [start, end] = [this.start + this.#reader.split, this.end]
    return end - start < SHORT ? this.bytes.toString('latin1', start, end) : this.#own(start, end)
  }

  chunk(): Buffer {
    return this.#own(this.start, this.end)
  }

  #own(start: number, end: number): Buffer {
    const part = this.bytes.subarray(start, end)
    return this.attachment === null ? Buffer.from(part) : part
  }
}

/** Writes a payload. */
export function fill(bytes: Buffer, at: number, text: string, content: string | Uint8Array, utf8: boolean): void {
  if (typeof content === 'string' && !utf8) bytes.write(text + content, at, 'latin1')
  else {
    if (text !== '') bytes.write(text, at, 'latin1')
    if (typeof content === 'string') bytes.write(content, at + text.length)
    else bytes.set(content, at + text.length)
  }
}
