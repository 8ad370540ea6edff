/**
 * What the pool policy (policy.ts) knows, hears and orders. Values only: no process, thread, clock or logger.
 */

/** From the settings table; times in milliseconds, sizes in bytes. */
export interface PoolSettings {
  readonly minSpare: number
  readonly maxSpare: number
  readonly maxChildren: number
  /** Requests one child runs at once; 0: no limit. */
  readonly concurrency: number
  /** Requests after which a child is replaced; 0: never. */
  readonly maxRequests: number
  /** Up to how many requests more, chosen per child, so that the children of one start are not all replaced at once. */
  readonly maxRequestsJitter: number
  /** Age at which a child is replaced; 0: never. */
  readonly maxLifetime: number
  /** Memory at which a child is replaced; 0: never. */
  readonly maxMemory: number
  /** How long there must have been more than `maxSpare` spare children before one is ended. */
  readonly idleTimeout: number
  /** How long a child may take from spawn to ready. */
  readonly startTimeout: number
  /** How long a retired child may go on with its requests. */
  readonly gracefulTimeout: number
}

/**
 * A child's way, never backwards:
 *
 *   starting ──ready──▶ ready ──drain──▶ draining ──terminate──▶ terminating ──kill──▶ killed ──exit──▶ (gone)
 */
export type Phase = 'starting' | 'ready' | 'draining' | 'terminating' | 'killed'

export interface ChildState {
  readonly id: number
  readonly generation: number
  readonly phase: Phase
  /** When it came into this phase, and when it was spawned. */
  readonly since: number
  readonly born: number
  readonly inflight: number
  readonly served: number
  /** Served requests at which it is replaced; 0: none. */
  readonly quota: number
  /** Why it is to be replaced, while it still serves. */
  readonly retire: string | undefined
  /** The child that is started to replace this one. */
  readonly replacement: number | undefined
}

export interface PoolState {
  readonly settings: PoolSettings
  readonly children: readonly ChildState[]
  readonly nextId: number
  /** The generation new children belong to, and the newest one of which a child was ever ready (0: none yet). */
  readonly generation: number
  readonly proven: number
  /** The highest generation number given out; a discarded number is not used again. */
  readonly lastGeneration: number
  /** While a generation takes over: how many children it is to have before the last old one goes. 0: no reload. */
  readonly reloadSize: number
  /** While a generation comes with settings of its own: those of the one before. */
  readonly formerSettings: PoolSettings | undefined
  /** The generation whose arrival was reported last. */
  readonly settled: number
  readonly mode: 'running' | 'stopping' | 'stopped'
  /** What the program will exit with. */
  readonly exitCode: number
  /** How many children may be added until the next tick, and how many have been; exits of children give some back. */
  readonly growth: number
  readonly grown: number
  /** Since when there have been more spare children than wanted. */
  readonly surplusSince: number | undefined
  /** Children that failed in a row before they were of use, and when the next may be spawned. */
  readonly failures: number
  readonly holdUntil: number
}

export type Stimulus =
  /** Time goes by; once a second or so. */
  | { readonly type: 'tick' }
  /** `PoolState.holdUntil` has come. */
  | { readonly type: 'wake' }
  | { readonly type: 'ready'; readonly id: number }
  /** The application of a starting child could not be loaded. The child goes away by itself. */
  | { readonly type: 'load-failed'; readonly id: number; readonly error: string }
  /** What a child is doing; only when it has changed, at most a few times a second. */
  | {
      readonly type: 'report'
      readonly id: number
      readonly inflight: number
      readonly served: number
      readonly memory: number
    }
  /** The event loop of a child has not turned for `hang-timeout`. */
  | { readonly type: 'hung'; readonly id: number; readonly details: string }
  /** An uncaught exception: the child finishes what it has and must be replaced. */
  | { readonly type: 'crashed'; readonly id: number; readonly error: string }
  /** The child is gone; `details` says how (`exit code 1`, `signal SIGKILL`). */
  | { readonly type: 'exited'; readonly id: number; readonly details: string }
  /** `settings`: new ones, which hold from the new generation on. */
  | { readonly type: 'reload'; readonly reason: string; readonly settings?: PoolSettings | undefined }
  /** A second one means now. */
  | { readonly type: 'stop'; readonly reason: string }
  | { readonly type: 'stop-now'; readonly reason: string }
  /** TTIN, TTOU: one child more or fewer. */
  | { readonly type: 'more' }
  | { readonly type: 'fewer' }

export type Action =
  | { readonly type: 'spawn'; readonly id: number; readonly generation: number; readonly reason: string }
  /** Take no more requests, finish those there are, end. */
  | { readonly type: 'drain'; readonly id: number; readonly reason: string }
  /** End now: answer 503 to what runs. `cutsOff`: there may be some, the child has been ready. */
  | { readonly type: 'terminate'; readonly id: number; readonly cutsOff: boolean; readonly reason: string }
  /** End without a chance to object. */
  | { readonly type: 'kill'; readonly id: number; readonly reason: string }
  /** Every child of the generation that was asked for serves, and no other. */
  | { readonly type: 'reloaded'; readonly generation: number }
  /** `child`: whom the error is about, if it does not say so itself. */
  | {
      readonly type: 'reload-failed'
      readonly generation: number
      readonly error: string
      readonly child?: number | undefined
    }
  /** For the log, where no order goes with it: about the pool, or what has become of a child. */
  | { readonly type: 'note'; readonly level: 'info' | 'warn'; readonly text: string; readonly id?: number | undefined }
  /** The application has never been loaded, and nothing is tried again. */
  | { readonly type: 'unloadable'; readonly error: string }
  /** Nothing is left; the program ends with this code. */
  | { readonly type: 'exit'; readonly code: number }

export interface Step {
  readonly state: PoolState
  readonly actions: readonly Action[]
}

/** A child that can take another request. */
export function isSpare(child: ChildState, { concurrency }: PoolSettings): boolean {
  return child.phase === 'ready' && (concurrency > 0 ? child.inflight < concurrency : child.inflight === 0)
}

/** Counts against `maxChildren`: it takes requests or is about to. */
export const isServing = (child: ChildState): boolean => child.phase === 'starting' || child.phase === 'ready'
