/** How many requests ended with which status. */

/** Beyond it lie no statuses: they have three digits. */
const STATUSES = 1000

/** Counts by status, only those that occurred; 0 is for clients that left before there was one. */
export type Counts = Readonly<Record<number, number>>

export class Tally {
  /** Doubles: they do not overflow within the life of a server. */
  readonly #counts = new Float64Array(STATUSES)

  /** One more, or several. */
  add(status: number, count = 1): void {
    const at = status < STATUSES ? status : 0
    this.#counts[at] = (this.#counts[at] ?? 0) + count
  }

  addAll(counts: Counts): void {
    for (const [status, count] of Object.entries(counts)) this.add(Number(status), count)
  }

  get counts(): Counts {
    const counts: Record<number, number> = {}
    this.#counts.forEach((count, status) => {
      if (count > 0) counts[status] = count
    })
    return counts
  }
}
