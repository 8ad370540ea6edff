/** Requests that wait for a child, in the order they came; bounded. */
export class RequestQueue<T> {
  /** How many may wait. */
  limit: number
  readonly #waiting = new Set<T>()

  constructor(limit: number) {
    this.limit = limit
  }

  get length(): number {
    return this.#waiting.size
  }

  get first(): T | undefined {
    return this.#waiting.values().next().value
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#waiting.values()
  }

  /** False if the queue is full. */
  push(request: T): boolean {
    if (this.#waiting.size >= this.limit) return false
    this.#waiting.add(request)
    return true
  }

  shift(): T | undefined {
    const { first } = this
    if (first !== undefined) this.#waiting.delete(first)
    return first
  }

  remove(request: T): void {
    this.#waiting.delete(request)
  }
}
