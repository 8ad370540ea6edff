/** What the primary of prefork and its worker processes say to each other (prefork.ts, worker.ts), as JSON. */

import type { AdapterOptions } from '../../app/exchange.ts'
import type { LoadRequest } from '../../app/load/load.ts'
import type { LogLevel } from '../../log.ts'
import type { Limits } from '../../server/limits.ts'
import type { RunningRequest } from '../../server/responder.ts'
import type { Counts } from '../../server/tally.ts'
import type { Account } from '../daemon/account.ts'
import type { Loaded } from '../pool/child.ts'
import type { Limit } from './limited.ts'

/** What a worker is to do. Times in milliseconds. */
export interface WorkerData {
  readonly request: LoadRequest
  readonly adapter: AdapterOptions
  readonly limits: Limits
  readonly limit: Limit
  /** Show the stack of an application's error to the client. */
  readonly debug: boolean
  /** The path that is answered without the application, for health checks. */
  readonly ping?: string | undefined
  /** Who may connect over TCP; empty: everybody. */
  readonly allowedClients: readonly string[]
  /** The folder to be in, where a link may lead elsewhere by now; undefined: that of the primary. */
  readonly workdir?: string | undefined
  /** Whom the application runs as; undefined: whoever the primary is. */
  readonly account?: Account | undefined
  readonly accessLog: boolean
  /** Whether lines for debugging are of any use to the primary. */
  readonly logDebug: boolean
  /** Standard streams that the primary has files for: they lead to it, the others are inherited. */
  readonly redirect?: readonly ('out' | 'err')[] | undefined
  /** Connections that wait to be accepted. */
  readonly backlog?: number | undefined
  /** Only 1 matters here: the worker takes one request in its life. */
  readonly maxRequests: number
  /** How long requests may go on when the worker is to end. */
  readonly gracefulTimeout: number
}

/** Comes with a connection. `received` was read of it already and is to be read again, one character a byte. */
interface PassedConnection {
  readonly type: 'connection'
  readonly key: number
  readonly received: string
}

export type WorkerOrder =
  /** `fds` are numbers in the worker; it listens on each. `title` is its name in ps(1). */
  | {
      readonly type: 'begin'
      readonly data: WorkerData
      readonly fds: readonly number[]
      readonly title: string
      /** After how many milliseconds without a word it is taken to hang; 0: never. */
      readonly hangTimeout: number
      /** SIGUSR1 opens the debugger: see standstill.ts. */
      readonly inspectable: boolean
    }
  /** Comes with a connection: one that the primary has accepted, or that another worker has left behind. */
  | PassedConnection
  /** The connection that the worker has left behind has arrived at another one. */
  | { readonly type: 'taken'; readonly key: number }
  /** Leave a connection that is in use to each of these workers, and go on; some may come more than once. */
  | { readonly type: 'shed'; readonly to: readonly number[] }
  /** Leave to others as many requests that wait. */
  | { readonly type: 'share'; readonly requests: number }
  /** Tell health checks that it will stop, and go on. */
  | { readonly type: 'lame-duck' }
  /** Answer what has begun, close what is open, end. */
  | { readonly type: 'drain' }
  /** Answer what has begun, leave what is open to others, end. */
  | { readonly type: 'retire' }
  | { readonly type: 'terminate' }
  /** Somebody has opened the debugger. */
  | { readonly type: 'close-debugger' }

/** Also says that the event loop turns. `running`: requests that have been going on for a while, if there are any. */
export interface WorkerReport {
  readonly type: 'report'
  readonly inflight: number
  /** Those among them that `concurrency` does not let begin. */
  readonly waiting: number
  readonly served: number
  readonly memory: number
  readonly connections: number
  /** The part of the time that the event loop was at work lately, 0 to 1; if it was full, how many connections were in use. */
  readonly utilization: number
  readonly busy: number
  /** What was served, by status. */
  readonly statuses: Counts
  readonly running?: readonly RunningRequest[]
}

export type WorkerNotice =
  | { readonly type: 'ready'; readonly loaded: Loaded }
  | { readonly type: 'load-failed'; readonly error: string }
  | WorkerReport
  | {
      readonly type: 'crashed'
      readonly error: string
      readonly stack: string
      readonly running: readonly RunningRequest[]
    }
  /** The worker takes no more connections. */
  | { readonly type: 'leaving' }
  /** Comes with a connection that others are to go on with; if it can be, worker `to`. */
  | (PassedConnection & { readonly to?: number })
  /** The worker is at its limit, and so many requests have been waiting for a while. */
  | { readonly type: 'crowded'; readonly waiting: number }
  /** A connection that the primary has handed over: it has arrived; it is closed, or has been left to others. */
  | { readonly type: 'taken'; readonly key: number }
  | { readonly type: 'closed' }
  | { readonly type: 'log'; readonly level: LogLevel; readonly details: object; readonly message: string }
  /** Lines for the access log. */
  | { readonly type: 'access'; readonly text: string }

/** How often a worker looks whether there is something to report, and how often it reports in any case. */
export const LOOK_MS = 250
export const BEAT_MS = 1_000

/** The same for one that is taken to hang when it has said nothing for `hangTimeout` (0: never). In milliseconds. */
export function rhythmFor(hangTimeout: number): { readonly look: number; readonly beat: number } {
  const beat = hangTimeout === 0 ? BEAT_MS : Math.min(BEAT_MS, hangTimeout / 4)
  return { look: Math.min(LOOK_MS, beat), beat }
}

/** JSON makes nothing of an Error; this is what the log needs of one. */
interface PortableError {
  readonly error: { readonly name: string; readonly message: string; readonly stack: string; readonly code?: unknown }
}

/** The details of a log line as JSON can carry them. */
export const toPortable = (details: object): object =>
  Object.fromEntries(Object.entries(details).map(([key, value]) => [key, key === 'err' ? portable(value) : value]))

export const fromPortable = (details: object): object =>
  Object.fromEntries(Object.entries(details).map(([key, value]) => [key, key === 'err' ? revive(value) : value]))

function portable(thrown: unknown): PortableError | string {
  if (!(thrown instanceof Error)) return String(thrown)
  const { name, message, stack = '' } = thrown
  const code = 'code' in thrown && typeof thrown.code === 'string' ? { code: thrown.code } : {}
  return { error: { name, message, stack, ...code } }
}

function revive(value: PortableError | string): unknown {
  if (typeof value === 'string') return value
  const { message, ...rest } = value.error
  return Object.assign(new Error(message), rest)
}
