/**
 * `npm run bench`: see options.js for the command line, cases.js and peers.js for what is measured, measure.js for how.
 */

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import { dirname, join } from 'node:path'
import { CASES } from './cases.js'
import { Load, Subject } from './measure.js'
import { parseOptions, UsageError } from './options.js'
import { PEERS } from './peers.js'
import { profileSummary } from './profile.js'
import { caseTable, comparisonFigures, comparisonTable, peerFigures, regressions, regressionTable } from './report.js'

const print = text => process.stdout.write(text)

/** Read from package.json itself: not every package exports it. */
function packageVersion(name) {
  const folders = createRequire(import.meta.url).resolve.paths(name)
  const file = folders.map(folder => join(folder, name, 'package.json')).find(existsSync)
  return JSON.parse(readFileSync(file, 'utf8')).version
}

function surroundings({ node, peers, tcp, rounds, amount }) {
  const packages = new Set(peers.flatMap(name => PEERS[name].packages ?? []))
  return {
    machine: `${os.cpus()[0]?.model.trim()}, ${os.availableParallelism()} cores, ${os.type()} ${os.release()}`,
    node: execFileSync(node, ['-p', 'process.version'], { encoding: 'utf8' }).trim(),
    packages: Object.fromEntries([...packages].map(name => [name, packageVersion(name)])),
    transport: tcp ? 'TCP on 127.0.0.1' : 'Unix socket',
    rounds,
    ...amount,
    loadAverageBefore: os.loadavg()[0],
    date: new Date().toISOString(),
  }
}

function header({ machine, node, packages, transport, rounds, seconds, requests, loadAverageBefore }) {
  const versions = Object.entries(packages).map(([name, version]) => `${name} ${version}`)
  const length = requests ? `${requests} requests` : `${seconds} s`
  return [
    `${machine}, load average ${loadAverageBefore.toFixed(2)} before the run`,
    ['servers on Node.js', node, ...versions].join(', ').replace('Node.js,', 'Node.js'),
    `${transport}; ${rounds} rounds of ${length} for each peer, in rotating order`,
    '',
  ].join('\n')
}

/** All peers of one case, each started and warm, then round after round in an order that moves on by one. */
async function runCase(caseName, options, directory, load) {
  const names = CASES[caseName].peers.filter(name => options.peers.includes(name))
  const subjects = names.map(name => new Subject(caseName, name, { ...options, directory }))
  try {
    for (const subject of subjects) {
      await subject.start()
      await subject.load(load, options.warmUp)
    }
    for (let round = 0; round < options.rounds; round += 1) {
      for (let turn = 0; turn < subjects.length; turn += 1) {
        await subjects[(round + turn) % subjects.length].round(load, options.amount)
      }
    }
  } finally {
    await Promise.all(subjects.map(subject => subject.stop()))
  }
  return subjects
}

/** Everything is measured, printed as it comes, written and compared. The exit code. */
async function bench(options, directory, load) {
  const around = surroundings(options)
  print(header(around))
  const subjectsOfCases = {}
  for (const caseName of options.cases) {
    const subjects = await runCase(caseName, options, directory, load)
    if (subjects.length === 0) continue
    subjectsOfCases[caseName] = subjects
    print(caseTable(caseName, subjects))
  }
  const comparisons = comparisonFigures(subjectsOfCases)
  print(comparisonTable(comparisons))
  if (options.json) {
    const cases = Object.entries(subjectsOfCases).map(([name, subjects]) => [
      name,
      Object.fromEntries(subjects.map(subject => [subject.peerName, peerFigures(subject)])),
    ])
    const figures = { ...around, cases: Object.fromEntries(cases), comparisons }
    mkdirSync(dirname(options.json), { recursive: true })
    writeFileSync(options.json, `${JSON.stringify(figures, null, 2)}\n`)
  }
  if (!options.baseline) return 0
  const worse = regressions(comparisons, JSON.parse(readFileSync(options.baseline, 'utf8')))
  print(regressionTable(worse))
  return worse.length > 0 ? 1 : 0
}

/** One peer on one case under V8's sampling profiler. */
async function profile(options, directory, load) {
  if (options.peers.length !== 1 || options.cases.length !== 1) {
    throw new UsageError('--profile wants one name in --peers and one in --cases')
  }
  mkdirSync(options.profile, { recursive: true })
  const nodeOptions = ['--cpu-prof', `--cpu-prof-dir=${options.profile}`, '--cpu-prof-interval=200']
  const subject = new Subject(options.cases[0], options.peers[0], { ...options, directory, nodeOptions })
  try {
    const started = performance.now()
    await subject.start()
    await subject.load(load, options.warmUp)
    const after = (performance.now() - started) / 1000
    await subject.round(load, { seconds: 3 })
    await subject.stop()
    const { microseconds } = subject.rounds[0]
    print(
      `${PEERS[subject.peerName].title}, ${subject.caseName}: ${microseconds.toFixed(1)} µs per request, profiler included\n`,
    )
    print('sampled by the clock: a sample in a system call may be the time of another process\n')
    print(profileSummary(options.profile, { after, microseconds }))
  } finally {
    await subject.stop()
  }
  return 0
}

async function main() {
  const options = parseOptions(process.argv.slice(2))
  if (options === null) return 0
  if (process.platform !== 'linux') throw new UsageError('the bench reads CPU time from /proc: it needs Linux')
  const directory = mkdtempSync(join(os.tmpdir(), 'bench-'))
  const load = new Load()
  try {
    return await (options.profile ? profile : bench)(options, directory, load)
  } finally {
    await load.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}

process.exitCode = await main().catch(error => {
  process.stderr.write(`bench: ${error instanceof UsageError ? error.message : error.stack}\n`)
  return error instanceof UsageError ? 2 : 1
})
