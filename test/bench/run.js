/**
 * `npm run bench`: see options.js for the command line; cases.js, peers.js and targets.js for what is measured and what it
 * must be; measure.js for how; figures.js for what comes of it.
 */

import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { iterationsFor } from './applications.js'
import { CASES, RUN_TIME } from './cases.js'
import { chart } from './chart.js'
import { hasCompiler } from './compile.js'
import { caseFigures, comparisonFigures, regressions, surroundings } from './figures.js'
import { Load } from './load.js'
import { measureCase } from './measure.js'
import { parseOptions, UsageError } from './options.js'
import { PEERS } from './peers.js'
import { profileSummary } from './profile.js'
import { markdown, withTable } from './readme.js'
import { caseTable, comparisonTable, header, regressionTable, totals } from './report.js'
import { Subject } from './subject.js'

const README = new URL('../../README.md', import.meta.url)

const print = text => process.stdout.write(text)

function write(file, text) {
  const path = file instanceof URL ? fileURLToPath(file) : file
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

const checked = (caseName, subjects) => {
  return `${caseName}: the same reply from ${subjects.map(({ peerName }) => peerName).join(', ') || 'nobody'}\n`
}

/** Measures and prints as it comes. The figures of the run; a case that fails is told of and left out. */
async function measure(options, directory, load) {
  const around = surroundings(options)
  print(header(around))
  const subjectsOfCases = {}
  const cases = {}
  const failed = []
  for (const caseName of options.cases) {
    try {
      const subjects = await measureCase(caseName, options, directory, load, line => print(`\n${line}\n`))
      if (options.check) print(checked(caseName, subjects))
      if (options.check || subjects.length === 0) continue
      subjectsOfCases[caseName] = subjects
      cases[caseName] = caseFigures(subjects)
      print(caseTable(caseName, cases[caseName]))
    } catch (error) {
      failed.push(caseName)
      process.stderr.write(`bench: ${error.stack}\n`)
    }
  }
  return { ...around, cases, comparisons: comparisonFigures(subjectsOfCases), failed }
}

/** What is done with figures, fresh or stored. The exit code. */
function report(options, runs) {
  const [figures] = runs
  print(comparisonTable(figures.comparisons))
  print(totals(figures.comparisons))
  if (options.json) write(options.json, `${JSON.stringify(figures, null, 1)}\n`)
  if (options.svg) write(options.svg, chart(figures))
  if (options.readme) write(README, withTable(readFileSync(README, 'utf8'), markdown(runs)))
  const worse = options.baseline
    ? regressions(figures.comparisons, JSON.parse(readFileSync(options.baseline, 'utf8')))
    : []
  if (options.baseline) print(regressionTable(worse))
  return worse.length + figures.failed.length > 0 ? 1 : 0
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
    await subject.place()
    await subject.start()
    if (subject.peer.idle) await subject.openIdle(options.idle ?? subject.peer.idle)
    await subject.load(load, options.warmUp)
    const after = (performance.now() - started) / 1000
    const { microseconds } = await subject.load(load, { seconds: 3 })
    await subject.stop()
    const { title } = PEERS[subject.peerName]
    print(`${title}, ${subject.caseName}: ${microseconds.toFixed(1)} µs per request, profiler included\n`)
    print('sampled by the clock: a sample in a system call may be the time of another process\n')
    print(profileSummary(options.profile, { after, microseconds }))
  } finally {
    await subject.stop()
  }
  return 0
}

/** What the servers need to know that is only known now: a file to send, and how much work takes 5 ms here. */
function environment(directory) {
  const file = join(directory, '10mb')
  writeFileSync(file, Buffer.alloc(CASES.file.reply, 'x'))
  return { [RUN_TIME.file]: file, [RUN_TIME.iterations]: String(iterationsFor(CASES.burn.milliseconds)) }
}

async function main() {
  const options = parseOptions(process.argv.slice(2))
  if (options === null) return 0
  if (options.from)
    return report(
      options,
      options.from.map(file => JSON.parse(readFileSync(file, 'utf8'))),
    )
  if (process.platform !== 'linux') throw new UsageError('the bench reads CPU time from /proc: it needs Linux')
  if (!hasCompiler()) throw new UsageError('the load generator is written in C: it needs a compiler (cc)')
  // Where it is set, Node.js 20 parses all root certificates at each start, for 50 ms: nothing that a server here needs.
  delete process.env.NODE_EXTRA_CA_CERTS
  // As if it had been installed with that Node.js; the build has done it with the usual one.
  execFileSync(options.node, [fileURLToPath(new URL('../../dist/compile.cjs', import.meta.url))])
  const directory = mkdtempSync(join(os.tmpdir(), 'bench-'))
  // Servers that give up the rights of root come in here.
  chmodSync(directory, 0o755)
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
  const load = new Load(directory)
  try {
    const all = { ...options, environment: environment(directory) }
    if (options.profile) return await profile(all, directory, load)
    return report(options, [await measure(all, directory, load)])
  } finally {
    await load.stop()
  }
}

process.exitCode = await main().catch(error => {
  process.stderr.write(`bench: ${error instanceof UsageError ? error.message : error.stack}\n`)
  return error instanceof UsageError ? 2 : 1
})
