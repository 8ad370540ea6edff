/**
 * The headers of a light request: reads straight from the CGI variables, becomes a genuine `Headers` when it is changed.
 * A genuine one costs more to fill than most requests cost to answer, and most applications look at two headers or none.
 *
 * Fetch standard §5.1 (Headers class).
 */

import { TOKEN } from '../../cgi/grammar.ts'
import { standIn } from './stand-in.ts'

export const NativeHeaders = globalThis.Headers

/** Names that applications ask for, and what `Headers` makes of them. Bounded, should an application make names up. */
const known = new Map<string, string>()
const MAX_KNOWN = 500

type Each = (value: string, name: string, headers: Headers) => void

export class LightHeaders {
  readonly #record: Readonly<Record<string, string>>
  #native: Headers | undefined

  /** @param record lower-case names, as `Plan.headers()` builds it */
  constructor(record: Readonly<Record<string, string>>) {
    this.#record = record
  }

  get(name: string): string | null {
    const key = known.get(name) ?? keyOf(name)
    if (this.#native !== undefined) return this.#native.get(key)
    return Object.hasOwn(this.#record, key) ? (this.#record[key] as string) : null
  }

  has(name: string): boolean {
    const key = known.get(name) ?? keyOf(name)
    return this.#native === undefined ? Object.hasOwn(this.#record, key) : this.#native.has(key)
  }

  append(name: string, value: string): void {
    this.#open().append(name, value)
  }

  delete(name: string): void {
    this.#open().delete(name)
  }

  set(name: string, value: string): void {
    this.#open().set(name, value)
  }

  getSetCookie(): string[] {
    return this.#open().getSetCookie()
  }

  forEach(each: Each, self?: unknown): void {
    for (const [name, value] of this.#open()) each.call(self, value, name, this as unknown as Headers)
  }

  keys(): IterableIterator<string> {
    return this.#open().keys() as IterableIterator<string>
  }

  values(): IterableIterator<string> {
    return this.#open().values() as IterableIterator<string>
  }

  entries(): IterableIterator<[string, string]> {
    return this.#open().entries() as IterableIterator<[string, string]>
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries()
  }

  /** What `console.log` shows. */
  [Symbol.for('nodejs.util.inspect.custom')](): Headers {
    return this.#open()
  }

  #open(): Headers {
    if (this.#native === undefined) {
      this.#native = new NativeHeaders()
      for (const name of Object.keys(this.#record)) append(this.#native, name, this.#record[name] as string)
    }
    return this.#native
  }
}

standIn(LightHeaders, NativeHeaders)

function keyOf(name: string): string {
  const text = String(name)
  if (!TOKEN.test(text)) throw new TypeError(`Invalid header name: ${text}`)
  const key = text.toLowerCase()
  if (known.size >= MAX_KNOWN) known.clear()
  known.set(text, key)
  return key
}

/** A client may send what no `Headers` can hold (a control character). It is left out, as if it had not been sent. */
function append(headers: Headers, name: string, value: string): void {
  if (!/[\0\r\n]/.test(value)) headers.append(name, value)
}
