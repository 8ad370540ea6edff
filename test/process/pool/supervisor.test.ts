/** What the policy decides is carried out at once, or when its time has come, and not when the clock happens to tick. */

import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { Child, ChildKind, ChildListener, Loaded } from '../../../src/process/pool/child.ts'
import { FIRST_HOLD_MS } from '../../../src/process/pool/draft.ts'
import { Supervisor } from '../../../src/process/pool/supervisor.ts'

const SETTINGS = {
  ...{ minSpare: 2, maxSpare: 2, maxChildren: 2, concurrency: 0, maxRequests: 0, maxRequestsJitter: 0 },
  ...{ maxLifetime: 0, maxMemory: 0, idleTimeout: 0, startTimeout: 60_000, gracefulTimeout: 60_000 },
}

const LOADED: Loaded = {
  interface: 'node',
  source: { file: '/app.js', rule: 'default export', notListening: undefined },
}

const child: Child = {
  pid: undefined,
  vitals: { utilization: 0, stuckFor: 0, running: [] },
  drain() {},
  terminate() {},
  kill() {},
}

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'performance'] }))
afterEach(() => void vi.useRealTimers())

it('replaces the first child at once that dies before it has served, and the next one after a pause', () => {
  const spawned: ChildListener[] = []
  const kind: ChildKind = {
    spawn(_id, _generation, listener) {
      spawned.push(listener)
      return child
    },
  }
  const supervisor = new Supervisor({
    kind,
    settings: SETTINGS,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    noun: 'worker',
  })
  void supervisor.start()
  expect(spawned).toHaveLength(2)
  for (const listener of [...spawned]) listener.ready(LOADED)
  spawned[0]?.exited('signal SIGKILL')
  expect(spawned).toHaveLength(3)
  spawned[2]?.ready(LOADED)
  spawned[1]?.exited('signal SIGKILL')
  vi.advanceTimersByTime(FIRST_HOLD_MS - 1)
  expect(spawned).toHaveLength(3)
  vi.advanceTimersByTime(1)
  expect(spawned).toHaveLength(4)
})
