/**
 * One socket to a FastCGI responder, carrying one request at a time. Knows sockets and the requester core; nothing of HTTP.
 */

import net from 'node:net'
import { Role } from '../fcgi/constants.ts'
import { ProtocolError } from '../fcgi/errors.ts'
import { Requester, type RequesterEvent, type WireChunk } from '../fcgi/requester.ts'
import type { Entry } from './params.ts'
import { formatTarget, type Target } from './target.ts'

export type ConnectionErrorCode =
  /** The connection could not be made. `cause` has the errno. */
  | 'connect'
  /** The responder closed or reset the connection before it ended the request. */
  | 'closed'
  /** What came is not FastCGI. `cause` is the ProtocolError. */
  | 'protocol'

export class ConnectionError extends Error {
  override readonly name = 'ConnectionError'
  readonly code: ConnectionErrorCode
  /** The errno of the system, such as `ECONNREFUSED`; `''` if there is none. */
  readonly errno: string

  constructor(code: ConnectionErrorCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
    this.errno = errnoOf(cause)
  }
}

const errnoOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''

/** What a person can do about it, by errno. */
const CONNECT_REASONS: ReadonlyMap<string, string> = new Map([
  ['ECONNREFUSED', 'connection refused (nobody listens there)'],
  ['ENOENT', 'no such file (is the server started?)'],
  ['EACCES', 'permission denied (connecting needs write permission on the socket)'],
  ['EAGAIN', 'its queue of waiting connections is full'],
  ['ENOTSOCK', 'it is not a socket'],
  ['ENOTFOUND', 'no such host'],
])

function connectError(target: Target, cause: unknown): ConnectionError {
  const reason = CONNECT_REASONS.get(errnoOf(cause)) ?? (cause instanceof Error ? cause.message : String(cause))
  return new ConnectionError('connect', `cannot connect to ${formatTarget(target)}: ${reason}`, cause)
}

/** Called while a request is on the connection; after `onEnd` or `onFailure`, of which exactly one comes, nothing is. */
export interface ReplyListener {
  /** The connection stands: body bytes may be written. Comes from within `start` if it stood before. */
  onConnected(): void
  onStdout(chunk: Buffer): void
  onStdoutEnd?(): void
  onStderr(chunk: Buffer): void
  /** Everything that arrived together has been handed over, and the request has not ended. */
  onBatchEnd(): void
  /** After `write` returned false: more can be written. */
  onDrain(): void
  /** END_REQUEST: the connection can be given back. */
  onEnd(appStatus: number, protocolStatus: number): void
  onFailure(error: ConnectionError): void
}

const REQUEST_ID = 1

export interface RequestInit {
  readonly params: Iterable<Entry>
  /** False: FCGI_STDIN is ended in the same write that begins the request. */
  readonly hasBody: boolean
  readonly keepConn: boolean
  readonly role?: Role
}

export class Connection {
  readonly target: Target
  /** Requests started on it so far. */
  requests = 0
  /** Called once, when the connection stands. */
  onConnected: () => void = () => {}
  /** Called once, when the connection is gone for whatever reason, or could not be made. */
  onClosed: () => void = () => {}
  readonly #socket: net.Socket
  readonly #requester = new Requester(event => this.#dispatch(event))
  #listener: ReplyListener | null = null
  #connected = false
  #bodyEnded = true
  #end: Extract<RequesterEvent, { type: 'end' }> | null = null
  #cause: unknown
  /** The first bytes of the reply, to say what it is if it is not FastCGI. */
  #first = ''

