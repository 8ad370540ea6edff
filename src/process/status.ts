/** What a daemon tells about itself: `runfcgi status`, as JSON on the control socket. Times in milliseconds, sizes in bytes. */

import type { InterfaceName } from '../app/exchange.ts'
import type { ResponderStats, RunningRequest } from '../server/responder.ts'
import type { Phase } from './pool/state.ts'

export interface Status {
  readonly pid: number
  readonly version: string
  /** The version of Node.js. */
  readonly node: string
  readonly state: 'starting' | 'serving' | 'reloading' | 'lame-duck' | 'stopping'
  /** When the process was started, and how long ago that is. */
  readonly started: string
  readonly uptime: number
  /** Not known before it serves. */
  readonly method?: 'inline' | 'threaded' | 'prefork' | undefined
  readonly listen: readonly string[]
  /** Those of them whose file was removed: nobody can connect any more, until a restart. */
  readonly removed?: readonly string[] | undefined
  /** The file of the application. */
  readonly app?: string | undefined
  readonly interface?: InterfaceName | undefined
  /** Of this process alone; those of method=prefork have their own. */
  readonly memory: number
  readonly traffic: Traffic
  /** Requests served in a second, over the last ten. */
  readonly perSecond: number
  /** The requests that have been running for longest, the longest first; `age` in milliseconds. */
  readonly longest: readonly LongRequest[]
  /** The process that this one has succeeded, while that finishes its requests. */
  readonly predecessor?: number | undefined
  /** Requests that wait for a child. */
  readonly queue?: Queue | undefined
  readonly pool?: PoolStatus | undefined
}

export type Traffic = ResponderStats

export interface LongRequest extends RunningRequest {
  /** The child that runs it, if there are children. */
  readonly child?: number | undefined
}

export interface Queue {
  /** They are among those of `traffic.inflight`. */
  readonly waiting: number
  /** How many may: with method=prefork, in each process. */
  readonly limit: number
}

export interface PoolStatus {
  readonly generation: number
  /** Children of an older generation are being replaced. */
  readonly reloading: boolean
  readonly minspare: number
  readonly maxspare: number
  readonly maxchildren: number
  /** Children that could take another request. */
  readonly spare: number
  readonly children: readonly ChildStatus[]
  /** Since the start: children that were started, that ended without being told to, that were ended by force. */
  readonly spawned: number
  readonly crashed: number
  readonly killed: number
  /** Reloads that came to an end, and those that were given up; why the last one was. */
  readonly reloads: number
  readonly failedReloads: number
  readonly lastFailure?: string | undefined
  /** The last children that ended out of turn, and why: crashes, limits of their own, force; the latest first. */
  readonly lately: readonly Ending[]
}

export interface Ending {
  /** As it stands in the log: `worker 3 ended: signal SIGKILL`. */
  readonly text: string
  /** How long ago. */
  readonly age: number
}

export interface ChildStatus {
  readonly id: number
  /** Of a process its id, of a thread its number. */
  readonly pid?: number | undefined
  readonly generation: number
  readonly phase: Phase
  readonly inflight: number
  readonly served: number
  readonly memory: number
  /** The share of its time, in the last quarter of a second, that its event loop was at work: 0 to 1. */
  readonly utilization: number
  /** How long its event loop has been standing still; 0 while it turns. */
  readonly stuckFor: number
  /** Since it was started. */
  readonly age: number
}

export const NO_TRAFFIC: Traffic = { connections: 0, inflight: 0, requests: 0, statuses: {} }
