import { expect, it } from 'vitest'
import { PoolHistory } from '../../../src/process/pool/history.ts'
import { createPool } from '../../../src/process/pool/policy.ts'
import type { ChildState, PoolState } from '../../../src/process/pool/state.ts'

const SETTINGS = {
  ...{ minSpare: 1, maxSpare: 1, maxChildren: 1, concurrency: 0, maxRequests: 0, maxRequestsJitter: 0 },
  ...{ maxLifetime: 0, maxMemory: 0, idleTimeout: 0, startTimeout: 1_000, gracefulTimeout: 1_000 },
}

function poolWith(phase: ChildState['phase']): PoolState {
  const child = { id: 1, generation: 1, since: 0, born: 0, inflight: 0, served: 0, quota: 0 }
  return { ...createPool(SETTINGS), children: [{ ...child, phase, retire: undefined, replacement: undefined }] }
}

it.each([
  ['starting', 1],
  ['ready', 1],
  ['draining', 0],
  ['terminating', 0],
  ['killed', 0],
] as const)('a child that ends while it is %s counts as crashed %i times', (phase, times) => {
  const history = new PoolHistory('worker')
  const pool = poolWith(phase)
  history.heard({ type: 'exited', id: 1, details: 'signal SIGKILL' }, pool, 0)
  const { crashed, lately } = history.status(pool, () => undefined, 1)
  expect(crashed).toBe(times)
  expect(lately.map(({ text }) => text)).toEqual(times === 0 ? [] : ['worker 1 ended: signal SIGKILL'])
})

it('a child that throws several exceptions has crashed once', () => {
  const history = new PoolHistory('worker')
  const crash = { type: 'crashed', id: 1, error: 'uncaught: on purpose' } as const
  history.heard(crash, poolWith('ready'), 0)
  history.heard(crash, poolWith('draining'), 1)
  const { crashed, lately } = history.status(poolWith('draining'), () => undefined, 2)
  expect([crashed, lately.map(({ text }) => text)]).toEqual([1, ['worker 1 crashed: uncaught: on purpose']])
})