  constructor(target: Target) {
    this.target = target
    const to = target.kind === 'unix' ? { path: target.path } : { host: target.host, port: target.port }
    this.#socket = net.connect({ ...to, noDelay: true })
    this.#socket.on('connect', () => this.#onConnect())
    this.#socket.on('data', chunk => this.#onData(chunk))
    this.#socket.on('end', () => this.destroy())
    this.#socket.on('drain', () => this.#listener?.onDrain())
    this.#socket.on('timeout', () => this.destroy())
    this.#socket.on('error', error => {
      this.#cause = error
    })
    this.#socket.on('close', () => this.#onClose())
  }

  /** True if another request may be started now: the last one ended cleanly, in both directions. */
  get reusable(): boolean {
    return (
      this.#connected && !this.#socket.destroyed && this.#listener === null && this.#bodyEnded && this.#requester.idle
    )
  }

  start(listener: ReplyListener, { params, hasBody, keepConn, role = Role.responder }: RequestInit): void {
    this.#listener = listener
    this.#bodyEnded = !hasBody
    this.#first = ''
    this.requests++
    let text = this.#requester.begin(REQUEST_ID, { role, keepConn, params })
    if (!hasBody) text += this.#requester.stdinEnd(REQUEST_ID)
    this.#socket.write(text, 'latin1')
    if (this.#connected) listener.onConnected()
  }

  /** Body bytes, which must not change until they are sent. False: wait for `onDrain`. */
  write(chunk: Uint8Array): boolean {
    return this.#send(this.#requester.stdin(REQUEST_ID, chunk))
  }

  /** The end of the body. */
  endBody(): void {
    this.#bodyEnded = true
    this.#send([this.#requester.stdinEnd(REQUEST_ID)])
  }

  /** Stops reading the reply; the responder feels it. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Closes the connection if nothing comes for that long; 0 for no limit. */
  setTimeout(ms: number): void {
    this.#socket.setTimeout(ms)
  }

  /** Drops the connection, which is how web servers abort a request. The listener is not called any more. */
  abandon(): void {
    this.#listener = null
    this.destroy()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #send(chunks: readonly WireChunk[]): boolean {
    this.#socket.cork()
    for (const chunk of chunks) {
      if (typeof chunk === 'string') this.#socket.write(chunk, 'latin1')
      else this.#socket.write(chunk)
    }
    this.#socket.uncork()
    return !this.#socket.writableNeedDrain
  }

  #onConnect(): void {
    this.#connected = true
    this.onConnected()
    this.#listener?.onConnected()
  }

  #onData(chunk: Buffer): void {
    const listener = this.#listener
    if (listener !== null && this.#first.length < 40) this.#first += chunk.toString('latin1', 0, 40)
    try {
      this.#requester.receive(chunk)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#cause = error
      this.destroy()
    }
    // Told only now: what follows END_REQUEST in the same chunk decides whether the connection can be used again.
    const end = this.#end
    this.#end = null
    if (listener === null || this.#listener !== listener) return
    if (end === null) listener.onBatchEnd()
    else {
      this.#listener = null
      listener.onEnd(end.appStatus, end.protocolStatus)
    }
  }

  #dispatch(event: RequesterEvent): void {
    const listener = this.#listener
    if (listener === null) return
    switch (event.type) {
      case 'stdout':
        listener.onStdout(event.chunk)
        break
      case 'stdout-end':
        listener.onStdoutEnd?.()
        break
      case 'stderr':
        listener.onStderr(event.chunk)
        break
      case 'end':
        this.#end = event
        break
      case 'values':
      case 'unknown-type':
        // Answers to questions that were not asked: harmless.
        break
      default:
        event satisfies never
    }
  }

  #onClose(): void {
    const listener = this.#listener
    this.#listener = null
    this.onClosed()
    listener?.onFailure(this.#failure())
  }

  #failure(): ConnectionError {
    const where = formatTarget(this.target)
    if (this.#cause instanceof ProtocolError) return this.#protocolFailure(where, this.#cause)
    if (!this.#connected) return connectError(this.target, this.#cause)
    const how = errnoOf(this.#cause)
    const when = this.#first === '' ? 'without a reply' : 'before the reply was complete'
    const suffix = how === '' ? '' : ` (${how})`
    return new ConnectionError('closed', `${where} closed the connection ${when}${suffix}`, this.#cause)
  }

  #protocolFailure(where: string, cause: ProtocolError): ConnectionError {
    const said = JSON.stringify(this.#first.slice(0, 40))
    const what = cause.code === 'version' ? `it began with ${said}` : cause.message
    return new ConnectionError('protocol', `${where} answers, but not in FastCGI: ${what}`, cause)
  }
}
