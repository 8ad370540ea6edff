/**
 * The port of src/app/exchange.ts inside a worker thread: everything goes to the exchange of the main thread, which owns
 * the connection. What has to be answered at once (is there room for more?) is answered from credit.
 */

import type { AbortReason, Application, Exchange, RequestHandler, RequestRole } from '../app/exchange.ts'
import type { Params } from '../cgi/params.ts'
import { type Outbox, ToMain, WINDOW } from './messages.ts'

/** Strings up to this length travel as strings; longer ones as bytes, which are handed over instead of copied again. */
const LONG_TEXT = 16_384

export class ThreadExchange implements Exchange {
  readonly id: number
  readonly role: RequestRole
  readonly params: Params
  readonly bodyless: boolean
  aborted = false
  headSent = false
  readonly #outbox: Outbox
  readonly #onEnd: (exchange: ThreadExchange) => void
  #handler: RequestHandler | null = null
  #held: readonly [status: number, block: string, contentLength: number] | null = null
  #done = false
  /** Reply bytes of which the peer is not known to have taken them. */
  #onTheWay = 0
  #waiting = false
  #reading = false
  #stdin: Buffer[] = []
  #stdinEnded = false
  #stdinEndTold: boolean

  constructor(
    id: number,
    role: RequestRole,
    params: Params,
    bodyless: boolean,
    outbox: Outbox,
    onEnd: (exchange: ThreadExchange) => void,
  ) {
    this.id = id
    this.role = role
    this.params = params
    this.bodyless = bodyless
    this.#stdinEndTold = bodyless
    this.#outbox = outbox
    this.#onEnd = onEnd
  }

  start(app: Application): void {
    try {
      this.#handler = app.handle(this)
    } catch (error) {
      this.fail(error)
      return
    }
    this.#pump()
  }

  // The application's side.

  resumeStdin(): void {
    if (this.#done || this.#reading) return
    this.#reading = true
    this.#outbox.add(ToMain.resumeStdin, this.id)
    if (this.#handler !== null) this.#pump()
  }

  pauseStdin(): void {
    if (!this.#reading) return
    this.#reading = false
    if (!this.#done) this.#outbox.add(ToMain.pauseStdin, this.id)
  }

  head(status: number, block: string, contentLength: number): void {
    if (!this.#done && !this.headSent) this.#held = [status, block, contentLength]
  }

  flush(): void {
    if (this.#done || this.#held === null) return
    this.#sendHead()
    this.#outbox.add(ToMain.flush, this.id)
  }

  write(chunk: string | Uint8Array, latin1 = false): boolean {
    if (this.#done) return false
    this.#sendHead()
    const content = this.#portable(chunk, latin1)
    this.#outbox.add(ToMain.write, this.id, content, latin1)
    this.#onTheWay += content.length
    this.#waiting = this.#onTheWay >= WINDOW
    return !this.#waiting
  }

  end(chunk: string | Uint8Array = '', latin1 = false): void {
    if (this.#done) return
    const content = this.#portable(chunk, latin1)
    const held = this.#held
    if (held === null) this.#outbox.add(ToMain.end, this.id, content, latin1)
    else {
      this.headSent = true
      this.#outbox.add(ToMain.reply, this.id, held[0], held[1], held[2], content, latin1)
    }
    this.#finish()
  }

  fail(error: unknown): void {
    if (this.#done) return
    const { name, message, stack } = error instanceof Error ? error : new Error(String(error))
    this.#outbox.add(ToMain.fail, this.id, name, message, stack ?? message)
    this.#finish()
  }

  refuse(status: number): void {
    if (this.#done) return
    this.#outbox.add(ToMain.status, this.id, status)
    this.#finish()
  }

  stderr(chunk: string | Uint8Array): void {
    if (!this.#done) this.#outbox.add(ToMain.stderr, this.id, this.#portable(chunk, false))
  }

  // The main thread's side.

  receiveStdin(chunk: Uint8Array): void {
    if (this.#done) return
    this.#stdin.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
    if (this.#handler !== null) this.#pump()
  }

  receiveStdinEnd(): void {
    this.#stdinEnded = true
    if (this.#handler !== null) this.#pump()
  }

  /** The peer has taken `bytes` of the reply. */
  receiveCredit(bytes: number): void {
    this.#onTheWay -= bytes
    if (!this.#waiting || this.#done || this.#onTheWay >= WINDOW) return
    this.#waiting = false
    this.#handler?.onDrain()
  }

  abort(reason: AbortReason): void {
    if (this.#done) return
    this.aborted = true
    this.#finish()
    this.#handler?.onAbort(reason)
  }

  #pump(): void {
    while (this.#reading) {
      const chunk = this.#stdin.shift()
      if (chunk === undefined) break
      this.#outbox.add(ToMain.credit, this.id, chunk.length)
      if (!(this.#handler as RequestHandler).onStdin(chunk)) this.pauseStdin()
    }
    if (this.#done || !this.#stdinEnded || this.#stdinEndTold || this.#stdin.length > 0) return
    this.#stdinEndTold = true
    this.#handler?.onStdinEnd()
  }

  #sendHead(): void {
    if (this.#held === null) return
    this.#outbox.add(ToMain.head, this.id, ...this.#held)
    this.#held = null
    this.headSent = true
  }

  #portable(chunk: string | Uint8Array, latin1: boolean): string | Uint8Array {
    if (typeof chunk !== 'string') return this.#outbox.own(chunk)
    return chunk.length <= LONG_TEXT || latin1 ? chunk : this.#outbox.own(Buffer.from(chunk))
  }

  #finish(): void {
    this.#done = true
    this.#stdin = []
    this.#onEnd(this)
  }
}
