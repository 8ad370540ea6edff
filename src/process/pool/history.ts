/** What the policy of the pool need not know to decide, and `runfcgi status` shows: what has happened so far. */

import type { ChildStatus, PoolStatus } from '../status.ts'
import type { Child } from './child.ts'
import { type Action, isSpare, type PoolState, type Stimulus } from './state.ts'

/** How many endings are remembered. */
const REMEMBERED = 8

interface Happening {
  readonly text: string
  readonly at: number
}

export class PoolHistory {
  readonly #noun: string
  readonly #memory = new Map<number, number>()
  #lately: Happening[] = []
  #spawned = 0
  #crashed = 0
  #killed = 0
  #reloads = 0
  #failedReloads = 0
  #lastFailure: string | undefined

  /** `noun`: what a child is called in the log. */
  constructor(noun: string) {
    this.#noun = noun
  }

  /** `before`: the pool as it was when it heard that. `now`: the clock of the policy. */
  heard(stimulus: Stimulus, before: PoolState, now: number): void {
    if (stimulus.type === 'report') this.#memory.set(stimulus.id, stimulus.memory)
    else if (stimulus.type === 'crashed') {
      // What it throws besides, while it finishes its requests, makes it no second child.
      if (phaseOf(before, stimulus.id) !== 'ready') return
      this.#crashed++
      this.#remember(`${this.#noun} ${stimulus.id} crashed: ${stimulus.error}`, now)
    } else if (stimulus.type === 'exited') {
      this.#memory.delete(stimulus.id)
      const phase = phaseOf(before, stimulus.id)
      // Of its own accord: nobody has told it to, and it has not told why.
      if (phase !== 'starting' && phase !== 'ready') return
      this.#crashed++
      this.#remember(`${this.#noun} ${stimulus.id} ended: ${stimulus.details}`, now)
    }
  }

  /** `state`: what the order follows from. */
  ordered(action: Action, state: PoolState, now: number): void {
    if (action.type === 'spawn') this.#spawned++
    else if (action.type === 'drain') {
      // Because of a limit of its own: not for a reload, nor because there are too many.
      const { retire } = state.children.find(({ id }) => id === action.id) ?? {}
      if (retire === action.reason) this.#remember(`retired ${this.#noun} ${action.id}: ${retire}`, now)
    } else if (action.type === 'kill') {
      this.#killed++
      this.#remember(`killed ${this.#noun} ${action.id}: ${action.reason}`, now)
    } else if (action.type === 'reloaded' && action.generation > 1) this.#reloads++
    else if (action.type === 'reload-failed') {
      this.#failedReloads++
      this.#lastFailure = failureOf(action, this.#noun)
    }
  }

  #remember(text: string, at: number): void {
    this.#lately = [{ text, at }, ...this.#lately].slice(0, REMEMBERED)
  }

  status(state: PoolState, childOf: (id: number) => Child | undefined, now: number): PoolStatus {
    const { settings, children, generation } = state
    return {
      generation,
      reloading: state.reloadSize > 0,
      minspare: settings.minSpare,
      maxspare: settings.maxSpare,
      maxchildren: settings.maxChildren,
      spare: children.filter(child => isSpare(child, settings)).length,
      children: children.map(({ id, generation, phase, inflight, served, born }): ChildStatus => {
        const { pid, vitals } = childOf(id) ?? {}
        return {
          id,
          pid,
          generation,
          phase,
          inflight,
          served,
          memory: this.#memory.get(id) ?? 0,
          utilization: vitals?.utilization ?? 0,
          stuckFor: Math.round(vitals?.stuckFor ?? 0),
          age: Math.round(now - born),
        }
      }),
      spawned: this.#spawned,
      crashed: this.#crashed,
      killed: this.#killed,
      reloads: this.#reloads,
      failedReloads: this.#failedReloads,
      lastFailure: this.#lastFailure,
      lately: this.#lately.map(({ text, at }) => ({ text, age: Math.round(now - at) })),
    }
  }
}

/** Why a reload was given up, as a sentence of its own. */
export const failureOf = ({ error, child }: Extract<Action, { type: 'reload-failed' }>, noun: string): string =>
  child === undefined ? error : `${noun} ${child} ${error}`

const phaseOf = ({ children }: PoolState, id: number): string | undefined =>
  children.find(child => child.id === id)?.phase
