/**
 * From rounds to figures: what each peer did in each case, and the comparisons of targets.js. The result is what --json
 * writes and what reports, chart and README are made from.
 */

import { execFileSync } from 'node:child_process'
import os from 'node:os'
import { CASES } from './cases.js'
import { PEERS } from './peers.js'
import { packageVersion, programVersions } from './programs.js'
import { quantile, sorted, summary } from './statistics.js'
import { COMPARISONS, isWorse, MEASURES } from './targets.js'

/** The machine and the versions of everything that takes part. */
export function surroundings({ node, peers, tcp }) {
  const packages = new Set(peers.flatMap(name => PEERS[name].packages ?? []))
  return {
    machine: `${os.cpus()[0]?.model.trim()}, ${os.availableParallelism()} cores, ${os.type()} ${os.release()}`,
    node: execFileSync(node, ['-p', 'process.version'], { encoding: 'utf8' }).trim(),
    packages: Object.fromEntries([...packages].map(name => [name, packageVersion(name)])),
    programs: programVersions(),
    transport: tcp ? 'TCP on 127.0.0.1' : 'Unix sockets',
    loadAverageBefore: os.loadavg()[0],
    date: new Date().toISOString(),
  }
}

const medianOf = (rounds, field) => quantile(sorted(rounds.map(round => round[field])), 0.5)

const LOAD_MEDIANS = ['systemShare', 'serverBusy', 'loadBusy', 'residentBytes']
const SUMMARIES = {
  load: ['microseconds', 'perSecond', 'frontMicroseconds'],
  start: ['milliseconds'],
  memory: ['primary', 'application', 'total', 'loaded', 'perConnection'],
}

/** What one peer did in one case. */
function peerFigures({ caseName, rounds }) {
  const { kind = 'load' } = CASES[caseName]
  const fields = SUMMARIES[kind].filter(field => rounds[0][field] !== undefined)
  const figures = Object.fromEntries(fields.map(field => [field, summary(rounds.map(round => round[field]))]))
  if (kind !== 'load') return figures
  const requests = rounds.reduce((sum, round) => sum + round.requests, 0)
  return {
    requests,
    ...figures,
    /** All CPU over all requests: rare costs (a full garbage collection) are in here, and every disturbance too. */
    meanMicroseconds: rounds.reduce((sum, round) => sum + round.microseconds * round.requests, 0) / requests,
    ...Object.fromEntries(LOAD_MEDIANS.map(field => [field, medianOf(rounds, field)])),
  }
}

export const caseFigures = subjects =>
  Object.fromEntries(subjects.map(subject => [subject.peerName, peerFigures(subject)]))

/** The comparisons for which both peers were measured, each figure taken within a round. */
export function comparisonFigures(subjectsOfCases) {
  return COMPARISONS.flatMap(comparison => {
    const subjects = subjectsOfCases[comparison.case] ?? []
    const [peer, against] = [comparison.peer, comparison.against].map(name => subjects.find(s => s.peerName === name))
    if (!peer || !against) return []
    const { of } = MEASURES[comparison.measure]
    return [{ ...comparison, value: summary(peer.rounds.map((round, at) => of(round, against.rounds[at]))) }]
  })
}

/** The comparisons that are worse than in stored figures: the intervals of the medians lie apart, by more than a margin. */
export function regressions(comparisons, baseline) {
  const same = (a, b) => ['case', 'peer', 'against', 'measure'].every(field => a[field] === b[field])
  return comparisons.flatMap(now => {
    const then = baseline.comparisons.find(old => same(old, now))
    return then && isWorse(now.measure, now.value, then.value) ? [{ ...now, was: then.value }] : []
  })
}
