/**
 * Building the same object again and again: the keys are known, the values come from an array.
 *
 * A loop that sets properties by name costs V8 about twenty times as much as an object literal, and a literal is what a
 * web server's unvarying list of names calls for. So a layout that was used often becomes a function made of source text
 * (`new Function`), one literal; until then, and where code generation is forbidden (`--disallow-code-generation-from-strings`),
 * a loop does the same. The keys come from the peer: they reach the source text only as JSON strings.
 *
 * Knows nothing of CGI.
 */

/** Where one property comes from: the first position that holds it, further ones joined on, or a constant. */
export interface Field {
  readonly key: string
  /** Positions in the array of values; empty for a constant. */
  readonly positions: readonly number[]
  /** What goes between the values when there are several. */
  readonly separator: string
  /** Taken when there is no position, or when the value is empty. */
  readonly fallback: string
}

export type Build = (values: readonly string[]) => Record<string, string>
/** As `Build`, with the properties of a second object appended. */
export type BuildWith = (values: readonly string[], source: object) => Record<string, unknown>

/** Uses of a layout before it is compiled: compiling costs what a few hundred loops do. */
const USES_BEFORE_COMPILING = 50

/**
 * How many layouts stay compiled. Clients choose which headers they send, so they can make up layouts; the oldest one
 * falls back to the loop and may be compiled again, which costs nobody more than a fiftieth of a compilation per request.
 */
const MAX_COMPILED = 256

/** V8 gives an object literal with more properties than this the slow representation. */
const MAX_KEYS = 120

let codeGeneration = true
const compiled: Layout[] = []
let oldest = 0

export class Layout {
  readonly #fields: readonly Field[]
  /** Key of the object that is built → property of the second object. */
  readonly #appended: readonly (readonly [key: string, property: string])[]
  #uses = 0
  #build: BuildWith | undefined

  constructor(fields: readonly Field[], appended: Readonly<Record<string, string>> = {}) {
    this.#appended = Object.entries(appended)
    const taken = new Set(Object.keys(appended))
    // The one name that cannot be a plain property everywhere: `copy['__proto__'] = value` would not make one.
    this.#fields = fields.filter(({ key }) => key !== '__proto__' && !taken.has(key))
  }

  /** A fresh plain object. `source` has the appended properties. */
  build(values: readonly string[], source: object): Record<string, unknown> {
    return this.#build !== undefined ? this.#build(values, source) : this.#buildSlowly(values, source)
  }

  #buildSlowly(values: readonly string[], source: object): Record<string, unknown> {
    this.#uses += 1
    if (this.#uses >= USES_BEFORE_COMPILING) this.#compile()
    const object: Record<string, unknown> = {}
    for (const field of this.#fields) object[field.key] = fieldValue(field, values)
    for (const [key, property] of this.#appended) object[key] = (source as Record<string, unknown>)[property]
    return object
  }

  #compile(): void {
    this.#uses = 0
    if (!codeGeneration || this.#fields.length + this.#appended.length > MAX_KEYS) return
    const fields = this.#fields.map(field => `${JSON.stringify(field.key)}:${expressionFor(field)}`)
    const appended = this.#appended.map(([key, property]) => `${JSON.stringify(key)}:s[${JSON.stringify(property)}]`)
    try {
      this.#build = new Function('v', 's', `return{${[...fields, ...appended].join(',')}}`) as BuildWith
    } catch {
      codeGeneration = false
      return
    }
    compiled[oldest]?.forget()
    compiled[oldest] = this
    oldest = (oldest + 1) % MAX_COMPILED
  }

  /** Back to the loop. */
  forget(): void {
    this.#build = undefined
  }
}

/** The value of one field, as the compiled literal has it. */
export function fieldValue(field: Field, values: readonly string[]): string {
  const { positions, separator, fallback } = field
  const first = positions[0]
  if (first === undefined) return fallback
  if (positions.length === 1) return values[first] || fallback
  return positions.map(position => values[position]).join(separator) || fallback
}

function expressionFor({ positions, separator, fallback }: Field): string {
  const constant = JSON.stringify(fallback)
  if (positions.length === 0) return constant
  const joined = positions.map(position => `v[${position}]`).join(`+${JSON.stringify(separator)}+`)
  return fallback === '' ? joined : `${joined}||${constant}`
}
