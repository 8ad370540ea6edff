/** The matrices of deploy/README.md and README.md: which case is run behind which web server, what came of it, and why some are not. */

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

/** One row for each web server, one column for each group of cases: how many passed, and how many do not apply. */
export function renderSummary(outcome: Outcome): string {
  const notes = new Notes()
  const groups = [...GROUPS, special]
  const rows = kinds.map(kind => {
    const cells = groups.map(group =>
      summary(
        casesOf(group, kind).map(one => verdictOn(kind, one, outcome)),
        notes,
      ),
    )
    return `| ${[kind.name, ...cells].join(' | ')} |`
  })
  const heads = groups.map(group => (group === special ? 'only behind it' : group.name))
  return `| | ${heads.join(' | ')} |\n|---|${heads.map(() => '---|').join('')}
${rows.join('\n')}

<details><summary>The letters: what a web server does not do, or not as much</summary>

${notes.text()}

</details>
`
}

const NOT = '–'
const MARKS = { passed: '✓', failed: '✗' } as const

type Mark = (typeof MARKS)[keyof typeof MARKS] | typeof NOT | '?'

interface Verdict {
  readonly mark: Mark
  /** Why not, or why not as much. */
  readonly reason?: string
}

function summary(verdicts: readonly Verdict[], notes: Notes): string {
  return ([...Object.values(MARKS), NOT, '?'] as const)
    .map(mark => verdicts.filter(verdict => verdict.mark === mark))
    .filter(alike => alike.length > 0)
    .map(alike => {
      const reasons = new Set(alike.flatMap(({ reason }) => (reason === undefined ? [] : [notes.mark(reason)])))
      return [`${alike.length} ${alike[0]?.mark}`, ...reasons].join(' ')
    })
    .join(', ')
}

function cell(kind: WebServerKind, one: Case, outcome: Outcome, notes: Notes): string {
  const { mark, reason } = verdictOn(kind, one, outcome)
  return reason === undefined ? mark : `${mark} ${notes.mark(reason)}`
}

function verdictOn(kind: WebServerKind, { name, limit }: Case, outcome: Outcome): Verdict {
  const result = outcome(kind.name, name)
  const mark = appliesTo(kind, limit) ? (result === undefined ? '?' : MARKS[result]) : NOT
  if (limit === undefined || kind.limits[limit] === EVERYTHING[limit]) return { mark }
  // That it does not is what was proven.
  const isProven = kind.limits[limit] === false && result === 'passed'
  return { mark: isProven ? NOT : mark, reason: reasonOf(kind, limit) }
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
