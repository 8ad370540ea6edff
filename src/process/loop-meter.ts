/** How much of its time an event loop is at work: not waiting for something to happen. */

import type { EventLoopUtilityFunction } from 'node:perf_hooks'

/** Above it requests wait several times as long as they take. */
export const FULL = 0.8

export const isFull = ({ utilization }: { readonly utilization: number }): boolean => utilization >= FULL

/** Over a shorter time the figure says nothing: within one callback it is always 1. In milliseconds. */
const SHORTEST_MS = 200

export class LoopMeter {
  readonly #measure: EventLoopUtilityFunction
  #before: ReturnType<EventLoopUtilityFunction>
  #last = 0

  /** Of this thread; of another one, if its `performance` is given. */
  constructor({ eventLoopUtilization } = performance as { readonly eventLoopUtilization: EventLoopUtilityFunction }) {
    this.#measure = eventLoopUtilization
    this.#before = eventLoopUtilization()
  }

  /** What was read last. */
  get last(): number {
    return this.#last
  }

  /** From 0 to 1, since it was read before; the same again if that was only just now. */
  read(): number {
    const now = this.#measure()
    const { idle, active, utilization } = this.#measure(now, this.#before)
    if (idle + active < SHORTEST_MS) return this.#last
    this.#before = now
    this.#last = utilization
    return utilization
  }
}
