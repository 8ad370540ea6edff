/** The matrix of deploy/README.md: which case is run behind which web server, what came of it, and why some are not. */

import { appliesTo, EVERYTHING, type Limits, type WebServerKind } from '../support/web-server.ts'
import { special } from './cases/special.ts'
import { allProven } from './kinds.ts'
import { GROUPS, type Suite } from './prove-behind.ts'

/** What the run said of a case behind a server; undefined: it was not run. */
export type Outcome = (server: string, name: string) => 'passed' | 'failed' | undefined

interface Case {
  readonly name: string
  readonly limit: keyof Limits | undefined
}

const kinds: readonly WebServerKind[] = allProven.map(([kind]) => kind)

/** What a group would register, without a site to run it on. */
function casesOf(group: (suite: Suite) => void, kind: WebServerKind): Case[] {
  const cases: Case[] = []
  const notNow = (): never => {
    throw new Error('nothing runs yet')
  }
  group({
    kind,
    limits: kind.limits,
    callable: 'node',
    site: notNow,
    inspect: notNow,
    expectHello: notNow,
    check: (name, _body, limit) => void cases.push({ name, limit }),
  })
  return cases
}

/** The tables, as they stand in the page. */
export function renderMatrix(outcome: Outcome): string {
  const notes = new Notes()
  const [first] = kinds
  if (first === undefined) throw new Error('no web servers')
  const rows = GROUPS.flatMap(group => casesOf(group, first)).map(one => {
    const cells = kinds.map(kind => cell(kind, one, outcome, notes))
    return `| ${[one.name, ...cells].join(' | ')} |`
  })
  const ownRows = kinds.flatMap(kind =>
    casesOf(special, kind).map(one => `| ${kind.name} | ${one.name} | ${cell(kind, one, outcome, notes)} |`),
  )
  const columns = kinds.map((kind, index) => `${index + 1}. ${kind.name}`).join('\n')
  const head = `| case | ${kinds.map((_, index) => index + 1).join(' | ')} |\n|---|${kinds.map(() => '---|').join('')}`
  return `${columns}

${head}
${rows.join('\n')}

| only behind | case | |
|---|---|---|
${ownRows.join('\n')}

${notes.text()}
`
}

const NOT = '–'
const MARKS = { passed: '✓', failed: '✗' } as const

function cell(kind: WebServerKind, { name, limit }: Case, outcome: Outcome, notes: Notes): string {
  const result = outcome(kind.name, name)
  const mark = appliesTo(kind, limit) ? (result === undefined ? '?' : MARKS[result]) : NOT
  if (limit === undefined || kind.limits[limit] === EVERYTHING[limit]) return mark
  // That it does not is what was proven.
  if (kind.limits[limit] === false && result === 'passed') return `${NOT} ${notes.mark(reasonOf(kind, limit))}`
  return `${mark} ${notes.mark(reasonOf(kind, limit))}`
}

function reasonOf(kind: WebServerKind, limit: keyof Limits): string {
  const reason = kind.reasons[limit]
  if (reason === undefined) throw new Error(`${kind.name} has a limit without a reason: ${limit}`)
  return reason
}

/** Letters in the order of their first use; the same text has the same letter. */
class Notes {
  readonly #texts: string[] = []

  mark(text: string): string {
    if (!this.#texts.includes(text)) this.#texts.push(text)
    return letter(this.#texts.indexOf(text))
  }

  text(): string {
    return this.#texts.map((text, index) => `- ${letter(index)}: ${text}`).join('\n')
  }
}

const letter = (index: number): string => `<sup>${String.fromCharCode('a'.charCodeAt(0) + index)}</sup>`
