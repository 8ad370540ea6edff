/**
 * The command line of the bench.
 */

import { parseArgs } from 'node:util'
import { CASES, CORE } from './cases.js'
import { PEERS } from './peers.js'

const DEFAULT_CASES = Object.keys(CASES).filter(name => !CASES[name].byNameOnly)

const USAGE = `npm run bench -- [options]

CPU of the server process per request, and requests per second: runfcgi and what else could answer, on the same reply.

  --quick             small replies only, without the frameworks, fewer rounds (40 s)
  --cases A,B         ${Object.keys(CASES).join(', ')} (default: ${DEFAULT_CASES.join(', ')})
  --peers A,B         ${Object.keys(PEERS).join(', ')}
  --rounds N          measured rounds of each peer in each case, in alternation (default 25)
  --seconds S         length of a round (default 0.15)
  --requests N        requests in a round, instead of --seconds
  --tcp               over 127.0.0.1 instead of Unix sockets
  --node FILE         the Node.js that runs the servers (default: this one)
  --json FILE         write all figures
  --baseline FILE     compare with figures written by --json; exit 1 if a ratio got worse beyond the spread
  --profile DIR       run the one --peers on the one --cases under --cpu-prof; print where the time went
  --help
`

/** Load on each peer before the first round, whichever comes first: code is compiled by number of calls. */
const WARM_UP = { requests: 20_000, seconds: 2 }

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

function number(text, option, fallback) {
  if (text === undefined) return fallback
  const value = Number(text)
  if (!(value > 0)) throw new UsageError(`${option} needs a number above 0, not '${text}'`)
  return value
}

/** The options as an object, or null after printing the help. */
export function parseOptions(argv) {
  const text = { type: 'string' }
  const flag = { type: 'boolean', default: false }
  const { values } = parseArgs({
    args: argv,
    options: {
      quick: flag,
      cases: text,
      peers: text,
      rounds: text,
      seconds: text,
      requests: text,
      tcp: flag,
      node: text,
      json: text,
      baseline: text,
      profile: text,
      help: flag,
    },
  })
  if (values.help) {
    process.stdout.write(USAGE)
    return null
  }
  const seconds = number(values.seconds, '--seconds', values.quick ? 0.1 : 0.15)
  return {
    cases: names(values.cases, CASES, '--cases') ?? (values.quick ? ['hello', 'connect'] : DEFAULT_CASES),
    peers: names(values.peers, PEERS, '--peers') ?? (values.quick ? CORE : Object.keys(PEERS)),
    rounds: number(values.rounds, '--rounds', values.quick ? 15 : 25),
    amount: values.requests ? { requests: number(values.requests, '--requests') } : { seconds },
    warmUp: values.requests ? { requests: Number(values.requests) } : WARM_UP,
    tcp: values.tcp,
    node: values.node ?? process.execPath,
    json: values.json,
    baseline: values.baseline,
    profile: values.profile,
  }
}
