/**
 * An exchange's STDIN for fetch: whole, or as a ReadableStream. Whichever is asked for first takes it.
 *
 * Knows the exchange and streams; not Request, which says when a body may be read (src/app/fetch/light-request.ts).
 */

import { signalReason } from '../abort.ts'
import type { AbortReason, Exchange } from '../exchange.ts'

/** Where the bytes go. */
interface Sink {
  /** False: no more for now. */
  receive(chunk: Buffer): boolean
  end(): void
  fail(reason: AbortReason): void
}

export class RequestBody {
  readonly #exchange: Exchange
  #sink: Sink | undefined
  #aborted: AbortReason | undefined

  constructor(exchange: Exchange) {
    this.#exchange = exchange
  }

  /** The whole body. */
  collect(): Promise<Buffer> {
    if (this.#exchange.bodyless) return Promise.resolve(Buffer.alloc(0))
    return new Promise((resolve, reject) => {
      this.#open(new Collector(resolve, reject))
      this.#exchange.resumeStdin()
    })
  }

  /** The body as it arrives; not reading it holds the web server back. */
  stream(): ReadableStream<Uint8Array> {
    const streamer = new Streamer(this.#exchange)
    this.#open(streamer)
    return streamer.stream
  }

  receive(chunk: Buffer): boolean {
    return this.#sink?.receive(chunk) ?? false
  }

  receiveEnd(): void {
    this.#sink?.end()
  }

  receiveAbort(reason: AbortReason): void {
    this.#aborted = reason
    this.#sink?.fail(reason)
  }

  #open(sink: Sink): void {
    this.#sink = sink
    if (this.#aborted !== undefined) sink.fail(this.#aborted)
  }
}

class Collector implements Sink {
  readonly #chunks: Buffer[] = []
  readonly #resolve: (body: Buffer) => void
  readonly #reject: (reason: unknown) => void

  constructor(resolve: (body: Buffer) => void, reject: (reason: unknown) => void) {
    this.#resolve = resolve
    this.#reject = reject
  }

  receive(chunk: Buffer): boolean {
    this.#chunks.push(chunk)
    return true
  }

  end(): void {
    const [first, second] = this.#chunks
    this.#resolve(first !== undefined && second === undefined ? first : Buffer.concat(this.#chunks))
  }

  fail(reason: AbortReason): void {
    this.#reject(signalReason(reason))
  }
}

class Streamer implements Sink {
  readonly stream: ReadableStream<Uint8Array>
  readonly #exchange: Exchange
  #controller!: ReadableStreamDefaultController<Uint8Array>
  #over = false

  constructor(exchange: Exchange) {
    this.#exchange = exchange
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: controller => this.#start(controller),
        pull: () => this.#exchange.resumeStdin(),
        cancel: () => this.#cancel(),
      },
      // Nothing is read ahead: what nobody asks for stays with the web server.
      { highWaterMark: 0 },
    )
  }

  receive(chunk: Buffer): boolean {
    if (this.#over) return false
    // Not a Buffer, whose slice() is a view where that of a Uint8Array is a copy.
    this.#controller.enqueue(new Uint8Array(chunk.buffer as ArrayBuffer, chunk.byteOffset, chunk.length))
    return (this.#controller.desiredSize ?? 0) > 0
  }

  end(): void {
    if (this.#over) return
    this.#over = true
    this.#controller.close()
  }

  fail(reason: AbortReason): void {
    if (this.#over) return
    this.#over = true
    this.#controller.error(signalReason(reason))
  }

  #start(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#controller = controller
    if (this.#exchange.bodyless) this.end()
  }

  #cancel(): void {
    this.#over = true
    this.#exchange.pauseStdin()
  }
}
