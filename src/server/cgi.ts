/**
 * One request by plain CGI (RFC 3875): variables from the environment, the body on standard input, the reply on standard
 * output. For a web server that starts the program for every request, where nothing better is to be had.
 *
 * The other implementation of the port of src/app/exchange.ts. There is one request, the operating system buffers, and the
 * web server's own limits apply.
 */

import type { Readable, Writable } from 'node:stream'
import type { AbortReason, Application, Exchange, RequestHandler } from '../app/exchange.ts'
import type { Params } from '../cgi/params.ts'
import type { Log } from '../log.ts'
import { page } from './pages.ts'
import { stackOf } from './thrown.ts'

export interface CgiStreams {
  readonly stdin: Readable
  readonly stdout: Writable
  readonly stderr: Writable
}

export interface CgiOptions {
  readonly app: Application
  readonly env: Readonly<NodeJS.ProcessEnv>
  readonly streams: CgiStreams
  readonly log: Log
  /** Show the stack of an application's error to the client. */
  readonly debug: boolean
}

/** A web server that starts a program for a CGI request sets both (RFC 3875 §4.1.4, §4.1.12). */
export const isCgiRequest = (env: Readonly<NodeJS.ProcessEnv>): boolean =>
  env.GATEWAY_INTERFACE !== undefined && env.REQUEST_METHOD !== undefined

/** Answers the request that the environment describes. Resolves to true when the reply was whole and written. */
export function serveCgi(options: CgiOptions): Promise<boolean> {
  return new Promise(settle => new CgiExchange(options, settle).start(options.app))
}

/** Node has read the environment as UTF-8; the port wants one character a byte. */
function paramsOf(env: Readonly<NodeJS.ProcessEnv>): Params {
  const entries = Object.entries(env)
  return {
    names: entries.map(([name]) => name),
    values: entries.map(([, value = '']) => Buffer.from(value).toString('latin1')),
  }
}

class CgiExchange implements Exchange {
  readonly role = 'responder'
  readonly params: Params
  readonly bodyless: boolean
  aborted = false
  headSent = false
  readonly #options: CgiOptions
  readonly #settle: (whole: boolean) => void
  #handler: RequestHandler | null = null
  #head = ''
  #done = false
  /** Body bytes still to come: the end of standard input is not the end of the body (RFC 3875 §4.2). */
  #missing: number
  #reading = false
  #listening = false

  constructor(options: CgiOptions, settle: (whole: boolean) => void) {
    this.#options = options
    this.#settle = settle
    this.params = paramsOf(options.env)
    this.#missing = Math.max(0, Number(options.env.CONTENT_LENGTH) || 0)
    this.bodyless = this.#missing === 0
    options.streams.stdout.on('drain', () => this.#handler?.onDrain())
    options.streams.stdout.on('error', () => this.#abort('client-gone'))
  }

  start(app: Application): void {
    try {
      this.#handler = app.handle(this)
    } catch (error) {
      this.fail(error)
    }
    if (this.#reading) this.#listen()
  }

  resumeStdin(): void {
    if (this.bodyless || this.#done) return
    this.#reading = true
    if (this.#handler !== null) this.#listen()
  }

  pauseStdin(): void {
    this.#reading = false
    if (this.#listening) this.#options.streams.stdin.pause()
  }

  head(_status: number, block: string): void {
    if (!this.headSent) this.#head = block
  }

  flush(): void {
    if (this.#head === '' || this.#done) return
    this.#options.streams.stdout.write(this.#takeHead(), 'latin1')
  }

  write(chunk: string | Uint8Array, latin1 = false): boolean {
    if (this.#done) return false
    this.flush()
    const { stdout } = this.#options.streams
    return typeof chunk === 'string' ? stdout.write(chunk, latin1 ? 'latin1' : 'utf8') : stdout.write(chunk)
  }

  end(chunk: string | Uint8Array = '', latin1 = false): void {
    if (this.#done) return
    if (!this.headSent && this.#head === '') {
      this.fail(new Error('the application ended its reply without a status and headers'))
      return
    }
    if (chunk.length === 0) this.flush()
    else this.write(chunk, latin1)
    this.#finish(true)
  }

  fail(error: unknown): void {
    if (this.#done) return
    const stack = stackOf(error)
    this.#options.log.error({ err: error }, 'the application failed')
    this.refuse(500, this.#options.debug ? stack : '')
  }

  refuse(status: number, details = ''): void {
    if (this.#done) return
    if (!this.headSent) {
      const { block, body } = page(status, details)
      this.#head = block
      this.write(body)
    }
    this.#finish(false)
  }

  stderr(chunk: string | Uint8Array): void {
    this.#options.streams.stderr.write(chunk)
  }

  #takeHead(): string {
    const head = this.#head
    this.#head = ''
    this.headSent = true
    return head
  }

  #listen(): void {
    const { stdin } = this.#options.streams
    if (!this.#listening) {
      this.#listening = true
      stdin.on('data', (chunk: Buffer) => this.#receive(chunk))
      stdin.once('end', () => this.#missing > 0 && this.#abort('client-gone'))
    }
    stdin.resume()
  }

  #receive(chunk: Buffer): void {
    if (this.#done || this.#missing === 0) return
    const bytes = chunk.subarray(0, this.#missing)
    this.#missing -= bytes.length
    if (this.#handler?.onStdin(bytes) === false) this.pauseStdin()
    if (this.#missing > 0) return
    this.#options.streams.stdin.pause()
    this.#handler?.onStdinEnd()
  }

  #abort(reason: AbortReason): void {
    if (this.#done) return
    this.aborted = true
    this.#finish(false)
    this.#handler?.onAbort(reason)
  }

  #finish(whole: boolean): void {
    this.#done = true
    this.pauseStdin()
    const { stdout } = this.#options.streams
    if (stdout.destroyed) this.#settle(false)
    else stdout.write('', () => this.#settle(whole))
  }
}
