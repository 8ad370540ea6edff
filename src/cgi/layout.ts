/**
 * Building the same object again and again: the keys are known, the values come from an array.
 *
 * A loop that sets properties by name costs V8 some twenty times as much as an object literal, and a literal is what a
 * web server's unvarying list of names calls for. So a layout that was used often becomes a function made of source text
 * (`new Function`), one literal; until then, and where code generation is forbidden (`--disallow-code-generation-from-strings`),
 * a loop does the same. The keys come from the peer: they reach the source text only as JSON strings.
 *
 * Knows nothing of CGI.
 */

/** A property of the object. */
export interface Column {
  /** Never `__proto__`, which is no property like others. */
  readonly key: string
  /** What becomes of values for the same key. */
  readonly repeated: 'joined' | 'first' | 'last'
  /** What they are joined with. */
  readonly separator: string
}

export interface LayoutOptions {
  /** Properties that are there in any case, and their value if there is none or an empty one. */
  readonly defaults?: Readonly<Record<string, string>>
  /** Properties taken from a second object: key → property there. They win over columns. */
  readonly appended?: Readonly<Record<string, string>>
}

type Build = (values: readonly string[], source: object) => Record<string, unknown>

/** Uses of a layout before it is compiled: compiling costs what a few hundred loops do. */
const USES_BEFORE_COMPILING = 50

/**
 * How many layouts stay compiled. Clients choose which headers they send, so they can make up layouts; the oldest one
 * falls back to the loop and may be compiled again, which costs nobody more than a fiftieth of a compilation per request.
 */
const MAX_COMPILED = 256

/** V8 gives an object literal with 128 properties or more the slow representation. */
const MAX_KEYS = 120

let codeGeneration = true
const compiled: Layout[] = []
let oldest = 0

export class Layout {
  readonly #columns: readonly (Column | undefined)[]
  readonly #defaults: Readonly<Record<string, string>>
  readonly #appended: Readonly<Record<string, string>>
  #uses = 0
  #build: Build | undefined

  /** @param columns one for each value; undefined: that value is left out */
  constructor(columns: readonly (Column | undefined)[], { defaults = {}, appended = {} }: LayoutOptions = {}) {
    this.#columns = columns
    this.#defaults = defaults
    this.#appended = appended
  }

  /** A fresh plain object. */
  build(values: readonly string[], source: object): Record<string, unknown> {
    return this.#build === undefined ? this.#loop(values, source) : this.#build(values, source)
  }

  /** Back to the loop. */
  forget(): void {
    this.#build = undefined
  }

  #loop(values: readonly string[], source: object): Record<string, unknown> {
    if (++this.#uses >= USES_BEFORE_COMPILING) this.#compile()
    const object: Record<string, unknown> = {}
    for (let position = 0; position < this.#columns.length; position++) {
      const column = this.#columns[position]
      if (column === undefined) continue
      const { key, repeated, separator } = column
      const value = values[position] as string
      const before = Object.hasOwn(object, key) ? object[key] : undefined
      if (before === undefined || repeated === 'last') object[key] = value
      else if (repeated === 'joined') object[key] = before + separator + value
    }
    for (const key in this.#defaults) object[key] ||= this.#defaults[key]
    for (const key in this.#appended) object[key] = (source as Record<string, unknown>)[this.#appended[key] as string]
    return object
  }

  #compile(): void {
    this.#uses = 0
    const properties = this.#properties()
    if (!codeGeneration || properties.size > MAX_KEYS) return
    const literal = Array.from(properties, ([key, expression]) => `${JSON.stringify(key)}:${expression}`).join(',')
    try {
      this.#build = new Function('v', 's', `return{${literal}}`) as Build
    } catch {
      codeGeneration = false
      return
    }
    compiled[oldest]?.forget()
    compiled[oldest] = this
    oldest = (oldest + 1) % MAX_COMPILED
  }

  /** Key → source text, in the order in which the loop sets them. */
  #properties(): Map<string, string> {
    const properties = new Map<string, string>()
    this.#columns.forEach((column, position) => {
      if (column === undefined) return
      const { key, repeated, separator } = column
      const before = properties.get(key)
      if (before === undefined || repeated === 'last') properties.set(key, `v[${position}]`)
      else if (repeated === 'joined') properties.set(key, `${before}+${JSON.stringify(separator)}+v[${position}]`)
    })
    for (const [key, value] of Object.entries(this.#defaults)) {
      const expression = properties.get(key)
      const constant = JSON.stringify(value)
      if (expression === undefined) properties.set(key, constant)
      else if (value !== '') properties.set(key, `${expression}||${constant}`)
    }
    for (const [key, property] of Object.entries(this.#appended)) {
      properties.set(key, `s[${JSON.stringify(property)}]`)
    }
    return properties
  }
}
