/**
 * What follows from the names of a request's CGI variables alone: where the value of each one stands, which objects to
 * build from the values, which header each variable was. Worked out once for a sequence of names and kept, because a web
 * server sends the same names with almost every request (src/cgi/params.ts).
 *
 * Which value SCRIPT_NAME and PATH_INFO ought to have depends on more than names: src/cgi/request.ts.
 */

import { parseLength } from './grammar.ts'
import { Layout } from './layout.ts'
import type { Params } from './params.ts'
import { type Positions, positionsOf, REDIRECTED_AUTHORIZATION, type Variable, variableOf } from './variable.ts'

/** The CGI variables of one request, each value one character a byte (latin1), as PEP 3333 has them. */
export type Environ = Record<string, string>

type Values = readonly string[]

/** What every environ has, and its value when the web server sent none or an empty one. */
const ESSENTIAL: Readonly<Environ> = {
  GATEWAY_INTERFACE: 'CGI/1.1',
  REQUEST_METHOD: 'GET',
  SCRIPT_NAME: '',
  PATH_INFO: '',
  QUERY_STRING: '',
  SERVER_NAME: '',
  SERVER_PORT: '',
  SERVER_PROTOCOL: 'HTTP/1.1',
  REMOTE_ADDR: '',
}

const NOTHING = {}

export class Plan {
  readonly names: readonly string[]
  readonly at: Readonly<Positions>
  readonly #variables: readonly Variable[]
  #environ: Layout | undefined
  #appended: Readonly<Record<string, string>> = NOTHING
  #extended: Layout | undefined
  #headers: Layout | undefined
  /** `['Host', '', 'Accept', '', …]`, and the position of the value of each. */
  #rawHeaders: readonly string[] | undefined
  #rawPositions: readonly number[] = []
  #positions: ReadonlyMap<string, readonly number[]> | undefined

  constructor(names: readonly string[]) {
    this.names = names
    this.#variables = names.map(variableOf)
    this.at = positionsOf(this.#variables)
  }

  /** One variable, repeated headers joined; undefined when it was not sent or is never passed on. */
  get(values: Values, name: string): string | undefined {
    this.#positions ??= this.#findPositions()
    const positions = this.#positions.get(name)
    if (positions === undefined) return undefined
    if (positions.length === 1) return values[positions[0] as number]
    return positions.map(position => values[position]).join(variableOf(name).column?.separator)
  }

  /**
   * A fresh plain object with every variable, those that RFC 3875 requires also when they were not sent. SCRIPT_NAME and
   * PATH_INFO are as sent: `RequestFacts.environ()` has them right.
   */
  environ(values: Values): Environ {
    this.#environ ??= new Layout(this.#columns(), { defaults: ESSENTIAL })
    return this.#environ.build(values, NOTHING) as Environ
  }

  /**
   * The same, with the properties of `source` that `appended` maps names to (`{ 'wsgi.input': 'input' }`). They win over
   * variables of that name. Pass the same `appended` every time: what is made for it is kept.
   */
  environWith<T>(values: Values, appended: Readonly<Record<string, string>>, source: object): Environ & T {
    if (this.#extended === undefined || this.#appended !== appended) {
      this.#extended = new Layout(this.#columns(), { defaults: ESSENTIAL, appended })
      this.#appended = appended
    }
    return this.#extended.build(values, source) as Environ & T
  }

  /** The request's headers as `http.IncomingMessage.headers` has them: lower case, repeated ones joined or the first taken. */
  headers(values: Values): Record<string, string> {
    this.#headers ??= new Layout(this.#headerVariables().map(variable => variable?.header))
    const headers = this.#headers.build(values, NOTHING) as Record<string, string>
    const { contentType, contentLength } = this.at
    if (contentType >= 0 && values[contentType] !== '') headers['content-type'] = values[contentType] as string
    if (contentLength >= 0 && parseLength(values[contentLength] as string) >= 0) {
      headers['content-length'] = values[contentLength] as string
    }
    return headers
  }

  /** The same as `http.IncomingMessage.rawHeaders` has them: name and value by turns, each occurrence. */
  rawHeaders(values: Values): string[] {
    const raw = (this.#rawHeaders ?? this.#nameRawHeaders()).slice()
    const positions = this.#rawPositions
    for (let i = 0; i < positions.length; i++) raw[2 * i + 1] = values[positions[i] as number] as string
    const { contentType, contentLength } = this.at
    if (contentType >= 0 && values[contentType] !== '') raw.push('Content-Type', values[contentType] as string)
    if (contentLength >= 0 && parseLength(values[contentLength] as string) >= 0) {
      raw.push('Content-Length', values[contentLength] as string)
    }
    return raw
  }

  #columns() {
    return this.#variables.map(variable => variable.column)
  }

  /** Those that are headers, each in its place; of those that mean one thing only the one that counts. */
  #headerVariables(): readonly (Variable | undefined)[] {
    const redirected = this.names.includes('HTTP_AUTHORIZATION') ? variableOf(REDIRECTED_AUTHORIZATION) : undefined
    return this.#variables.map((variable, position) => {
      const { header, known } = variable
      const isOther = known === 'httpHost' && position !== this.at.httpHost
      return header === undefined || variable === redirected || isOther ? undefined : variable
    })
  }

  #nameRawHeaders(): readonly string[] {
    const headers = this.#headerVariables()
    const positions = Array.from(headers.keys()).filter(position => headers[position] !== undefined)
    this.#rawPositions = positions
    this.#rawHeaders = positions.flatMap(position => [headers[position]?.rawHeader ?? '', ''])
    return this.#rawHeaders
  }

  #findPositions(): ReadonlyMap<string, readonly number[]> {
    const found = new Map<string, number[]>()
    this.#variables.forEach(({ column }, position) => {
      if (column === undefined) return
      const positions = found.get(column.key)
      if (positions === undefined || column.repeated === 'last') found.set(column.key, [position])
      else positions.push(position)
    })
    return found
  }
}

const plans = new WeakMap<readonly string[], Plan>()
let last = new Plan([])

/** The plan for one sequence of names; kept for as long as that very array is. */
export function planFor(names: readonly string[]): Plan {
  if (last.names === names) return last
  let plan = plans.get(names)
  if (plan === undefined) {
    plan = new Plan(names)
    plans.set(names, plan)
  }
  last = plan
  return plan
}

/** What was asked for, for the log: as the client wrote it, where the web server says so. '' for what is not known. */
export function requestLine({ names, values }: Params): { readonly method: string; readonly uri: string } {
  const plan = planFor(names)
  const uri = plan.get(values, 'REQUEST_URI') ?? plan.get(values, 'PATH_INFO') ?? plan.get(values, 'SCRIPT_NAME')
  return { method: plan.get(values, 'REQUEST_METHOD') ?? '', uri: uri ?? '' }
}
