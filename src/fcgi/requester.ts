/**
 * The web server's side of one FastCGI connection: encodes requests, turns the replies into events. Pure: bytes in,
 * events out; calls in, bytes out. No socket, clock or log.
 *
 * Several requests may be in flight under different ids (§3.3). What a responder may send is enforced strictly, as nginx
 * does: only STDOUT, STDERR and END_REQUEST for an id in flight, and the two management replies (§4).
 */

import { KEEP_CONN, NULL_REQUEST_ID, RecordType, type Role, STREAM_CONTENT_LENGTH } from './constants.ts'
import { ProtocolError } from './errors.ts'
import { decodePairs, encodePairs } from './pairs.ts'
import { RecordParser, type RecordSink } from './parser.ts'
import { beginRequest, padding, paddingFor, record, recordHeader, streamEnd } from './record.ts'

export type RequesterEvent =
  /** Bytes of the reply, uncopied; never empty. */
  | { readonly type: 'stdout'; readonly id: number; readonly chunk: Buffer }
  /** The responder closed STDOUT: nothing but STDERR and END_REQUEST should follow. */
  | { readonly type: 'stdout-end'; readonly id: number }
  /** Text for the error log, uncopied; never empty. */
  | { readonly type: 'stderr'; readonly id: number; readonly chunk: Buffer }
  /** The request is over and its id is free. `protocolStatus` is as sent: it may be none of `ProtocolStatus`. */
  | { readonly type: 'end'; readonly id: number; readonly appStatus: number; readonly protocolStatus: number }
  /** The answer to FCGI_GET_VALUES. */
  | { readonly type: 'values'; readonly names: readonly string[]; readonly values: readonly string[] }
  /** The responder does not know a management record type that was sent to it. */
  | { readonly type: 'unknown-type'; readonly recordType: number }

export interface RequestStart {
  readonly role: Role
  /** Leave the connection open after the reply. */
  readonly keepConn: boolean
  /** The CGI variables in order; no character above 0xff. */
  readonly params: Iterable<readonly [name: string, value: string]>
}

/** What is to be written to the socket, in order. In a string each character is one byte: write it as latin1. */
export type WireChunk = string | Uint8Array

/** A stream's content as records, and the record that ends the stream. */
function wholeStream(type: number, id: number, content: string): string {
  let text = ''
  for (let at = 0; at < content.length; at += STREAM_CONTENT_LENGTH) {
    text += record(type, id, content.slice(at, at + STREAM_CONTENT_LENGTH))
  }
  return text + streamEnd(type, id)
}

interface OpenRequest {
  stdinEnded: boolean
}

export class Requester {
  readonly #emit: (event: RequesterEvent) => void
  readonly #parser: RecordParser
  readonly #open = new Map<number, OpenRequest>()

  /** `emit` is called from within `receive`, once for each event, in order. */
  constructor(emit: (event: RequesterEvent) => void) {
    this.#emit = emit
    const sink: RecordSink = {
      onStream: (type, id, bytes, start, end) => this.#onStream(type, id, bytes, start, end),
      onRecord: (type, id, bytes, start, end) => this.#onRecord(type, id, bytes.subarray(start, end)),
    }
    this.#parser = new RecordParser(sink)
  }

  /** Requests whose END_REQUEST has not come. */
  get inFlight(): number {
    return this.#open.size
  }

  /** True when nothing is in flight and no record is half read: the connection can carry the next request. */
  get idle(): boolean {
    return this.#open.size === 0 && this.#parser.atBoundary
  }

