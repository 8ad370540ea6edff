/** How much of its time the event loop of this process is at work: not waiting for something to happen. */

import type { EventLoopUtilization } from 'node:perf_hooks'

/** Over a shorter time the figure says nothing: within one callback it is always 1. In milliseconds. */
const SHORTEST_MS = 200

export class LoopMeter {
  #before: EventLoopUtilization = performance.eventLoopUtilization()
  #last = 0

  /** From 0 to 1, since it was read before; the same again if that was only just now. */
  read(): number {
    const now = performance.eventLoopUtilization()
    const { idle, active, utilization } = performance.eventLoopUtilization(now, this.#before)
    if (idle + active < SHORTEST_MS) return this.#last
    this.#before = now
    this.#last = utilization
    return utilization
  }
}
