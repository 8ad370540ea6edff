/**
 * The responder's side of one FastCGI connection, as a state machine: bytes in, events out; replies in, bytes out.
 *
 * Knows which requests are open and what may be said about them (FastCGI 1.0 §3.3 to §5.5); where the specification is
 * silent it does what is written beside each case. Knows no socket, clock, logger, HTTP or application.
 *
 * A request's life, by the two sides that must both end it:
 *
 *   peer:  begun ──PARAMS end──▶ announced ──STDIN end──▶ (stdinEnded)
 *   us:                          end() ──▶ (ended: END_REQUEST written)
 *
 * It is forgotten when both have ended, when the peer begins another with its id after END_REQUEST (§3.3), or on abort.
 */

import { KEEP_CONN, NULL_REQUEST_ID, ProtocolStatus, RecordType, Role } from './constants.ts'
import { Content } from './content.ts'
import { ProtocolError } from './errors.ts'
import type { ConnectionEvent } from './events.ts'
import { Few } from './few.ts'
import type { ConnectionLimits } from './limits.ts'
import { answerTo } from './management.ts'
import { Output } from './output.ts'
import { RecordParser, type RecordSink } from './parser.ts'
import { endRequest, stderrEnd, streamEnd, success } from './record.ts'
import { Request } from './request.ts'

const NOTHING = Buffer.alloc(0)
const NONE: ConnectionEvent[] = []

const isManagement = (type: number): boolean => type >= RecordType.getValues

export class Connection implements RecordSink {
  /** What is to be written to the peer; the caller takes it whenever it likes. */
  readonly out = new Output()
  readonly #limits: ConnectionLimits
  readonly #parser = new RecordParser(this)
  readonly #requests = new Few<number, Request>()
  /**
   * None of its own between two requests: an array that idle connections keep is one that V8 takes for long-lived, and
   * allocates where every request hung on it outlives the collections that should have freed it.
   */
  #events: ConnectionEvent[] = NONE
  /** What is being read, and in it the STDIN of `#reader` that is not yet among the events. */
  #bytes: Buffer = NOTHING
  readonly #content = new Content()
  #reader: Request | null = null
  #now = 0
  #closing = false
  #failed = false
  #incomplete = 0
  #inflight = 0
  #asked = 0

  constructor(limits: ConnectionLimits) {
    this.#limits = limits
  }

  /** Requests whose END_REQUEST is still to be written. */
  get inflight(): number {
    return this.#inflight
  }

  /** Requests whose PARAMS have not ended. */
  get incomplete(): number {
    return this.#incomplete
  }

  /** Requests that were answered while the peer is still sending their body. */
  get draining(): number {
    return this.#requests.size - this.#inflight
  }

  /** How often the peer has asked for something so far: requests begun and management records. */
  get asked(): number {
    return this.#asked
  }

