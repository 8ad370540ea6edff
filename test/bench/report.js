/**
 * From rounds to figures, from figures to tables; and against the figures of another time.
 */

import { CASES, COMPARISONS } from './cases.js'
import { PEERS } from './peers.js'
import { quantile, sorted, summary } from './statistics.js'

/** A ratio that is worse by less than this is never called a regression: two runs of the same code differ so much. */
const REGRESSION_MARGIN = 1.05

const medianOf = (rounds, field) => quantile(sorted(rounds.map(round => round[field])), 0.5)

/** What one peer did in one case. */
export function peerFigures({ rounds, residentBytes }) {
  const requests = rounds.reduce((sum, round) => sum + round.requests, 0)
  return {
    requests,
    microseconds: summary(rounds.map(round => round.microseconds)),
    /** All CPU over all requests: rare costs (a full garbage collection) are in here, and every disturbance too. */
    meanMicroseconds: rounds.reduce((sum, round) => sum + round.microseconds * round.requests, 0) / requests,
    perSecond: summary(rounds.map(round => round.perSecond)),
    systemShare: medianOf(rounds, 'systemShare'),
    serverBusy: medianOf(rounds, 'serverBusy'),
    loadBusy: medianOf(rounds, 'loadBusy'),
    residentBytes,
  }
}

/** The comparisons for which both peers were measured: ratios of CPU per request, round by round. */
export function comparisonFigures(subjectsOfCases) {
  const figures = []
  for (const comparison of COMPARISONS) {
    const subjects = subjectsOfCases[comparison.case] ?? []
    const [peer, against] = [comparison.peer, comparison.against].map(name => subjects.find(s => s.peerName === name))
    if (!peer || !against) continue
    const ratio = summary(peer.rounds.map((round, at) => round.microseconds / against.rounds[at].microseconds))
    figures.push({ ...comparison, ratio })
  }
  return figures
}

/**
 * The comparisons whose ratio is worse than in the stored figures: the intervals of the medians lie apart, by more than
 * the margin.
 */
export function regressions(comparisons, baseline) {
  return comparisons.flatMap(now => {
    const then = baseline.comparisons.find(
      old => old.case === now.case && old.peer === now.peer && old.against === now.against,
    )
    if (!then || now.ratio.low <= then.ratio.high * REGRESSION_MARGIN) return []
    return [{ ...now, was: then.ratio }]
  })
}

/** Columns padded to the widest cell; all but the first to the right. */
function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map(row => row[column].length)))
  return rows
    .map(row => row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]) : cell.padStart(widths[at]))).join('  '))
    .map(line => `  ${line.trimEnd()}\n`)
    .join('')
}

const percent = share => `${Math.round(share * 100)} %`
/** Small ratios need more digits to tell whether they are below a limit. */
const ratioDigits = ratio => (ratio < 0.1 ? 3 : 2)
const interval = ({ low, high }, digits) => `${low.toFixed(digits)}–${high.toFixed(digits)}`

export function caseTable(caseName, subjects) {
  const rows = [
    ['', 'CPU µs', '95 % of median', 'lower quartile', 'system', 'per s', 'server busy', 'load busy', 'RSS MB'],
  ]
  for (const subject of subjects) {
    const { microseconds, ...figures } = peerFigures(subject)
    const digits = microseconds.median < 100 ? 1 : 0
    rows.push([
      PEERS[subject.peerName].title,
      microseconds.median.toFixed(digits),
      interval(microseconds, digits),
      microseconds.lowerQuartile.toFixed(digits),
      percent(figures.systemShare),
      figures.perSecond.median.toFixed(0),
      percent(figures.serverBusy),
      percent(figures.loadBusy),
      (figures.residentBytes / 1e6).toFixed(0),
    ])
  }
  const { title, connections } = CASES[caseName]
  return `\n${title}, ${connections} at once\n${table(rows)}`
}

function verdict(ratio, limit) {
  if (limit === undefined) return ''
  return `≤ ${limit.toFixed(2)} ${ratio.median <= limit ? 'met' : 'MISSED'}`
}

export function comparisonTable(comparisons) {
  const rows = [['', 'ratio', '95 % of median', 'target', 'goal']]
  for (const { case: caseName, peer, against, ratio, target, goal } of comparisons) {
    rows.push([
      `${PEERS[peer].title} / ${PEERS[against].title}, ${caseName}`,
      ratio.median.toFixed(ratioDigits(ratio.median)),
      interval(ratio, ratioDigits(ratio.median)),
      verdict(ratio, target),
      verdict(ratio, goal),
    ])
  }
  return rows.length === 1 ? '' : `\nratios of CPU per request, taken within each round\n${table(rows)}`
}

export function regressionTable(worse) {
  const rows = worse.map(({ case: caseName, peer, against, ratio, was }) => [
    `REGRESSION: ${PEERS[peer].title} / ${PEERS[against].title}, ${caseName}`,
    `${was.median.toFixed(2)} (${interval(was, 2)})`,
    'now',
    `${ratio.median.toFixed(2)} (${interval(ratio, 2)})`,
  ])
  return rows.length === 0 ? '\nno ratio is worse than in the baseline\n' : `\n${table(rows)}`
}
