/**
 * A child of the pool, process or thread, as the supervisor sees it: what it can be told and what it tells. The two kinds
 * are workers/prefork.ts and threads/threaded.ts; which children there should be is decided in policy.ts.
 */

import type { Application, InterfaceName } from '../../app/exchange.ts'
import type { ApplicationSource, LoadedApplication } from '../../app/load/load.ts'
import type { RunningRequest } from '../../server/responder.ts'

/** What a child has loaded, for the log and the start-up line. */
export interface Loaded {
  readonly interface: InterfaceName
  /** It answers requests of the role Authorizer. */
  readonly authorizes?: boolean | undefined
  readonly source: ApplicationSource
}

export const loadedBy = ({ interface: name, authorizes, source }: LoadedApplication): Loaded => ({
  interface: name,
  authorizes,
  source,
})

/** How long an application's own `close()` may take, in milliseconds. */
const CLOSE_MS = 5_000

/** The last thing that a child does with its application. Rejects with what `close()` throws. */
export async function closeApplication(app: Application): Promise<void> {
  const patience = new Promise(resolve => setTimeout(resolve, CLOSE_MS).unref())
  await Promise.race([app.close?.(), patience])
}

export interface ChildListener {
  /** The application is loaded and takes requests. */
  ready(loaded: Loaded): void
  /** The application could not be loaded; the child ends by itself. One line. */
  loadFailed(error: string): void
  /** What the child is doing, when that has changed; memory in bytes. */
  report(inflight: number, served: number, memory: number): void
  /** The event loop has not turned for `hang-timeout`, or holds a request that has run out of time. */
  hung(details: string): void
  /** An exception that nobody caught. */
  crashed(error: string): void
  /** Gone, whatever the reason; the last call. */
  exited(details: string): void
}

/** Why a child is to end: with all others, or alone, so that others can go on with what it has open. */
export type Ending = 'stop' | 'retirement'

/** How a child is, for those who look. */
export interface Vitals {
  /** The share of its time, of late, that its event loop was at work: 0 to 1. */
  readonly utilization: number
  /** How long its event loop has been standing still, in milliseconds; 0 while it turns. */
  readonly stuckFor: number
  /** Requests that have been going on for a while. */
  readonly running: readonly RunningRequest[]
}

export interface Child {
  /** Of a process its id, of a thread its number; undefined before it runs. */
  readonly pid: number | undefined
  readonly vitals: Vitals
  /** Take no more requests, finish those there are, end. */
  drain(ending: Ending): void
  /** End now; what runs is answered with 503. */
  terminate(): void
  /** End without a chance to object. */
  kill(): void
}

export interface ChildKind {
  /** Starts a child; the listener hears of it, never before `spawn` has returned. `generation` is for its log lines. */
  spawn(id: number, generation: number, listener: ChildListener): Child
}
