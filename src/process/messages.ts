/**
 * What the main thread and a worker thread say to each other about requests (threaded.ts, thread.ts): operations in flat
 * arrays, many to a message, since a message costs more than what is in it.
 *
 *   [Op.request, id, pairs, bodyless, authorizer, Op.stdin, id, bytes, …]
 *
 * Bytes travel as a copy that is handed over: the sender's own buffer may be part of a larger one, or be sent again.
 */

import type { AbortReason } from '../app/exchange.ts'
import type { Loaded } from './child.ts'

/** From the main thread; the operands follow the id. */
export const ToThread = {
  /** pairs (encoded, one character a byte), bodyless, whether it is for the authorizer */
  request: 1,
  /** bytes */
  stdin: 2,
  stdinEnd: 3,
  /** how many reply bytes the peer has taken */
  credit: 4,
  /** reason */
  abort: 5,
} as const

/** From a worker thread. */
export const ToMain = {
  /** status, block, content length */
  head: 11,
  flush: 12,
  /** text or bytes, latin1 */
  write: 13,
  /** text or bytes, latin1 */
  end: 14,
  /** a whole reply: status, block, content length; text or bytes, latin1 */
  reply: 22,
  /** text or bytes */
  stderr: 15,
  /** name, message, stack */
  fail: 16,
  status: 17,
  resumeStdin: 18,
  pauseStdin: 19,
  /** how many body bytes the application has taken */
  credit: 20,
  /** the request was revoked before it was started */
  skipped: 21,
} as const

export type Operand = number | string | boolean | Uint8Array

/** Says something else than operations, on the same port. */
export type ThreadNotice =
  | { readonly type: 'ready'; readonly loaded: Loaded }
  | { readonly type: 'load-failed'; readonly error: string }
  | { readonly type: 'crashed'; readonly error: string; readonly stack: string }
  | { readonly type: 'drained' }

export type ThreadOrder = { readonly type: 'drain' } | { readonly type: 'terminate' }

/** Cells of the memory that both sides see while the thread is too busy to hear messages. */
export const Shared = {
  /** The id of the last request that the thread has started; ids grow. */
  started: 0,
  /** Requests up to this id that the thread has not started are not its any more. */
  revoked: 1,
  /** Grows while the event loop of the thread turns. */
  beat: 2,
  /** KiB of JavaScript heap in use. */
  heap: 3,
  length: 4,
} as const

/** How often the event loop of a thread shows that it turns, in milliseconds. */
export const BEAT_MS = 100

/** Bytes of a body, or of a reply, that may be on their way between two threads for one request. */
export const WINDOW = 256 * 1024

export const ABORT_REASONS: readonly AbortReason[] = [
  'client-gone',
  'timeout',
  'stdin-timeout',
  'body-too-large',
  'shutdown',
]

/** When an outbox sends what it has: at the end of the turn of the event loop, or as soon as the running callback returns. */
export type Moment = 'turn' | 'callback'

/** Collects operations and sends them all at once. */
export class Outbox {
  #operations: Operand[] = []
  #transfers: ArrayBuffer[] = []
  #scheduled = false
  readonly #moment: Moment
  readonly #send: (operations: Operand[], transfers: ArrayBuffer[]) => void

  constructor(moment: Moment, send: (operations: Operand[], transfers: ArrayBuffer[]) => void) {
    this.#moment = moment
    this.#send = send
  }

  add(...operands: Operand[]): void {
    this.#operations.push(...operands)
    if (this.#scheduled) return
    this.#scheduled = true
    if (this.#moment === 'turn') setImmediate(sendAll, this)
    else process.nextTick(sendAll, this)
  }

  /** Bytes to be added; a copy, which the other side will own. */
  own(bytes: Uint8Array): Uint8Array {
    const copy = new Uint8Array(bytes)
    this.#transfers.push(copy.buffer)
    return copy
  }

  sendNow(): void {
    this.#scheduled = false
    if (this.#operations.length === 0) return
    const operations = this.#operations
    const transfers = this.#transfers
    this.#operations = []
    this.#transfers = []
    this.#send(operations, transfers)
  }
}

const sendAll = (outbox: Outbox): void => outbox.sendNow()

/** Reads operations one operand at a time. */
export class Operations {
  readonly #operands: readonly Operand[]
  #at = 0

  constructor(operands: readonly Operand[]) {
    this.#operands = operands
  }

  get more(): boolean {
    return this.#at < this.#operands.length
  }

  number(): number {
    return this.#operands[this.#at++] as number
  }

  text(): string {
    return this.#operands[this.#at++] as string
  }

  flag(): boolean {
    return this.#operands[this.#at++] as boolean
  }

  content(): string | Uint8Array {
    return this.#operands[this.#at++] as string | Uint8Array
  }
}
