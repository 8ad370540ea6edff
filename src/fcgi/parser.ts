/**
 * Cuts a byte stream into records (FastCGI 1.0 §3.3), wherever the network cut it.
 *
 * Knows headers, lengths and padding; nothing of requests. The content of stream records (PARAMS, STDIN, STDOUT, STDERR,
 * DATA) is passed on in the pieces in which it arrives, uncopied; that of all others is handed over whole.
 */

import { HEADER_LENGTH, RecordType, VERSION_1 } from './constants.ts'
import { ProtocolError } from './errors.ts'

export interface RecordSink {
  /** Bytes `start` to `end` of a stream record. A record without content, the end of its stream, comes as start = end. */
  onStream(type: number, id: number, bytes: Buffer, start: number, end: number): void
  /** The whole content of any other record: bytes `start` to `end`. */
  onRecord(type: number, id: number, bytes: Buffer, start: number, end: number): void
}

const isStream = (type: number): boolean => type >= RecordType.params && type <= RecordType.data

const NOTHING = Buffer.alloc(0)

export class RecordParser {
  #sink: RecordSink
  #type = 0
  #id = 0
  #contentLeft = 0
  /** Padding announced by the header being worked on, and padding now being skipped. */
  #paddingAfter = 0
  #paddingLeft = 0
  /** The part of a header that has arrived so far, or the room for a content of which `filled` bytes have. */
  #partial: Buffer = NOTHING
  #filled = 0
  #inHeader = true

  constructor(sink: RecordSink) {
    this.#sink = sink
  }

  /** True between two records: the peer may stop here without cutting one. */
  get atBoundary(): boolean {
    return this.#inHeader && this.#partial.length === 0 && this.#paddingLeft === 0
  }

  /**
   * The first `end` bytes of a buffer, which may be used again afterwards: nothing of it is kept.
   * @throws ProtocolError `version`; what the sink throws passes through. Not to be called again after an error.
   */
  receive(bytes: Buffer, end = bytes.length): void {
    let at = 0
    while (at < end) {
      if (this.#paddingLeft > 0) {
        const skipped = Math.min(this.#paddingLeft, end - at)
        this.#paddingLeft -= skipped
        at += skipped
      } else if (this.#inHeader) at = this.#takeHeader(bytes, at, end)
      else if (isStream(this.#type)) at = this.#takeStream(bytes, at, end)
      else at = this.#takeWhole(bytes, at, end)
    }
  }

  #takeHeader(bytes: Buffer, at: number, end: number): number {
    const had = this.#partial.length
    if (had === 0 && at + HEADER_LENGTH <= end) {
      this.#begin(bytes, at)
      return this.#afterHeader(bytes, at + HEADER_LENGTH)
    }
    const next = Math.min(at + HEADER_LENGTH - had, end)
    const header = Buffer.concat([this.#partial, bytes.subarray(at, next)])
    // A wrong version is known from the first byte: do not wait for seven more that may never come.
    if (header[0] !== VERSION_1) throw wrongVersion(header[0] as number)
    if (header.length < HEADER_LENGTH) {
      this.#partial = header
      return next
    }
    this.#partial = NOTHING
    this.#begin(header, 0)
    return this.#afterHeader(bytes, next)
  }

  #begin(header: Buffer, at: number): void {
    const version = header[at] as number
    if (version !== VERSION_1) throw wrongVersion(version)
    this.#type = header[at + 1] as number
    this.#id = ((header[at + 2] as number) << 8) | (header[at + 3] as number)
    this.#contentLeft = ((header[at + 4] as number) << 8) | (header[at + 5] as number)
    this.#paddingLeft = 0
    this.#paddingAfter = header[at + 6] as number
    this.#inHeader = false
  }

  #endRecord(): void {
    this.#inHeader = true
    this.#paddingLeft = this.#paddingAfter
  }

  /** A record without content is complete with its header, even if nothing else has arrived. */
  #afterHeader(bytes: Buffer, at: number): number {
    if (this.#contentLeft === 0) {
      this.#endRecord()
      if (isStream(this.#type)) this.#sink.onStream(this.#type, this.#id, bytes, at, at)
      else this.#sink.onRecord(this.#type, this.#id, bytes, at, at)
    }
    return at
  }

  #takeStream(bytes: Buffer, at: number, end: number): number {
    const next = Math.min(at + this.#contentLeft, end)
    this.#contentLeft -= next - at
    if (this.#contentLeft === 0) this.#endRecord()
    this.#sink.onStream(this.#type, this.#id, bytes, at, next)
    return next
  }

  #takeWhole(bytes: Buffer, at: number, end: number): number {
    const next = Math.min(at + this.#contentLeft, end)
    const length = this.#filled + this.#contentLeft
    this.#contentLeft -= next - at
    if (next - at === length) {
      this.#endRecord()
      this.#sink.onRecord(this.#type, this.#id, bytes, at, next)
      return next
    }
    if (this.#filled === 0) this.#partial = Buffer.allocUnsafe(length)
    this.#filled += bytes.copy(this.#partial, this.#filled, at, next)
    if (this.#contentLeft > 0) return next
    const content = this.#partial
    this.#partial = NOTHING
    this.#filled = 0
    this.#endRecord()
    this.#sink.onRecord(this.#type, this.#id, content, 0, length)
    return next
  }
}

const wrongVersion = (version: number): ProtocolError =>
  new ProtocolError('version', `record of version ${version}, not ${VERSION_1}: is the peer speaking FastCGI?`)
