/**
 * A Map for what is nearly always one entry: the requests of a connection. The first one costs no hashing, and no table
 * that grows and shrinks with every request.
 */
export class Few<K, V extends object> {
  #key: K | undefined
  #value: V | undefined
  /** The others; `#value` is never empty while there are some. */
  #more: Map<K, V> | undefined

  get size(): number {
    if (this.#value === undefined) return 0
    return this.#more === undefined ? 1 : 1 + this.#more.size
  }

  get(key: K): V | undefined {
    return this.#key === key ? this.#value : this.#more?.get(key)
  }

  set(key: K, value: V): void {
    if (this.#value === undefined || this.#key === key) {
      this.#key = key
      this.#value = value
    } else {
      this.#more ??= new Map()
      this.#more.set(key, value)
    }
  }

  delete(key: K): void {
    if (this.#key !== key) {
      this.#more?.delete(key)
      return
    }
    this.#key = undefined
    this.#value = undefined
    if (this.#more !== undefined && this.#more.size > 0) this.#promote(this.#more)
  }

  /** All of them as they are now. */
  values(): V[] {
    if (this.#value === undefined) return []
    return this.#more === undefined ? [this.#value] : [this.#value, ...this.#more.values()]
  }

  #promote(more: Map<K, V>): void {
    for (const [key, value] of more) {
      this.#key = key
      this.#value = value
      more.delete(key)
      return
    }
  }
}
