/** What the policy of the pool need not know to decide, and `runfcgi status` shows: what has happened so far. */

import { type Action, isSpare, type PoolState, type Stimulus } from './pool-state.ts'
import type { ChildStatus, PoolStatus } from './status.ts'

export class PoolHistory {
  readonly #memory = new Map<number, number>()
  #spawned = 0
  #crashed = 0
  #killed = 0
  #reloads = 0
  #failedReloads = 0
  #lastFailure: string | undefined

  /** `before`: the pool as it was when it heard that. */
  heard(stimulus: Stimulus, before: PoolState): void {
    if (stimulus.type === 'report') this.#memory.set(stimulus.id, stimulus.memory)
    else if (stimulus.type === 'crashed') this.#crashed++
    else if (stimulus.type === 'exited') {
      this.#memory.delete(stimulus.id)
      if (before.children.find(({ id }) => id === stimulus.id)?.phase === 'ready') this.#crashed++
    }
  }

  ordered(action: Action): void {
    if (action.type === 'spawn') this.#spawned++
    else if (action.type === 'kill') this.#killed++
    else if (action.type === 'reloaded' && action.generation > 1) this.#reloads++
    else if (action.type === 'reload-failed') {
      this.#failedReloads++
      this.#lastFailure = action.error
    }
  }

  /** `pidOf`: of a child, its process id or the number of its thread. `now`: the clock of the policy. */
  status(state: PoolState, pidOf: (id: number) => number | undefined, now: number): PoolStatus {
    const { settings, children, generation } = state
    return {
      generation,
      reloading: state.reloadSize > 0,
      minspare: settings.minSpare,
      maxspare: settings.maxSpare,
      maxchildren: settings.maxChildren,
      spare: children.filter(child => isSpare(child, settings)).length,
      children: children.map(
        ({ id, generation, phase, inflight, served, born }): ChildStatus => ({
          id,
          pid: pidOf(id),
          generation,
          phase,
          inflight,
          served,
          memory: this.#memory.get(id) ?? 0,
          age: Math.round(now - born),
        }),
      ),
      spawned: this.#spawned,
      crashed: this.#crashed,
      killed: this.#killed,
      reloads: this.#reloads,
      failedReloads: this.#failedReloads,
      lastFailure: this.#lastFailure,
    }
  }
}
