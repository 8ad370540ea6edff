/**
 * An Exchange in memory: one request for an Application and what came back, without sockets or FastCGI. It keeps the rules
 * of src/app/exchange.ts (nothing is called before `handle` has returned, body bytes come only when asked for, onAbort at
 * most once) and fails loudly when an adapter breaks one.
 */

import { EventEmitter, once } from 'node:events'
import type { AbortReason, Application, Exchange, RequestHandler, RequestRole } from '../../src/app/exchange.ts'
import type { Params } from '../../src/cgi/params.ts'

type Entries = readonly (readonly [string, string])[]

export interface ExchangeInit {
  /** Default `responder`. */
  readonly role?: RequestRole
  /** In place of or, as an object, on top of `plainParams`. */
  readonly params?: Readonly<Record<string, string | undefined>> | Entries
  /** The body, already cut as it arrives; left out: none. `'open'`: the test sends it with `send()` and `sendEnd()`. */
  readonly body?: Buffer | readonly (string | Buffer)[] | 'open'
  /** With true the reader takes nothing until `unstall()`: `write` returns false above `highWaterMark` bytes. */
  readonly stalled?: boolean
  /** Default 64 KiB. */
  readonly highWaterMark?: number
}

export interface Reply {
  readonly status: number
  /** The header block as it was sent, latin1. */
  readonly block: string
  readonly headers: Headers
  readonly body: Buffer
  readonly text: string
  readonly stderr: string
  /** What `Exchange.fail` was called with. */
  readonly failure: unknown
}

/** The CGI variables of `GET /`, as a web server would send them. */
export const plainParams: Readonly<Record<string, string>> = {
  GATEWAY_INTERFACE: 'CGI/1.1',
  SERVER_SOFTWARE: 'test',
  REQUEST_METHOD: 'GET',
  SCRIPT_NAME: '',
  PATH_INFO: '/',
  REQUEST_URI: '/',
  QUERY_STRING: '',
  CONTENT_TYPE: '',
  CONTENT_LENGTH: '',
  SERVER_PROTOCOL: 'HTTP/1.1',
  SERVER_NAME: 'localhost',
  SERVER_ADDR: '127.0.0.1',
  SERVER_PORT: '80',
  REMOTE_ADDR: '127.0.0.1',
  REMOTE_PORT: '50000',
  HTTP_HOST: 'localhost',
}

/** The CGI variables of `target` (percent-encoded path, perhaps with a query) below `mount`. */
export function paramsFor(target: string, method = 'GET', mount = ''): Record<string, string> {
  const [path = '', query = ''] = target.split(/\?(.*)/s)
  return {
    ...plainParams,
    REQUEST_METHOD: method,
    REQUEST_URI: mount + target,
    SCRIPT_NAME: mount,
    PATH_INFO: Buffer.from(decodeURIComponent(path)).toString('latin1'),
    QUERY_STRING: query,
  }
}

/** Emits `'asked'` when body bytes are asked for, `'head'`, `'write'`, `'finished'`. */
export class MemoryExchange extends EventEmitter implements Exchange {
  readonly role: RequestRole
  readonly params: Params
  readonly bodyless: boolean
  aborted = false
  headSent = false

  /** As declared with the head; undefined before it. */
  contentLength: number | undefined
  failure: unknown
  /** The reply is over: ended, failed or aborted. */
  finished = false
  /** The reply ended in the proper way. */
  ended = false
  /** The adapter asks for body bytes. */
  reading = false
  /** Body bytes handed to the adapter. */
  taken = 0

  /** Kept as given until somebody looks: bytes must not change before they were sent, and these are sent last of all. */
  readonly #sent: Uint8Array[][] = []
  #status = 0
  #block = ''
  #held = ''
  #stderr = ''
  #unread = 0
  #blocked = false
  #stalled: boolean
  #handler: RequestHandler | undefined
  #scheduled = false
  readonly #stdin: Buffer[]
  #stdinEnded: boolean
  readonly #highWaterMark: number

  constructor(init: ExchangeInit = {}) {
    super()
    const { role = 'responder', params = plainParams, body, highWaterMark = 65_536, stalled = false } = init
    this.role = role
    const entries = isEntries(params) ? params : definedEntries({ ...plainParams, ...params })
    this.params = { names: entries.map(([name]) => name), values: entries.map(([, value]) => value) }
    this.#highWaterMark = highWaterMark
    this.#stalled = stalled
    this.#stdin = body === undefined || body === 'open' ? [] : Buffer.isBuffer(body) ? [body] : body.map(toBuffer)
    this.#stdinEnded = body !== 'open'
    this.bodyless = this.#stdinEnded && this.#stdin.length === 0
  }

  /** What was handed over, one element for each write on the connection. */
  get writes(): Buffer[] {
    return this.#sent.map(pieces => Buffer.concat(pieces))
  }

