/** The status of a daemon for people: pure text, no wider than 80 columns unless a path is. */

import {
  type ChildStatus,
  type Ending,
  type LongRequest,
  NO_TRAFFIC,
  type PoolStatus,
  type Status,
  type Traffic,
} from '../../process/status.ts'

const WIDTH = 80

/** The columns before what is told. */
const NAME = 13

type Row = readonly [name: string, ...lines: readonly string[]]

/** Lines without a newline at the end. */
export function statusText(told: Status): string {
  const status = complete(told)
  const { pid, version, node, method, state, uptime, listen, removed = [], app, pool, predecessor } = status
  const how = method === undefined || method === 'inline' ? '' : `${method}, `
  const rows: readonly Row[] = [
    ['application', ...(app === undefined ? [] : [`${app || 'handed over'} (${status.interface})`])],
    [
      'listens on',
      listen.join(' '),
      ...removed.map(place => `${place} WAS REMOVED: nobody can connect until a restart`),
    ],
    ['succeeds', ...(predecessor === undefined ? [] : [`process ${predecessor}, which finishes its requests`])],
    ['requests', requestsLine(status)],
    ['longest', ...status.longest.slice(0, SHOWN).map(longLine)],
    ['replies', repliesLine(status.traffic)],
    ['memory', pool === undefined || method === 'threaded' ? size(status.memory) : memoryLine(status.memory, pool)],
    ...(pool === undefined ? [] : poolRows(pool)),
  ]
  return [
    `runfcgi ${version} (Node.js ${node}), process ${pid}: ${how}${state} for ${duration(uptime)}`,
    ...rows.flatMap(rowLines),
    ...(pool === undefined || pool.children.length === 0 ? [] : ['', ...childrenTable(pool.children, method)]),
  ].join('\n')
}

const UNTOLD = { uptime: 0, listen: [], memory: 0, perSecond: 0, longest: [] }
const UNTOLD_POOL = { minspare: 0, maxspare: 0, maxchildren: 0, spare: 0, generation: 1, lately: [] }
const UNTOLD_PAST = { spawned: 0, crashed: 0, killed: 0, reloads: 0, failedReloads: 0 }
const UNTOLD_CHILD = { generation: 1, inflight: 0, served: 0, memory: 0, utilization: 0, stuckFor: 0, age: 0 }

/** A daemon may be older than the command that asks it, and not tell all that this one shows. */
function complete(told: Status): Status {
  const { traffic, pool } = told
  const status = { ...UNTOLD, ...told, traffic: { ...NO_TRAFFIC, ...traffic } }
  if (pool === undefined) return status
  const children = (pool.children ?? []).map(child => ({ ...UNTOLD_CHILD, ...child }))
  return { ...status, pool: { ...UNTOLD_POOL, ...UNTOLD_PAST, ...pool, children } }
}

/** How many requests and endings are shown. */
const SHOWN = 3

const rowLines = ([name, ...lines]: Row): string[] =>
  lines.filter(line => line !== '').map((line, at) => (at === 0 ? name : '').padEnd(NAME) + line)

function poolRows(pool: PoolStatus): Row[] {
  return [
    ['children', ...childrenLines(pool)],
    ['reloads', reloadsLine(pool)],
    ['lately', ...pool.lately.slice(0, SHOWN).map(endingLine)],
  ]
}

function requestsLine({ traffic, queue, perSecond }: Status): string {
  const parts = [
    `${number(traffic.requests)} served`,
    `${number(traffic.inflight - (queue?.waiting ?? 0))} running`,
    ...(queue === undefined ? [] : [`${number(queue.waiting)} waiting`]),
    `${number(traffic.connections)} ${traffic.connections === 1 ? 'connection' : 'connections'}`,
    `${perSecond > 0 && perSecond < 10 ? perSecond.toFixed(1) : number(Math.round(perSecond))}/s`,
  ]
  return parts.join(', ')
}

/** Whoever asks at night wants to see what it is, and that is at the beginning of a URI. */
function longLine({ method, uri, age, child }: LongRequest): string {
  const where = ` for ${duration(age)}${child === undefined ? '' : ` (child ${child})`}`
  return cut(`${method} ${uri}`, WIDTH - NAME - where.length) + where
}

