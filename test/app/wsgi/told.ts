/** Bodies of WSGI-style applications that tell what was done to them. */

import type { Chunk } from '../../../src/app/wsgi/wsgi.ts'

/** Yields the chunks, then fails with `error` if there is one. */
export class Told implements Iterable<Chunk> {
  asked = 0
  returned = 0
  closed = 0
  readonly #chunks: Iterator<Chunk>
  readonly #error: Error | undefined

  constructor(chunks: Iterable<Chunk>, error?: Error) {
    this.#chunks = chunks[Symbol.iterator]()
    this.#error = error
  }

  [Symbol.iterator](): Iterator<Chunk> {
    return { next: () => this.next(), return: () => this.return() }
  }

  next(): IteratorResult<Chunk> {
    this.asked++
    const next = this.#chunks.next()
    if (next.done && this.#error !== undefined) throw this.#error
    return next
  }

  return(): IteratorResult<Chunk> {
    this.returned++
    return { done: true, value: undefined }
  }

  close(): void {
    this.closed++
  }
}

/** The same, asynchronous. */
export class ToldLater implements AsyncIterable<Chunk> {
  readonly #told: Told

  constructor(chunks: Iterable<Chunk>, error?: Error) {
    this.#told = new Told(chunks, error)
  }

  get asked(): number {
    return this.#told.asked
  }

  get returned(): number {
    return this.#told.returned
  }

  get closed(): number {
    return this.#told.closed
  }

  [Symbol.asyncIterator](): AsyncIterator<Chunk> {
    return { next: async () => this.#told.next(), return: async () => this.#told.return() }
  }

  async close(): Promise<void> {
    this.#told.close()
  }
}

/** A chunk without end. */
export function* forever(chunk: Chunk): Iterable<Chunk> {
  for (;;) yield chunk
}
