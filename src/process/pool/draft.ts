/**
 * The pool's state while the policy (policy.ts) works on it for one step, and what the policy can order: each order
 * changes the state and is noted as an action. Pure, as the policy.
 */

import { type Action, type ChildState, isServing, type PoolState } from './state.ts'

/** The pause after the second child in a row that failed before it was of use, and the longest; it doubles in between. */
export const FIRST_HOLD_MS = 250
export const LONGEST_HOLD_MS = 60_000

type Mutable<T> = { -readonly [K in keyof T]: T[K] }
export type Child = Mutable<ChildState>

/** The state as it is being worked on during one step. */
export interface Draft extends Omit<Mutable<PoolState>, 'children'> {
  children: Child[]
  readonly actions: Action[]
  readonly now: number
}

export function spawn(draft: Draft, reason: string): number {
  const { settings, now, generation } = draft
  const id = draft.nextId++
  draft.children.push({
    id,
    generation,
    phase: 'starting',
    since: now,
    born: now,
    inflight: 0,
    served: 0,
    quota: settings.maxRequests === 0 ? 0 : settings.maxRequests + spread(id, settings.maxRequestsJitter),
    retire: undefined,
    replacement: undefined,
  })
  draft.actions.push({ type: 'spawn', id, generation, reason })
  return id
}

export function drain(draft: Draft, child: Child, reason: string): void {
  enter(draft, child, 'draining')
  draft.actions.push({ type: 'drain', id: child.id, reason })
}

export function terminate(draft: Draft, child: Child, reason: string): void {
  if (child.phase === 'terminating' || child.phase === 'killed') return
  const cutsOff = child.phase !== 'starting'
  enter(draft, child, 'terminating')
  draft.actions.push({ type: 'terminate', id: child.id, cutsOff, reason })
}

export function kill(draft: Draft, child: Child, reason: string): void {
  if (child.phase === 'killed') return
  // A child that hung is replaced as one that died: at once.
  if (child.phase === 'ready') draft.grown--
  enter(draft, child, 'killed')
  draft.actions.push({ type: 'kill', id: child.id, reason })
}

/** `id`: of the child that the text is about, and goes on after its name. */
export const note = (draft: Draft, level: 'info' | 'warn', text: string, id?: number): void =>
  void draft.actions.push({ type: 'note', level, text, id })

export function enter(draft: Draft, child: Child, phase: Child['phase']): void {
  child.phase = phase
  child.since = draft.now
}

/** A child was of no use. One may be: it is replaced at once. Before the next one there is a pause, twice as long each time. */
export function failed(draft: Draft): void {
  const pause = draft.failures === 0 ? 0 : FIRST_HOLD_MS * 2 ** Math.min(draft.failures - 1, 20)
  draft.holdUntil = draft.now + Math.min(LONGEST_HOLD_MS, pause)
  draft.failures++
}

export const serving = (draft: Draft): number => draft.children.filter(isServing).length

/** The least busy first. */
export const byLoad = (children: readonly Child[]): Child[] => [...children].sort((a, b) => a.inflight - b.inflight)

/** A number from 0 to `range`, different from child to child, the same in every run. */
const spread = (id: number, range: number): number =>
  range === 0 ? 0 : (Math.imul(id, 2_654_435_761) >>> 8) % (range + 1)
