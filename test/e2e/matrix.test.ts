/**
 * The matrix of deploy/README.md has a cell for each case and each web server that the end-to-end tests know; the one of
 * README.md sums it up. Both are written from what a run of them said:
 *
 *   npx vitest run test/e2e --reporter=json --outputFile=/tmp/e2e.json
 *   MATRIX=/tmp/e2e.json npx vitest run test/e2e/matrix.test.ts
 */

import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { type Outcome, renderMatrix, renderSummary } from './matrix.ts'

const BEGIN = '<!-- matrix -->\n\n'
const END = '\n<!-- /matrix -->'

/** What vitest's JSON reporter writes, as far as it is read here. */
interface Run {
  readonly testResults: readonly {
    readonly assertionResults: readonly {
      readonly status: string
      readonly meta: { readonly matrix?: { readonly server: string; readonly name: string } }
    }[]
  }[]
}

/** A case passed if it did over every callable that was run. */
function outcomeOf(files: readonly string[]): Outcome {
  const runs: Run[] = files.map(file => JSON.parse(readFileSync(file, 'utf8')))
  const results = runs.flatMap(({ testResults }) => testResults.flatMap(({ assertionResults }) => assertionResults))
  return (server, name) => {
    const found = results.filter(({ meta }) => meta.matrix?.server === server && meta.matrix.name === name)
    if (found.length === 0) return undefined
    return found.every(({ status }) => status === 'passed') ? 'passed' : 'failed'
  }
}

test.each([
  ['deploy/README.md', renderMatrix],
  ['README.md', renderSummary],
] as const)('the matrix of %s has every case and every web server, and no failure', (name, render) => {
  const page = fileURLToPath(new URL(`../../${name}`, import.meta.url))
  const text = readFileSync(page, 'utf8')
  const from = text.indexOf(BEGIN) + BEGIN.length
  const to = text.indexOf(END)
  expect(from).toBeGreaterThanOrEqual(BEGIN.length)
  expect(to).toBeGreaterThanOrEqual(from)
  const { MATRIX } = process.env
  const shown = MATRIX === undefined ? text.slice(from, to) : render(outcomeOf(MATRIX.split(',')))
  if (MATRIX !== undefined) writeFileSync(page, text.slice(0, from) + shown + text.slice(to))
  expect(shown).toBe(render(() => 'passed'))
})
