/**
 * The port of src/app/exchange.ts inside a worker thread: everything goes to the exchange of the main thread, which owns
 * the connection. What has to be answered at once (is there room for more?) is answered from credit.
 */

import type { AbortReason, Application, Exchange, RequestHandler, RequestRole } from '../../app/exchange.ts'
import type { Params } from '../../cgi/params.ts'
import type { ThreadChannel } from './channel.ts'
import { failureOf, ToMain, WINDOW } from './messages.ts'

export class ThreadExchange implements Exchange {
  readonly id: number
  readonly role: RequestRole
  readonly params: Params
  readonly bodyless: boolean
  aborted = false
  headSent = false
  readonly #channel: ThreadChannel
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
    channel: ThreadChannel,
    onEnd: (exchange: ThreadExchange) => void,
  ) {
    this.id = id
    this.role = role
    this.params = params
    this.bodyless = bodyless
    this.#stdinEndTold = bodyless
    this.#channel = channel
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
    this.#channel.send(ToMain.resumeStdin, this.id)
    if (this.#handler !== null) this.#pump()
  }

  pauseStdin(): void {
    if (!this.#reading) return
    this.#reading = false
    if (!this.#done) this.#channel.send(ToMain.pauseStdin, this.id)
  }

  head(status: number, block: string, contentLength: number): void {
    if (!this.#done && !this.headSent) this.#held = [status, block, contentLength]
  }

  flush(): void {
    if (this.#done || this.#held === null) return
    this.#sendHead()
    this.#channel.send(ToMain.flush, this.id)
  }

  write(chunk: string | Uint8Array, latin1 = false): boolean {
    if (this.#done) return false
    this.#sendHead()
    this.#onTheWay += this.#channel.send(ToMain.write, this.id, 0, 0, '', chunk, latin1)
    this.#waiting = this.#onTheWay >= WINDOW
    return !this.#waiting
  }

  end(chunk: string | Uint8Array = '', latin1 = false): void {
    if (this.#done) return
    const held = this.#held
    if (held === null) this.#channel.send(ToMain.end, this.id, 0, 0, '', chunk, latin1)
    else {
      this.headSent = true
      this.#channel.send(ToMain.reply, this.id, held[0], held[2], held[1], chunk, latin1)
    }
    this.#finish()
  }

  fail(error: unknown): void {
    if (this.#done) return
    this.#channel.send(ToMain.fail, this.id, 0, 0, '', JSON.stringify(failureOf(error)), false)
    this.#finish()
  }

  refuse(status: number): void {
    if (this.#done) return
    this.#channel.send(ToMain.refuse, this.id, status)
    this.#finish()
  }

  stderr(chunk: string | Uint8Array): void {
    if (!this.#done) this.#channel.send(ToMain.stderr, this.id, 0, 0, '', chunk, false)
  }

  // The main thread's side.

  receiveStdin(chunk: Buffer): void {
    if (this.#done) return
    this.#stdin.push(chunk)
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
      this.#channel.send(ToMain.credit, this.id, 0, chunk.length)
      if (!(this.#handler as RequestHandler).onStdin(chunk)) this.pauseStdin()
    }
    if (this.#done || !this.#stdinEnded || this.#stdinEndTold || this.#stdin.length > 0) return
    this.#stdinEndTold = true
    this.#handler?.onStdinEnd()
  }

  #sendHead(): void {
    if (this.#held === null) return
    const [status, block, contentLength] = this.#held
    this.#channel.send(ToMain.head, this.id, status, contentLength, block)
    this.#held = null
    this.headSent = true
  }

  #finish(): void {
    this.#done = true
    this.#stdin = []
    this.#onEnd(this)
  }
}
