/** Whether the event loop of a thread turns, as the thread shows in memory that it shares with the main thread. */

import { BEAT_MS, Shared } from './messages.ts'

/** A thread that has not turned its event loop for this long is given nothing while another one turns. */
const STUCK_MS = 3 * BEAT_MS

/** If this process was not looking for so long it was stopped itself, and the threads with it. */
const ASLEEP_MS = 2_000

export class Pulse {
  readonly #cells: Int32Array
  #beat = 0
  #beatAt = performance.now()
  #feltAt = performance.now()

  constructor(cells: Int32Array) {
    this.#cells = cells
  }

  /** Milliseconds for which the event loop had not turned when the pulse was last felt. */
  get stuckFor(): number {
    return this.#feltAt - this.#beatAt
  }

  get stuck(): boolean {
    return this.stuckFor > STUCK_MS
  }

  /** `now`: `performance.now()`. */
  feel(now: number): void {
    const beat = Atomics.load(this.#cells, Shared.beat)
    if (beat !== this.#beat || now - this.#feltAt > ASLEEP_MS) this.#beatAt = now
    this.#beat = beat
    this.#feltAt = now
  }

  /** It was seen to turn, by something else. */
  restart(): void {
    this.#beatAt = this.#feltAt = performance.now()
  }
}