  /**
   * Starts a request: FCGI_BEGIN_REQUEST and the whole of FCGI_PARAMS. Its FCGI_STDIN is open until `stdinEnd`.
   * @throws RangeError if `id` is in flight or not 1 to 65,535
   */
  begin(id: number, { role, keepConn, params }: RequestStart): string {
    if (!Number.isInteger(id) || id < 1 || id > 0xffff) throw new RangeError(`request id ${id} is not 1 to 65535`)
    if (this.#open.has(id)) throw new RangeError(`request id ${id} is in flight`)
    this.#open.set(id, { stdinEnded: false })
    return beginRequest(id, role, keepConn ? KEEP_CONN : 0) + wholeStream(RecordType.params, id, encodePairs(params))
  }

  /**
   * Body bytes, uncopied, in records of at most 65,528 bytes. Nothing to write if the chunk is empty (an empty record
   * would end the stream), after `stdinEnd`, and when the responder has already ended the request.
   */
  stdin(id: number, chunk: Uint8Array): WireChunk[] {
    const chunks: WireChunk[] = []
    if (this.#open.get(id)?.stdinEnded !== false) return chunks
    for (let at = 0; at < chunk.length; at += STREAM_CONTENT_LENGTH) {
      const content = chunk.subarray(at, at + STREAM_CONTENT_LENGTH)
      const pad = paddingFor(content.length)
      chunks.push(recordHeader(RecordType.stdin, id, content.length, pad), content)
      if (pad > 0) chunks.push(padding(pad))
    }
    return chunks
  }

  /** The end of the body; every request needs it once. `''` in the cases in which `stdin` gives nothing. */
  stdinEnd(id: number): string {
    const request = this.#open.get(id)
    if (request?.stdinEnded !== false) return ''
    request.stdinEnded = true
    return streamEnd(RecordType.stdin, id)
  }

  /** FCGI_ABORT_REQUEST (§5.4). The request stays in flight until its END_REQUEST comes. `''` if it has come. */
  abort(id: number): string {
    return this.#open.has(id) ? record(RecordType.abortRequest, id, '') : ''
  }

  /** FCGI_GET_VALUES (§4.1). */
  getValues(names: Iterable<string>): string {
    const pairs = Array.from(names, name => [name, ''] as const)
    return record(RecordType.getValues, NULL_REQUEST_ID, encodePairs(pairs))
  }

  /**
   * Bytes from the responder, cut anywhere.
   * @throws ProtocolError what was before the error has been emitted; close the connection
   */
  receive(chunk: Buffer): void {
    this.#parser.receive(chunk)
  }

  #onStream(type: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (type !== RecordType.stdout && type !== RecordType.stderr) throw unexpected(type, id)
    if (!this.#open.has(id)) throw unexpected(type, id)
    const stdout = type === RecordType.stdout
    if (start < end) this.#emit({ type: stdout ? 'stdout' : 'stderr', id, chunk: bytes.subarray(start, end) })
    else if (stdout) this.#emit({ type: 'stdout-end', id })
  }

  #onRecord(type: number, id: number, content: Buffer): void {
    switch (type) {
      case RecordType.endRequest:
        if (!this.#open.has(id)) throw unexpected(type, id)
        mustHold8(content, 'FCGI_END_REQUEST')
        this.#open.delete(id)
        this.#emit({ type: 'end', id, appStatus: content.readUInt32BE(0), protocolStatus: content.readUInt8(4) })
        break
      case RecordType.getValuesResult:
        if (id !== NULL_REQUEST_ID) throw unexpected(type, id)
        this.#emit({ type: 'values', ...decodePairs(content) })
        break
      case RecordType.unknownType:
        if (id !== NULL_REQUEST_ID) throw unexpected(type, id)
        mustHold8(content, 'FCGI_UNKNOWN_TYPE')
        this.#emit({ type: 'unknown-type', recordType: content.readUInt8(0) })
        break
      default:
        throw unexpected(type, id)
    }
  }
}

const unexpected = (type: number, id: number): ProtocolError =>
  new ProtocolError(
    'unexpected-record',
    `a record of type ${type} for request ${id}, which a responder may not send now`,
  )

function mustHold8(content: Buffer, what: string): void {
  if (content.length !== 8) throw new ProtocolError('body-length', `${what} of ${content.length} bytes, not 8`)
}
