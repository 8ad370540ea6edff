/**
 * The requests that a thread is given and has not answered, on both sides of its channel, each under a number that no other
 * one under way has.
 *
 * A Map does the same and costs more than it shows: with every few requests it makes a new table, and the old one points to
 * the new one. Once such a table has grown old, each later one, with the requests that were in it, lives until the next full
 * collection: half of all CPU that threads cost a Node listener. Here is one array, which grows and is never replaced.
 */

/** A number is a place in the array, and how often that place has been given away. */
const PLACE_BITS = 20
const PLACE_MASK = (1 << PLACE_BITS) - 1
const MAX_TIMES = (1 << (31 - PLACE_BITS)) - 1

export class UnderWay<T extends { readonly id: number }> {
  readonly #places: (T | undefined)[] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  /** `item.id`: of `Numbers`. */
  set(item: T): void {
    this.#places[item.id & PLACE_MASK] = item
    this.#size++
  }

  get(id: number): T | undefined {
    const item = this.#places[id & PLACE_MASK]
    return item?.id === id ? item : undefined
  }

  /** False if it was not there. */
  delete(item: T): boolean {
    if (this.get(item.id) !== item) return false
    this.#places[item.id & PLACE_MASK] = undefined
    this.#size--
    return true
  }

  /** All of them as they are now, in no order. */
  values(): T[] {
    return this.#places.filter(item => item !== undefined)
  }
}

/** Numbers for requests, as small as can be. */
export class Numbers {
  /** Those that are free, as they were last. */
  readonly #free: number[] = []
  #places = 0

  /** One that is not in use, and was not in use under this very number for the last 2,047 times that its place was. */
  take(): number {
    const last = this.#free.pop()
    if (last === undefined) return this.#places++
    const times = last >>> PLACE_BITS
    return (last & PLACE_MASK) | ((times === MAX_TIMES ? 0 : times + 1) << PLACE_BITS)
  }

  free(number: number): void {
    this.#free.push(number)
  }
}