  /** True while the peer has more of a body to send. */
  get receivingBody(): boolean {
    for (const request of this.#requests.values()) if (!request.stdinEnded) return true
    return false
  }

  /** True when every request is answered and none may follow: once `out` is written, nothing else ever is. */
  get answered(): boolean {
    return this.#closing && this.#inflight === 0
  }

  /** True when, besides, no body is still to come: close the connection once `out` is written. */
  get finished(): boolean {
    return this.#closing && this.#requests.size === 0
  }

  /** True between requests that may be followed by others: nothing said so far matters to what comes next. */
  get idle(): boolean {
    if (this.#requests.size > 0 || this.out.length > 0) return false
    return this.#parser.atBoundary && !this.#closing && !this.#failed
  }

  /** Nothing that the peer sends counts any more, since a violation. */
  get failed(): boolean {
    return this.#failed
  }

  /**
   * Bytes from the peer, cut anywhere: the first `length` of a buffer, which may be used again afterwards. `now` stamps
   * requests begun in them (any monotonic unit; see `expire`). Never throws: what breaks the protocol is the last event.
   */
  receive(bytes: Buffer, now = 0, length = bytes.length): ConnectionEvent[] {
    if (this.#failed) return []
    this.#now = now
    this.#bytes = bytes
    try {
      this.#parser.receive(bytes, length)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#failed = true
      this.#tell({ type: 'violation', error })
    }
    this.#tellContent()
    this.#bytes = NOTHING
    if (this.#incomplete > 0) for (const request of this.#requests.values()) request.params.keep()
    return this.#takeEvents()
  }

  /**
   * The peer will send nothing more. Requests that arrived whole are still to be answered (a peer may close its sending
   * side only); those cut off are aborted.
   */
  receiveEnd(): ConnectionEvent[] {
    this.#closing = true
    for (const request of this.#requests.values()) {
      if (request.whole) continue
      if (request.announced && !request.ended) this.#tell({ type: 'abort', request })
      this.#forget(request)
    }
    return this.#takeEvents()
  }

  /** Refuses the requests begun before `time` whose PARAMS have still not ended. */
  expire(time: number): ConnectionEvent[] {
    if (this.#incomplete > 0) {
      for (const request of this.#requests.values()) {
        if (!request.announced && !request.ended && request.begun < time) {
          this.#tell({ type: 'refused', request, reason: 'params-too-slow' })
        }
      }
    }
    return this.#takeEvents()
  }

  /** No request is to follow the ones that are open, whatever the peer asked for. */
  close(): void {
    this.#closing = true
  }

  /** STDOUT: text is one character a byte; bytes are not copied. Ignored after the end of the request. */
  stdout(request: Request, content: string | Uint8Array): void {
    if (request.ended || content.length === 0) return
    request.stdoutUsed = true
    this.out.stream(RecordType.stdout, request.id, content)
  }

  /** STDERR, likewise. Always padded: HAProxy 2.6 crashes on an FCGI_STDERR record without padding. */
  stderr(request: Request, content: string | Uint8Array): void {
    if (request.ended || request.stderrEnded || content.length === 0) return
    request.stderrUsed = true
    this.out.stream(RecordType.stderr, request.id, content)
  }

  /**
   * Writes something that means nothing: the end of STDERR, whose later content is dropped. A peer that is gone answers
   * with a reset, which is how a closed connection can be told from one of which only the sending side is closed.
   */
  probe(request: Request): void {
    if (request.ended) return
    request.stderrEnded = true
    this.out.text(stderrEnd(request.id))
  }

  /** Ends the streams that were used and writes the one END_REQUEST; later calls are ignored. */
  end(request: Request, appStatus = 0): void {
    if (request.ended) return
    const { id } = request
    const protocolStatus = request.unknownRole ? ProtocolStatus.unknownRole : ProtocolStatus.requestComplete
    if (appStatus === 0 && protocolStatus === 0 && request.stdoutUsed && !request.stderrUsed) this.out.text(success(id))
    else
      this.out.text(
        (request.stdoutUsed ? streamEnd(RecordType.stdout, id) : '') +
          (request.stderrUsed && !request.stderrEnded ? stderrEnd(id) : '') +
          endRequest(id, appStatus, protocolStatus),
      )
    this.#markEnded(request)
  }

  /** @internal for the parser */
  onStream(type: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (id === NULL_REQUEST_ID) throw new ProtocolError('request-id', `record of type ${type} without a request id`)
    const request = this.#requests.get(id)
    // Records for ids that are not active are ignored (§3.3): they were on their way when the request ended.
    if (request === undefined) return
    if (type === RecordType.params) this.#params(request, bytes, start, end)
    else if (type === RecordType.stdin) this.#stdin(request, start, end)
  }

  /** @internal for the parser */
  onRecord(type: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (id === NULL_REQUEST_ID) {
      if (type === RecordType.beginRequest || type === RecordType.abortRequest || type === RecordType.endRequest)
        throw new ProtocolError('request-id', `record of type ${type} without a request id`)
      this.#asked++
      this.out.text(answerTo(type, bytes, start, end, this.#limits))
    } else if (type === RecordType.beginRequest) this.#begin(id, bytes, start, end)
    else if (type === RecordType.abortRequest) this.#abort(id)
    else if (isManagement(type) && type <= RecordType.unknownType)
      throw new ProtocolError('request-id', `management record of type ${type} with request id ${id}`)
    // Anything else is an application record type from a later version of the protocol: ignored.
  }

  #takeEvents(): ConnectionEvent[] {
    const events = this.#events
    this.#events = NONE
    return events
  }

  #begin(id: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 8) throw new ProtocolError('body-length', `FCGI_BEGIN_REQUEST of ${end - start} bytes, not 8`)
    const former = this.#requests.get(id)
    if (former !== undefined) {
      if (!former.ended) throw new ProtocolError('id-in-use', `FCGI_BEGIN_REQUEST for id ${id}, which is in use`)
      this.#forget(former)
    }
    const role = ((bytes[start] as number) << 8) | (bytes[start + 1] as number)
    const request = new Request(id, role, ((bytes[start + 2] as number) & KEEP_CONN) !== 0, this.#now)
    this.#asked++
    if (!request.keepConn) this.#closing = true
    this.#requests.set(id, request)
    this.#inflight++
    this.#incomplete++
    if (role !== Role.responder && !(request.authorizer && this.#limits.authorizer)) this.#refuseRole(request)
    else if (this.#incomplete > this.#limits.maxIncomplete)
      throw new ProtocolError('too-many-incomplete', `more than ${this.#limits.maxIncomplete} requests without PARAMS`)
  }

  /**
   * To lighttpd 1.4.69 an authorizer's reply without a status means yes, whatever END_REQUEST says: whoever gets the event
   * says no.
   */
  #refuseRole(request: Request): void {
    request.unknownRole = true
    if (request.authorizer) this.#tell({ type: 'refused', request, reason: 'unknown-role' })
    else this.end(request)
  }

  #params(request: Request, bytes: Buffer, start: number, end: number): void {
    if (request.announced || request.ended) return
    if (start === end) this.#announce(request)
    else if (request.params.length + end - start <= this.#limits.maxParamsSize) request.params.add(bytes, start, end)
    else request.params.overflow()
  }

  #announce(request: Request): void {
    request.announced = true
    this.#incomplete--
    if (request.unknownRole) return
    if (request.params.overflowed) this.#tell({ type: 'refused', request, reason: 'params-too-large' })
    else if (this.#inflight - this.#incomplete > this.#limits.maxInflight)
      this.#tell({ type: 'refused', request, reason: 'too-many-requests' })
    else this.#tell({ type: 'request', request, params: request.params.decode(this.#limits.late) })
  }

  #stdin(request: Request, start: number, end: number): void {
    if (request.stdinEnded) return
    if (start !== end && !request.announced)
      throw new ProtocolError('stdin-before-params', `FCGI_STDIN for id ${request.id} before the end of FCGI_PARAMS`)
    if (start === end) {
      request.stdinEnded = true
      if (request.ended) this.#forget(request)
      else if (request.authorizer) return
      else if (request.announced && request.stdinBytes > 0) this.#tell({ type: 'stdinEnd', request })
      else if (request.announced) this.#bodylessEnd(request)
    } else {
      request.stdinBytes += end - start
      if (request.ended || request.authorizer) return
      if (request !== this.#reader) this.#tellContent()
      this.#reader = request
      this.#content.add(start, end)
    }
  }

  #tell(event: ConnectionEvent): void {
    this.#tellContent()
    this.#add(event)
  }

  #tellContent(): void {
    const request = this.#reader
    if (request === null) return
    this.#reader = null
    this.#add({ type: 'stdin', request, chunk: this.#content.take(this.#bytes) })
  }

  #add(event: ConnectionEvent): void {
    if (this.#events === NONE) this.#events = [event]
    else this.#events.push(event)
  }

  /** The request itself may still be among the events not yet taken: then `bodyless` tells, and no event is needed. */
  #bodylessEnd(request: Request): void {
    for (const event of this.#events) if (event.type === 'request' && event.request === request) return
    this.#tell({ type: 'stdinEnd', request })
  }

  #abort(id: number): void {
    const request = this.#requests.get(id)
    if (request === undefined) return
    if (!request.ended) {
      const { announced } = request
      this.end(request, 1)
      if (announced) this.#tell({ type: 'abort', request })
    }
    this.#forget(request)
  }

  #markEnded(request: Request): void {
    request.ended = true
    this.#inflight--
    if (!request.announced) {
      this.#incomplete--
      request.announced = true
      request.params.overflow()
    }
    // A peer that sends no STDIN at all cannot be waited for, unless it closes the connection anyway.
    if (request.stdinEnded || (request.authorizer && request.keepConn)) this.#forget(request)
  }

  #forget(request: Request): void {
    if (!request.ended) {
      request.ended = true
      this.#inflight--
      if (!request.announced) this.#incomplete--
    }
    if (this.#requests.get(request.id) === request) this.#requests.delete(request.id)
  }
}
