import { describe, expect, it } from 'vitest'
import type { ChildStatus, PoolStatus, Status } from '../../src/process/status.ts'
import { statusText } from '../../src/process/status-text.ts'

const MIB = 1_048_576

const child = (id: number, more: Partial<ChildStatus> = {}): ChildStatus => ({
  id,
  pid: 4_000 + id,
  generation: 3,
  phase: 'ready',
  inflight: 0,
  served: 0,
  memory: 52.34 * MIB,
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
  children: [child(9, { inflight: 2, served: 1_234_567 }), child(12)],
  spawned: 12,
  crashed: 1,
  killed: 0,
  reloads: 2,
  failedReloads: 0,
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
  pool: POOL,
}

describe('the status of a daemon, for people', () => {
  it('tells what runs, what it has done, and what each child does', () => {
    expect(statusText(STATUS)).toBe(
      [
        'runfcgi 1.2.3 (Node.js v20.19.0), process 4000: prefork, serving for 1 d 2 h',
        'application  /srv/site/app.js (node)',
        'listens on   /run/site/site.sock 127.0.0.1:3033',
        'requests     1,240,000 served, 2 running, 16 connections',
        'replies      2xx 1,239,000   4xx 998   5xx 2 (503: 2)',
        'memory       153 MiB in all, 48.0 MiB of them for this process',
        'children     2, 1 spare (minspare 2, maxspare 8, maxchildren 8)',
        '             12 started, 1 crashed, 0 killed',
        'reloads      2 (generation 3)',
        '',
        'ID   PID  GENERATION  STATE  RUNNING     SERVED    MEMORY        AGE',
        ' 9  4009           3   busy        2  1,234,567  52.3 MiB  1 min 1 s',
        '12  4012           3  ready        0          0  52.3 MiB  1 min 1 s',
        '',
      ].join('\n'),
    )
  })

  it('shows no process ids for threads, and what waits for them', () => {
    const traffic = { ...STATUS.traffic, inflight: 7 }
    const text = statusText({ ...STATUS, method: 'threaded', traffic, queue: { waiting: 5, limit: 1_024 } })
    expect(text).toContain('requests     1,240,000 served, 2 running, 5 waiting, 16 connections\n')
    expect(text).toContain('memory       48.0 MiB\n')
    expect(text).not.toContain('PID')
  })

  it('is short where one process does everything', () => {
    const text = statusText({ ...STATUS, method: 'inline', pool: undefined })
    expect(text).toContain('process 4000: serving for 1 d 2 h\n')
    expect(text).toContain('memory       48.0 MiB\n')
    expect(text).not.toMatch(/children|reloads|GENERATION/)
  })

  it('leaves out what is not known yet while it starts', () => {
    const { app: _app, interface: _interface, method: _method, pool: _pool, ...early } = STATUS
    const traffic = { connections: 0, inflight: 0, requests: 0, statuses: {} }
    expect(statusText({ ...early, state: 'starting', uptime: 800, traffic }).split('\n')).toEqual([
      'runfcgi 1.2.3 (Node.js v20.19.0), process 4000: starting for 0 s',
      'listens on   /run/site/site.sock 127.0.0.1:3033',
      'requests     0 served, 0 running, 0 connections',
      'memory       48.0 MiB',
      '',
    ])
  })

  it('names the failure of the last reload, clients that left, and requests per second', () => {
    const pool = { ...POOL, failedReloads: 1, lastFailure: 'cannot load app.js: SyntaxError' }
    const traffic = { ...STATUS.traffic, statuses: { 0: 7, 101: 1, 302: 2 } }
    const text = statusText({ ...STATUS, pool, traffic }, 1_234.5)
    expect(text).toContain('reloads      2 (generation 3), 1 failed: cannot load app.js: SyntaxError\n')
    expect(text).toContain('replies      1xx 1   3xx 2   client left 7\n')
    expect(text).toContain('16 connections, 1,235/s\n')
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
    })
    const statuses = { 200: 99_999_999_999, 404: 999_999_999, 500: 99_999 }
    const traffic = { connections: 16_384, inflight: 65_535, requests: 99_999_999_999, statuses }
    const text = statusText({ ...STATUS, pid: 4_194_304, traffic, pool: { ...POOL, children: [large] } }, 99_999)
    for (const line of text.split('\n')) expect([line, line.length <= 80]).toEqual([line, true])
  })
})