function endingLine({ text, age }: Ending): string {
  const when = `, ${duration(age)} ago`
  return cut(text, WIDTH - NAME - when.length) + when
}

const cut = (text: string, width: number): string => (text.length > width ? `${text.slice(0, width - 1)}…` : text)

/** By class, and those alone that say that something is wrong here. */
function repliesLine({ statuses }: Traffic): string {
  const counts = Object.entries(statuses).map(([status, count]) => [Number(status), count] as const)
  const sum = (from: number, to: number): number =>
    counts.filter(([status]) => status >= from && status < to).reduce((total, [, count]) => total + count, 0)
  const classes = [1, 2, 3, 4, 5].map(digit => [`${digit}xx`, sum(digit * 100, digit * 100 + 100)] as const)
  const failures = counts.filter(([status]) => status >= 500 && status < 600)
  const details = failures.map(([status, count]) => `${status}: ${number(count)}`).join(', ')
  const texts = [
    ...classes.filter(([, count]) => count > 0).map(([name, count]) => `${name} ${number(count)}`),
    ...(sum(0, 100) > 0 ? [`client left ${number(sum(0, 100))}`] : []),
  ]
  return `${texts.join('   ')}${details === '' ? '' : ` (${details})`}`
}

function memoryLine(own: number, { children }: PoolStatus): string {
  const all = children.reduce((total, { memory }) => total + memory, own)
  return `${size(all)} in all, ${size(own)} of them for this process`
}

function childrenLines(pool: PoolStatus): [string, string] {
  const { children, minspare, maxspare, maxchildren, spare, spawned, crashed, killed } = pool
  const limits = `minspare ${minspare}, maxspare ${maxspare}, maxchildren ${maxchildren}`
  const past = `${number(spawned)} started, ${number(crashed)} crashed, ${number(killed)} killed`
  return [`${children.length}, ${spare} spare (${limits})`, past]
}

function reloadsLine({ reloads, failedReloads, lastFailure, generation }: PoolStatus): string {
  const failed = failedReloads === 0 ? '' : `, ${number(failedReloads)} failed: ${lastFailure}`
  return `${number(reloads)} (generation ${generation})${failed}`
}

type Column = readonly [head: string, cell: (child: ChildStatus) => string]

function childrenTable(children: readonly ChildStatus[], method: Status['method']): string[] {
  const columns: readonly Column[] = [
    ['ID', ({ id }) => String(id)],
    ...(method === 'prefork' ? [['PID', ({ pid }: ChildStatus) => String(pid ?? '-')] as const] : []),
    ['GEN', ({ generation }) => String(generation)],
    ['STATE', stateOf],
    ['RUNNING', ({ inflight }) => number(inflight)],
    ['SERVED', ({ served }) => number(served)],
    ['LOOP', ({ utilization }) => `${Math.round(100 * utilization)}%`],
    ['MEMORY', ({ memory }) => size(memory)],
    ['AGE', ({ age }) => duration(age)],
  ]
  const rows = [columns.map(([head]) => head), ...children.map(child => columns.map(([, cell]) => cell(child)))]
  const widths = columns.map((_, at) => Math.max(...rows.map(row => row[at]?.length ?? 0)))
  return rows.map(row => row.map((cell, at) => cell.padStart(widths[at] ?? 0)).join('  '))
}

function stateOf({ phase, inflight, stuckFor }: ChildStatus): string {
  if (stuckFor > 0 && phase !== 'starting') return `stuck ${Math.ceil(stuckFor / 1000)} s`
  return phase === 'ready' && inflight > 0 ? 'busy' : phase
}

const number = (value: number): string => value.toLocaleString('en-US')

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

function size(bytes: number): string {
  const power = Math.min(UNITS.length - 1, bytes < 1024 ? 0 : Math.floor(Math.log2(bytes) / 10))
  const value = bytes / 1024 ** power
  return `${value >= 100 || power === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[power]}`
}

const STEPS = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
] as const

/** The two largest units: `3 d 4 h`. */
function duration(ms: number): string {
  let rest = Math.floor(ms / 1000)
  const parts: string[] = []
  for (const [unit, seconds] of STEPS) {
    const count = Math.floor(rest / seconds)
    rest -= count * seconds
    if (count > 0 || parts.length > 0) parts.push(`${count} ${unit}`)
  }
  return parts.slice(0, 2).join(' ') || '0 s'
}
