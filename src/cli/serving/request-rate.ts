/** How many requests a second have been served of late, from a number that only grows. */

/** Over how long, in milliseconds. */
const WINDOW_MS = 10_000

interface Sample {
  readonly served: number
  readonly at: number
}

export class RequestRate {
  /** The oldest first; one of them, at most, is older than the window. */
  readonly #samples: Sample[] = []

  /** To be called about once a second. `now` in milliseconds, of any clock that does not jump. */
  sample(served: number, now: number): void {
    this.#samples.push({ served, at: now })
    while (this.#samples.length > 1 && now - (this.#samples[1] as Sample).at >= WINDOW_MS) this.#samples.shift()
  }

  /** 0 before there is anything to compare with. */
  perSecond(served: number, now: number): number {
    const oldest = this.#samples[0]
    return oldest === undefined || now <= oldest.at ? 0 : (1_000 * (served - oldest.served)) / (now - oldest.at)
  }
}
