/**
 * What the main thread and a worker thread say to each other about requests (threaded.ts, thread.ts): records of a channel
 * (channel.ts), each with the id of its request. What stands beside a kind is what the record holds besides.
 */

import type { AbortReason } from '../../app/exchange.ts'
import { messageOf, stackOf } from '../../server/thrown.ts'
import type { Loaded } from '../pool/child.ts'

/** From the main thread. */
export const ToThread = {
  /** code: `RequestFlag`s; amount: its place in the order of requests; payload: the pairs, encoded */
  request: 1,
  /** payload: bytes of the body */
  stdin: 2,
  stdinEnd: 3,
  /** amount: how many reply bytes the peer has taken */
  credit: 4,
  /** code: which of `ABORT_REASONS` */
  abort: 5,
} as const

/** What a request is from the start. */
export const RequestFlag = { bodyless: 1, authorizer: 2 } as const

/** From a worker thread. Replies have the header block for text, and bytes of the body for content. */
export const ToMain = {
  /** text; code: status; amount: content length */
  head: 11,
  flush: 12,
  /** content */
  write: 13,
  /** content */
  end: 14,
  /** a whole reply: text and content; code: status; amount: content length */
  reply: 15,
  /** content */
  stderr: 16,
  /** content: `Failure` as JSON */
  fail: 17,
  /** code: status */
  refuse: 18,
  resumeStdin: 19,
  pauseStdin: 20,
  /** amount: how many body bytes the application has taken */
  credit: 21,
  /** the request was revoked before it was started */
  skipped: 22,
  /** of no request (`NO_REQUEST`), in order with all that is: nobody caught an exception; content: `Failure` as JSON */
  crashed: 23,
} as const

/** The id of a record that is about none; no request ever has it. */
export const NO_REQUEST = 0x7fff_ffff

/** An error, as it crosses. */
export interface Failure {
  readonly name: string
  readonly message: string
  readonly stack: string
}

/** What is no Error has no stack of its own, and ours would tell nothing. */
export function failureOf(thrown: unknown): Failure {
  const name = thrown instanceof Error ? thrown.name : 'Error'
  return { name, message: messageOf(thrown), stack: stackOf(thrown) }
}

/** Said by the thread itself, outside the channel, about none of the requests. */
export type ThreadNotice =
  | { readonly type: 'ready'; readonly loaded: Loaded }
  | { readonly type: 'load-failed'; readonly error: string }
  | { readonly type: 'drained' }

export type ThreadOrder = { readonly type: 'drain' } | { readonly type: 'terminate' }

/** Cells of the channel that both sides see while the thread is too busy to hear anything. */
export const Shared = {
  /** The last request that the thread has started, by its place in their order. */
  started: 0,
  /** Requests up to this one that the thread has not started are not its any more. */
  revoked: 1,
  /** Grows while the event loop of the thread turns. */
  beat: 2,
  /** KiB of JavaScript heap in use. */
  heap: 3,
} as const satisfies Record<string, number>

/** Whether a place in the order of requests is behind another one. They are counted modulo 2^32. */
export const isBehind = (order: number, other: number): boolean => ((order - other) | 0) > 0

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
