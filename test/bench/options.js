/**
 * The command line of the bench.
 */

import { execFileSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { CASES } from './cases.js'
import { PEERS } from './peers.js'

const DEFAULT_CASES = Object.keys(CASES).filter(name => !CASES[name].byNameOnly)
const QUICK_CASES = ['hello', 'frameworks', 'methods', 'connect']

/** A list in lines of readable length. */
function listed(names, indent) {
  const lines = ['']
  for (const name of names) {
    if (lines.at(-1).length + name.length > 92) lines.push('')
    lines[lines.length - 1] += `${name} `
  }
  return lines.join(`\n${' '.repeat(indent)}`)
}

const USAGE = `npm run bench -- [options]

CPU of the server process per request, requests per second, start-up and memory: runfcgi and what else could answer, with
the same reply, and what that must be (test/bench/targets.js). All of it takes about twelve minutes.

  --quick             ${QUICK_CASES.join(', ')} with fewer rounds: about a minute
  --check             measure nothing: start every peer in every case, compare the replies, try the load
  --cases A,B         ${listed(Object.keys(CASES), 22)}
                      (default: all but ${Object.keys(CASES).filter(name => CASES[name].byNameOnly)})
  --peers A,B         ${listed(Object.keys(PEERS), 22)}
                      (default: all)
  --rounds N          measured rounds of each peer in each case, in alternation (default: 5 to 25, by case)
  --seconds S         length of a round (default: 0.15 to 0.6, by case)
  --requests N        requests in a round, instead of --seconds
  --idle N            idle connections where the case has them (default: 10000)
  --tcp               over 127.0.0.1 instead of Unix sockets
  --node FILE|N       the Node.js that runs the servers: a program, or a version for npx (default: this one)

  --json FILE         write all figures
  --from FILE,FILE    measure nothing: take figures written by --json; more files (other versions of Node.js) are
                      columns of the table in the README
  --baseline FILE     compare with figures written by --json; exit 1 if a comparison got worse beyond the spread
  --svg FILE          draw the chart
  --readme            write the table into README.md, and the chart to deploy/pictures/bench.svg

  --profile DIR       run the one --peers on the one --cases under --cpu-prof; print where the time went
  --help
`

/**
 * Load on each peer before the first round, whichever comes first: code is compiled by number of calls. Cases with slow
 * requests have their own.
 */
const WARM_UP = { requests: 15_000, seconds: 6 }

export class UsageError extends Error {}

function names(text, known, option) {
  if (text === undefined) return null
  const chosen = text.split(',')
  for (const name of chosen) {
    if (!Object.hasOwn(known, name)) {
      throw new UsageError(`${option}: no '${name}'; there are ${Object.keys(known).join(', ')}`)
    }
  }
  return chosen
}

function number(text, option) {
  if (text === undefined) return undefined
  const value = Number(text)
  if (!(value > 0)) throw new UsageError(`${option} needs a number above 0, not '${text}'`)
  return value
}

/** The npm package `node` brings the program of each version. */
function nodeProgram(text) {
  if (text === undefined) return process.execPath
  if (!/^\d+(\.\d+)*$/.test(text)) return text
  const args = ['--yes', `--package=node@${text}`, '--', 'node', '-p', 'process.execPath']
  return execFileSync('npx', args, { encoding: 'utf8' }).trim()
}

/** `--requests` wins over `--seconds`; neither: each case has its own. */
function amountOf({ requests, seconds }) {
  if (requests !== undefined) return { requests: number(requests, '--requests') }
  return seconds === undefined ? undefined : { seconds: number(seconds, '--seconds') }
}

/** The options as an object, or null after printing the help. */
export function parseOptions(argv) {
  const text = { type: 'string' }
  const flag = { type: 'boolean', default: false }
  const { values } = parseArgs({
    args: argv,
    options: {
      ...{
        quick: flag,
        check: flag,
        cases: text,
        peers: text,
        rounds: text,
        seconds: text,
        requests: text,
        idle: text,
      },
      ...{ tcp: flag, node: text, json: text, from: text, baseline: text, svg: text, readme: flag, profile: text },
      help: flag,
    },
  })
  if (values.help) {
    process.stdout.write(USAGE)
    return null
  }
  const amount = amountOf(values)
  return {
    cases: names(values.cases, CASES, '--cases') ?? (values.quick ? QUICK_CASES : DEFAULT_CASES),
    peers: names(values.peers, PEERS, '--peers') ?? Object.keys(PEERS),
    rounds: number(values.rounds, '--rounds') ?? (values.quick ? 7 : undefined),
    usualRounds: 15,
    amount,
    usualSeconds: values.quick ? 0.1 : 0.15,
    warmUp: amount?.requests ? amount : WARM_UP,
    check: values.check,
    idle: number(values.idle, '--idle'),
    tcp: values.tcp,
    node: nodeProgram(values.node),
    json: values.json,
    from: values.from?.split(','),
    baseline: values.baseline,
    svg: values.svg ?? (values.readme ? new URL('../../deploy/pictures/bench.svg', import.meta.url) : undefined),
    readme: values.readme,
    profile: values.profile,
  }
}