  /** Starts the request. */
  run(app: Application): this {
    const handler = app.handle(this)
    this.#handler = handler
    this.#schedule()
    return this
  }

  /** The reply, once it is over. */
  async reply(): Promise<Reply> {
    if (!this.finished) await once(this, 'finished')
    const sent = Buffer.concat(this.writes)
    const body = sent.subarray(this.#block.length)
    const headers = new Headers()
    for (const line of this.#block.split('\r\n').filter(text => text !== '')) {
      const colon = line.indexOf(':')
      if (colon < 1) throw new Error(`not a header line: ${JSON.stringify(line)}`)
      headers.append(line.slice(0, colon), line.slice(colon + 1).trim())
    }
    const { failure } = this
    return {
      status: this.#status,
      block: this.#block,
      headers,
      body,
      text: String(body),
      stderr: this.#stderr,
      failure,
    }
  }

  /** Sends a piece of the body. */
  send(chunk: string | Buffer): void {
    this.#stdin.push(toBuffer(chunk))
    this.#schedule()
  }

  sendEnd(): void {
    this.#stdinEnded = true
    this.#schedule()
  }

  /** The client is gone, or time is up. */
  abort(reason: AbortReason = 'client-gone'): void {
    if (this.finished) return
    this.aborted = true
    this.#finish()
    this.#handler?.onAbort(reason)
  }

  /** The reader takes everything that waits, and whatever comes. */
  unstall(): void {
    this.#stalled = false
    this.#unread = 0
    if (!this.#blocked) return
    this.#blocked = false
    this.#handler?.onDrain()
  }

  resumeStdin(): void {
    this.reading = true
    this.emit('asked')
    this.#schedule()
  }

  pauseStdin(): void {
    this.reading = false
  }

  head(status: number, block: string, contentLength: number): void {
    if (this.finished) return
    if (this.headSent) throw new Error('head() after the head was sent')
    const end = block.indexOf('\r\n\r\n')
    if (!/^Status: /m.test(block) || end < 0) throw new Error(`not a header block: ${JSON.stringify(block)}`)
    this.#status = status
    this.#block = block.slice(0, end + 4)
    this.#held = block
    this.contentLength = contentLength
    this.emit('head')
  }

  flush(): void {
    if (!this.finished && this.#held !== '') this.#deliver(Buffer.alloc(0))
  }

  write(chunk: string | Uint8Array, latin1 = false): boolean {
    if (this.finished) return true
    this.#deliver(encode(chunk, latin1))
    this.#blocked = this.#stalled && this.#unread > this.#highWaterMark
    return !this.#blocked
  }

  end(chunk: string | Uint8Array = '', latin1 = false): void {
    if (this.finished) return
    const last = encode(chunk, latin1)
    if (last.length > 0 || this.#held !== '') this.#deliver(last)
    this.ended = true
    this.#finish()
  }

  refuse(status: number): void {
    if (this.finished) return
    if (!this.headSent) {
      this.head(status, `Status: ${status}\r\n\r\n`, -1)
      this.flush()
    }
    this.#finish()
  }

  fail(error: unknown): void {
    if (this.finished) return
    this.failure = error
    if (!this.headSent) {
      this.head(500, 'Status: 500 Internal Server Error\r\n\r\n', -1)
      this.flush()
    }
    this.#finish()
  }

  stderr(chunk: string | Uint8Array): void {
    this.#stderr += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString()
  }

  #deliver(bytes: Uint8Array): void {
    const head = Buffer.from(this.#held, 'latin1')
    this.#held = ''
    this.headSent = true
    this.#unread += head.length + bytes.length
    this.#sent.push([head, bytes])
    this.emit('write')
  }

  #finish(): void {
    this.finished = true
    this.emit('finished')
  }

  #schedule(): void {
    if (this.#scheduled || this.bodyless) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    const handler = this.#handler
    while (handler !== undefined && this.reading && !this.finished) {
      const chunk = this.#stdin.shift()
      if (chunk === undefined) break
      this.taken += chunk.length
      if (!handler.onStdin(chunk)) this.reading = false
    }
    if (!this.#stdinEnded || this.#stdin.length > 0 || this.finished) return
    this.#stdinEnded = false
    handler?.onStdinEnd()
  }
}

/** Runs one request to its end. */
export function request(app: Application, init: ExchangeInit = {}): Promise<Reply> {
  return new MemoryExchange(init).run(app).reply()
}

function isEntries(params: NonNullable<ExchangeInit['params']>): params is Entries {
  return Array.isArray(params)
}

function toBuffer(chunk: string | Buffer): Buffer {
  return Buffer.from(chunk as string)
}

function encode(chunk: string | Uint8Array, latin1: boolean): Uint8Array {
  return typeof chunk === 'string' ? Buffer.from(chunk, latin1 ? 'latin1' : 'utf8') : chunk
}

function definedEntries(params: Record<string, string | undefined>): Entries {
  return Object.entries(params).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]))
}
