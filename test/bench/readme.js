/**
 * The table of the README, between its two comments: the targets with what was measured, a column for each version of
 * Node.js.
 */

import { CASES } from './cases.js'
import { PEERS } from './peers.js'
import { header, targetText, valueText, verdict } from './report.js'
import { MEASURES } from './targets.js'

const BEGIN = '<!-- bench: written by `npm run bench -- --readme` -->'
const END = '<!-- /bench -->'

function cell(comparison) {
  if (!comparison) return ''
  const { median, interval } = valueText(comparison)
  return `${verdict(comparison) === 'MISSED' ? `**${median}, missed**` : median} (${interval})`
}

/** The cells of a row that do not depend on what was measured. */
export const rowOf = comparison => [
  PEERS[comparison.peer].title,
  PEERS[comparison.against].title,
  `${CASES[comparison.case].title}: ${MEASURES[comparison.measure].title}`,
  targetText(comparison),
]

/** Markdown from the figures of one or more runs, the first of which says which comparisons there are. */
export function markdown(runs) {
  const [first] = runs
  const same = (a, b) => ['case', 'peer', 'against', 'measure'].every(field => a[field] === b[field])
  const rows = first.comparisons
    .filter(comparison => targetText(comparison) !== '')
    .map(comparison => [
      ...rowOf(comparison),
      ...runs.map(run => cell(run.comparisons.find(other => same(other, comparison)))),
    ])
  const heads = ['what', 'against', 'measured', 'target', ...runs.map(({ node }) => `Node.js ${node}`)]
  const line = cells => `| ${cells.join(' | ')} |`
  const table = [line(heads), `|${'---|'.repeat(heads.length)}`, ...rows.map(line)].join('\n')
  const around = header({ ...first, node: runs.map(({ node }) => node).join(' and ') })
  return `${table}\n\n${around.trimEnd().split('\n').join('; ')}.`
}

/**
 * The page with the text between the comments replaced.
 * @throws Error if the comments are not there
 */
export function withTable(page, text) {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)]
  if (begin < 0 || end < begin) throw new Error(`the README has no ${BEGIN} … ${END}`)
  return `${page.slice(0, begin)}${BEGIN}\n\n${text}\n\n${page.slice(end)}`
}
