import { describe, expect, it } from 'vitest'
import { statusText } from '../../src/cli/commands/status-text.ts'
import type { ChildStatus, PoolStatus, Status } from '../../src/process/status.ts'

const MIB = 1_048_576

const child = (id: number, more: Partial<ChildStatus> = {}): ChildStatus => ({
  id,
  pid: 4_000 + id,
  generation: 3,
  phase: 'ready',
  inflight: 0,
  served: 0,
  memory: 52.34 * MIB,
  utilization: 0,
  stuckFor: 0,
  age: 61_000,
  ...more,
})

const POOL: PoolStatus = {
  generation: 3,
  reloading: false,
  minspare: 2,
  maxspare: 8,
  maxchildren: 8,
  spare: 1,
  children: [child(9, { inflight: 2, served: 1_234_567, utilization: 0.376 }), child(12)],
  spawned: 12,
  crashed: 1,
  killed: 0,
  reloads: 2,
  failedReloads: 0,
  lately: [],
}

const STATUS: Status = {
  pid: 4_000,
  version: '1.2.3',
  node: 'v20.19.0',
  state: 'serving',
  started: '2026-01-02T03:04:05.678Z',
  uptime: 93_784_000,
  method: 'prefork',
  listen: ['/run/site/site.sock', '127.0.0.1:3033'],
  app: '/srv/site/app.js',
  interface: 'node',
  memory: 48 * MIB,
  traffic: { connections: 16, inflight: 2, requests: 1_240_000, statuses: { 200: 1_239_000, 404: 998, 503: 2 } },
  perSecond: 41.7,
  longest: [],
  pool: POOL,
}

/** What any version tells. */
const ALWAYS = ['pid', 'version', 'node', 'state', 'id', 'phase']

const without = <T extends object>(told: T, field: string): T =>
  Object.fromEntries(Object.entries(told).filter(([name]) => name !== field)) as T

const optional = (told: object): string[] => Object.keys(told).filter(field => !ALWAYS.includes(field))

describe('the status of a daemon of another version', () => {
  it.each([
    ...optional(STATUS).map(field => [field, without(STATUS, field)] as const),
    ...optional(STATUS.traffic).map(
      field => [`traffic.${field}`, { ...STATUS, traffic: without(STATUS.traffic, field) }] as const,
    ),
    ...optional(POOL).map(field => [`pool.${field}`, { ...STATUS, pool: without(POOL, field) }] as const),
    ...optional(child(1)).map(
      field => [`a child's ${field}`, { ...STATUS, pool: { ...POOL, children: [without(child(1), field)] } }] as const,
    ),
  ])('that does not tell %s is shown without it', (_, status) => {
    expect(statusText(status)).toMatch(/^runfcgi 1\.2\.3 .*\n(.+\n)*memory /)
    expect(statusText(status)).not.toMatch(/NaN|undefined(?!\))/)
  })
})

