/**
 * Figures as text for the terminal.
 */

import { CASES } from './cases.js'
import { PEERS } from './peers.js'
import { isMet, MEASURES } from './targets.js'

/** Columns padded to the widest cell; all but the first to the right. */
function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map(row => row[column].length)))
  return rows
    .map(row => row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]) : cell.padStart(widths[at]))).join('  '))
    .map(line => `  ${line.trimEnd()}\n`)
    .join('')
}

const percent = share => `${Math.round(share * 100)} %`
const megabytes = value => (value / 1e6).toFixed(1)
/** Small ratios need more digits to tell whether they are below a limit. */
const digitsOf = (value, unit) => (unit === '×' ? (Math.abs(value) < 0.1 ? 3 : 2) : 1)
const interval = ({ low, high }, digits) => `${low.toFixed(digits)} to ${high.toFixed(digits)}`
const median = ({ median: value }) => value.toFixed(value < 100 ? 1 : 0)
const spread = summary => interval(summary, summary.median < 100 ? 1 : 0)

/** The columns of a case's table, by kind; those whose figure no peer has are left out. */
const COLUMNS = {
  load: {
    'CPU µs': figures => median(figures.microseconds),
    '95 % of median': figures => spread(figures.microseconds),
    system: figures => percent(figures.systemShare),
    'front µs': figures => figures.frontMicroseconds && median(figures.frontMicroseconds),
    'per s': figures => figures.perSecond.median.toFixed(0),
    'server busy': figures => percent(figures.serverBusy),
    'load busy': figures => percent(figures.loadBusy),
    'RSS MB': figures => megabytes(figures.residentBytes),
  },
  start: {
    ms: figures => median(figures.milliseconds),
    '95 % of median': figures => spread(figures.milliseconds),
  },
  memory: {
    'first process MB': figures => megabytes(figures.primary.median),
    'with the application MB': figures => megabytes(figures.application.median),
    'all MB': figures => megabytes(figures.total.median),
    'all after load MB': figures => megabytes(figures.loaded.median),
    'idle connection KB': figures => (figures.perConnection.median / 1e3).toFixed(1),
  },
}

export function caseTable(caseName, peers) {
  const { kind = 'load', title, connections } = CASES[caseName]
  const columns = Object.entries(COLUMNS[kind]).filter(([, cell]) => Object.values(peers).some(cell))
  const rows = Object.entries(peers).map(([name, figures]) => [
    PEERS[name].title,
    ...columns.map(([, cell]) => cell(figures)),
  ])
  const heading = kind === 'load' ? `${title}, ${connections} at once` : title
  return `\n${heading} [${caseName}]\n${table([['', ...columns.map(([head]) => head)], ...rows])}`
}

/** `0.52 (0.50 to 0.55)`. */
export function valueText({ measure, value }) {
  const { unit } = MEASURES[measure]
  const digits = digitsOf(value.median, unit)
  return {
    median: value.median.toFixed(digits),
    interval: interval(value, digits),
    unit: unit === '×' ? '' : ` ${unit}`,
  }
}

export function targetText({ measure, atMost, atLeast }) {
  const unit = MEASURES[measure].unit === '×' ? '' : ` ${MEASURES[measure].unit}`
  if (atMost !== undefined) return `≤ ${atMost}${unit}`
  return atLeast === undefined ? '' : `≥ ${atLeast}${unit}`
}

export function verdict(comparison) {
  const met = isMet(comparison, comparison.value.median)
  return met === undefined ? '' : met ? 'met' : 'MISSED'
}

const nameOf = ({ case: caseName, peer, against }) => `${PEERS[peer].title} : ${PEERS[against].title} [${caseName}]`

export function comparisonTable(comparisons) {
  const rows = comparisons.map(comparison => {
    const { median: text, interval: range, unit } = valueText(comparison)
    return [
      nameOf(comparison),
      MEASURES[comparison.measure].title,
      `${text}${unit}`,
      range,
      targetText(comparison),
      verdict(comparison),
    ]
  })
  if (rows.length === 0) return ''
  return `\ncomparisons, each taken within a round\n${table([['', '', 'median', '95 % of median', 'target', ''], ...rows])}`
}

export function regressionTable(worse) {
  const rows = worse.map(comparison => {
    const [was, now] = [{ ...comparison, value: comparison.was }, comparison].map(valueText)
    return [
      `REGRESSION: ${nameOf(comparison)}`,
      MEASURES[comparison.measure].title,
      `${was.median} (${was.interval})`,
      'now',
      `${now.median} (${now.interval})`,
    ]
  })
  return rows.length === 0 ? '\nno comparison is worse than in the baseline\n' : `\n${table(rows)}`
}

const versions = named =>
  Object.entries(named)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')

/** Everything that the figures depend on. */
export function header({ machine, node, packages, programs, transport, loadAverageBefore }) {
  return [
    `${machine}, load average ${loadAverageBefore.toFixed(2)} before the run`,
    [`servers on Node.js ${node}`, versions(packages)].filter(Boolean).join(', '),
    `${versions(programs)}; ${transport}`,
    '',
  ].join('\n')
}

/** How many targets were met. */
export function totals(comparisons) {
  const outcomes = comparisons.map(verdict)
  const [met, missed] = ['met', 'MISSED'].map(word => outcomes.filter(outcome => outcome === word).length)
  return met + missed === 0 ? '' : `\n${met} targets met, ${missed} missed\n`
}
