/**
 * Which workers of prefork are to leave connections to which others. Workers accept by themselves, and whoever wakes first
 * takes all connections that wait; a web server keeps them, so they would stay there for ever.
 *
 * Only a worker whose event loop is full gives, only connections that are in use count, and as many are moved as make the
 * two loads equal, never more: what one gives, it does not get back. Where the estimate is wrong all the same (connections
 * differ in what they ask for), each correction waits twice as long as the one before.
 *
 * Pure, as the policy.
 */

import { FULL, isFull } from '../loop-meter.ts'

/** What a worker has last said about itself. */
export interface Load {
  readonly id: number
  /** When it said so, in milliseconds. */
  readonly at: number
  /** The part of the time that its event loop was at work lately: 0 to 1. */
  readonly utilization: number
  /** Connections on which requests have come lately; only known of a full one. */
  readonly busy: number
  /** Connections that it can take. */
  readonly room: number
}

/** One worker leaves connections to others: to each of `to` one, to some of them several. */
export interface Move {
  readonly from: number
  readonly to: readonly number[]
}

export interface BalanceState {
  /** When connections were moved last. */
  readonly movedAt: number
  /** How long nothing is moved after that. */
  readonly pause: number
}

/** Two loads that differ by less are equal: two loops, or the share that two full ones have of all connections. */
const GAP = 0.3

/** What a worker said so long ago is not true any more: an idle one reports once a second. */
const FRESH_MS = 1_500

export const FIRST_PAUSE_MS = 1_000
export const LONGEST_PAUSE_MS = 60_000

export const NEVER_MOVED: BalanceState = { movedAt: Number.NEGATIVE_INFINITY, pause: FIRST_PAUSE_MS }

/** What is to be moved now. Times in milliseconds, monotonic. */
export function rebalance(
  state: BalanceState,
  loads: readonly Load[],
  now: number,
): { readonly state: BalanceState; readonly moves: readonly Move[] } {
  const since = now - state.movedAt
  if (since < state.pause) return { state, moves: [] }
  const fresh = loads.filter(({ at }) => now - at < FRESH_MS && at > state.movedAt)
  const toFree = movesBetween(fresh.map(asWork))
  const moves = toFree.length > 0 ? toFree : movesBetween(shares(fresh.filter(isFull)))
  if (moves.length === 0) return { state, moves }
  const pause = since < 3 * state.pause ? Math.min(LONGEST_PAUSE_MS, 2 * state.pause) : FIRST_PAUSE_MS
  return { state: { movedAt: now, pause }, moves }
}

/** A worker as the estimate goes on. */
interface Estimate {
  readonly id: number
  readonly gives: boolean
  readonly takes: boolean
  /** Of one connection in use. */
  readonly each: number
  load: number
  room: number
}

/** Full ones give to others. One that no connection keeps busy works for itself: there is nothing to take from it. */
function asWork({ id, utilization: load, busy, room }: Load): Estimate {
  const gives = load >= FULL && busy > 0
  return { id, gives, takes: load < FULL, each: gives ? load / busy : 0, load, room }
}

/** A full loop does not say how much more is asked of it: full ones are compared by their connections, 1 is a fair share. */
function shares(full: readonly Load[]): Estimate[] {
  const shared = full.filter(({ busy }) => busy > 0)
  const each = shared.length / shared.reduce((sum, { busy }) => sum + busy, 0)
  return shared.map(({ id, busy, room }) => ({ id, gives: true, takes: true, each, load: busy * each, room }))
}

/** To the one with the least load, one connection after the other, while both come nearer. */
function movesBetween(estimates: readonly Estimate[]): Move[] {
  const moves = new Map<number, number[]>()
  for (;;) {
    const to = highest(
      estimates.filter(({ takes, room }) => takes && room > 0),
      ({ load }) => -load,
    )
    if (to === undefined) break
    const gap = moves.size > 0 ? 0 : GAP
    const from = highest(
      estimates.filter(({ gives, load, each }) => gives && load - to.load >= Math.max(gap, 2 * each)),
      ({ load, each }) => load - each,
    )
    if (from === undefined) break
    from.load -= from.each
    to.load += from.each
    to.room--
    const targets = moves.get(from.id) ?? []
    targets.push(to.id)
    moves.set(from.id, targets)
  }
  return [...moves].map(([from, to]) => ({ from, to }))
}

function highest(estimates: readonly Estimate[], value: (estimate: Estimate) => number): Estimate | undefined {
  let best = estimates[0]
  for (const one of estimates) if (value(one) > value(best as Estimate)) best = one
  return best
}