describe('the status of a daemon, for people', () => {
  it('tells what runs, what it has done, and what each child does', () => {
    expect(statusText(STATUS)).toBe(
      [
        'runfcgi 1.2.3 (Node.js v20.19.0), process 4000: prefork, serving for 1 d 2 h',
        'application  /srv/site/app.js (node)',
        'listens on   /run/site/site.sock 127.0.0.1:3033',
        'requests     1,240,000 served, 2 running, 16 connections, 42/s',
        'replies      2xx 1,239,000   4xx 998   5xx 2 (503: 2)',
        'memory       153 MiB in all, 48.0 MiB of them for this process',
        'children     2, 1 spare (minspare 2, maxspare 8, maxchildren 8)',
        '             12 started, 1 crashed, 0 killed',
        'reloads      2 (generation 3)',
        '',
        'ID   PID  GEN  STATE  RUNNING     SERVED  LOOP    MEMORY        AGE',
        ' 9  4009    3   busy        2  1,234,567   38%  52.3 MiB  1 min 1 s',
        '12  4012    3  ready        0          0    0%  52.3 MiB  1 min 1 s',
      ].join('\n'),
    )
  })

  it('shows no process ids for threads, and what waits for them', () => {
    const traffic = { ...STATUS.traffic, inflight: 7 }
    const text = statusText({ ...STATUS, method: 'threaded', traffic, queue: { waiting: 5, limit: 1_024 } })
    expect(text).toContain('requests     1,240,000 served, 2 running, 5 waiting, 16 connections, 42/s\n')
    expect(text).toContain('memory       48.0 MiB\n')
    expect(text).not.toContain('PID')
  })

  it('is short where one process does everything', () => {
    const text = statusText({ ...STATUS, method: 'inline', pool: undefined })
    expect(text).toContain('process 4000: serving for 1 d 2 h\n')
    expect(text).toMatch(/memory {7}48\.0 MiB$/)
    expect(text).not.toMatch(/children|reloads|GEN/)
  })

  it('leaves out what is not known yet while it starts', () => {
    const { app: _app, interface: _interface, method: _method, pool: _pool, ...early } = STATUS
    const traffic = { connections: 0, inflight: 0, requests: 0, statuses: {} }
    expect(statusText({ ...early, state: 'starting', uptime: 800, traffic, perSecond: 0 }).split('\n')).toEqual([
      'runfcgi 1.2.3 (Node.js v20.19.0), process 4000: starting for 0 s',
      'listens on   /run/site/site.sock 127.0.0.1:3033',
      'requests     0 served, 0 running, 0 connections, 0/s',
      'memory       48.0 MiB',
    ])
  })

  it('names the failure of the last reload, clients that left, and requests per second', () => {
    const pool = { ...POOL, failedReloads: 1, lastFailure: 'cannot load app.js: SyntaxError' }
    const traffic = { ...STATUS.traffic, statuses: { 0: 7, 101: 1, 302: 2 } }
    const text = statusText({ ...STATUS, pool, traffic, perSecond: 1_234.5 })
    expect(text).toContain('reloads      2 (generation 3), 1 failed: cannot load app.js: SyntaxError\n')
    expect(text).toContain('replies      1xx 1   3xx 2   client left 7\n')
    expect(text).toContain('16 connections, 1,235/s\n')
  })

  it('tells less than ten requests per second more exactly', () => {
    expect(statusText({ ...STATUS, perSecond: 0.34 })).toContain('16 connections, 0.3/s\n')
    expect(statusText({ ...STATUS, perSecond: 0 })).toContain('16 connections, 0/s\n')
  })

  it('names what has been running for longest, and which child is stuck with it', () => {
    const longest = [
      { method: 'GET', uri: `/report?${'x'.repeat(200)}`, age: 61_400, child: 9 },
      { method: 'POST', uri: '/upload', age: 3_000 },
    ]
    const pool = { ...POOL, children: [child(9, { inflight: 1, stuckFor: 4_100 }), child(12)] }
    const text = statusText({ ...STATUS, longest, pool })
    expect(text).toMatch(/^longest {6}GET \/report\?x+… for 1 min 1 s \(child 9\)\n {13}POST \/upload for 3 s$/m)
    expect(text).toMatch(/^ 9 .* stuck 5 s /m)
  })

  it('names the last children that ended out of turn, with the reason', () => {
    const lately = [
      { text: 'worker 3 ended: signal SIGKILL', age: 5_300 },
      { text: 'retired worker 1: maxrequests 1000', age: 3_700_000 },
    ]
    expect(statusText({ ...STATUS, pool: { ...POOL, lately } })).toContain(
      [
        'lately       worker 3 ended: signal SIGKILL, 5 s ago',
        '             retired worker 1: maxrequests 1000, 1 h 1 min ago\n',
      ].join('\n'),
    )
  })

  it('says whose place it has taken, while that process finishes its requests', () => {
    expect(statusText({ ...STATUS, predecessor: 3_999 })).toContain(
      'succeeds     process 3999, which finishes its requests\n',
    )
  })

  it('fits into 80 columns with figures as large as they get', () => {
    const large = child(12_345, {
      pid: 4_194_304,
      generation: 1_234,
      phase: 'terminating',
      inflight: 65_535,
      served: 999_999_999,
      memory: 999 * MIB,
      age: 359_999_000,
      utilization: 1,
    })
    const statuses = { 200: 99_999_999_999, 404: 999_999_999, 500: 99_999 }
    const traffic = { connections: 16_384, inflight: 65_535, requests: 99_999_999_999, statuses }
    const long = 'x'.repeat(300)
    const text = statusText({
      ...STATUS,
      pid: 4_194_304,
      traffic,
      perSecond: 99_999,
      longest: [{ method: 'PROPFIND', uri: `/${long}`, age: 359_999_000, child: 12_345 }],
      pool: { ...POOL, children: [large], lately: [{ text: long, age: 359_999_000 }] },
    })
    for (const line of text.split('\n')) expect([line, line.length <= 80]).toEqual([line, true])
  })
})
