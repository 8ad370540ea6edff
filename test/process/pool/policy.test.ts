import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FIRST_HOLD_MS, LONGEST_HOLD_MS } from '../../../src/process/pool/draft.ts'
import { createPool, KILL_AFTER_MS, step } from '../../../src/process/pool/policy.ts'
import {
  type Action,
  type ChildState,
  isServing,
  type PoolSettings,
  type PoolState,
  type Stimulus,
} from '../../../src/process/pool/state.ts'

const SETTINGS: PoolSettings = {
  minSpare: 2,
  maxSpare: 4,
  maxChildren: 4,
  concurrency: 0,
  maxRequests: 0,
  maxRequestsJitter: 0,
  maxLifetime: 0,
  maxMemory: 0,
  idleTimeout: 10_000,
  startTimeout: 60_000,
  gracefulTimeout: 30_000,
}

/** A pool whose children do as they are told, unless a test says otherwise. */
class Pool {
  state: PoolState
  now = 1_000
  actions: Action[] = []
  constructor(settings: Partial<PoolSettings> = {}) {
    this.state = createPool({ ...SETTINGS, ...settings })
  }
  hear(stimulus: Stimulus): Action[] {
    const { state, actions } = step(this.state, stimulus, this.now)
    this.state = state
    this.actions.push(...actions)
    return [...actions]
  }
  tick(ms = 1_000): Action[] {
    this.now += ms
    return this.hear({ type: 'tick' })
  }
  phase(phase: ChildState['phase']): ChildState[] {
    return this.state.children.filter(child => child.phase === phase)
  }
  /** Children that are starting become ready, those told to end are gone, until nothing more happens. */
  settle(): void {
    for (;;) {
      const [starting] = this.phase('starting')
      const ending = this.state.children.find(child => !isServing(child))
      if (starting !== undefined) this.hear({ type: 'ready', id: starting.id })
      else if (ending !== undefined) this.hear({ type: 'exited', id: ending.id, details: 'exit code 0' })
      else return
    }
  }
  report(id: number, inflight: number, served = 1, memory = 0): Action[] {
    return this.hear({ type: 'report', id, inflight, served, memory })
  }
  started(): this {
    this.tick()
    this.settle()
    return this
  }
}

const kinds = (actions: readonly Action[]): string[] =>
  actions.filter(({ type }) => type !== 'note').map(({ type }) => type)

describe('a pool', () => {
  it('starts with as many children as are to be spare', () => {
    expect(kinds(new Pool().tick())).toEqual(['spawn', 'spawn'])
  })

  it('says once that the first generation serves', () => {
    expect(new Pool().started().actions.filter(({ type }) => type === 'reloaded')).toHaveLength(1)
  })

  it('ends with exit code 3 when the application cannot be loaded at the first start', () => {
    const pool = new Pool()
    pool.tick()
    pool.hear({ type: 'load-failed', id: 1, error: 'no such file' })
    pool.settle()
    expect(pool.actions.at(-1)).toEqual({ type: 'exit', code: 3 })
  })

  it('adds children while too few are spare, twice as many each tick, up to maxchildren', () => {
    const pool = new Pool({ minSpare: 4, maxSpare: 40, maxChildren: 40 }).started()
    const added: number[] = []
    for (let round = 0; round < 7; round++) {
      const before = pool.state.nextId
      pool.tick()
      for (const child of pool.phase('ready')) pool.report(child.id, 1)
      added.push(pool.state.nextId - before)
      pool.settle()
    }
    expect(added).toEqual([1, 2, 4, 4, 4, 4, 4])
  })

  it('ends one spare child after another when there have been too many for the idle time', () => {
    const pool = new Pool({ minSpare: 1, maxSpare: 1 }).started()
    for (const child of pool.phase('ready')) pool.report(child.id, 1)
    pool.tick()
    pool.settle()
    for (const child of pool.phase('ready')) pool.report(child.id, 0)
    expect(pool.phase('ready').length).toBeGreaterThan(1)
    expect(kinds(pool.tick())).toEqual([])
    expect(kinds(pool.tick(10_000))).toEqual(['drain'])
    for (let round = 0; round < 10; round++) {
      pool.tick()
      pool.settle()
    }
    expect(pool.phase('ready')).toHaveLength(1)
  })

  it('replaces a child that died at once', () => {
    const pool = new Pool().started()
    pool.report(1, 0, 5)
    expect(kinds(pool.hear({ type: 'exited', id: 1, details: 'signal SIGKILL' }))).toEqual(['spawn'])
  })

  it('replaces a child at once that died before it was of use, if it is the first', () => {
    const pool = new Pool().started()
    expect(kinds(pool.hear({ type: 'exited', id: 1, details: 'signal SIGKILL' }))).toEqual(['spawn'])
    expect(kinds(pool.hear({ type: 'exited', id: 2, details: 'signal SIGKILL' }))).toEqual([])
    pool.now += FIRST_HOLD_MS
    expect(kinds(pool.hear({ type: 'wake' }))).toEqual(['spawn'])
  })

  it('tries again at once when a child of an application that has been loaded before does not start, if it is the first', () => {
    const pool = new Pool().started()
    pool.report(1, 0, 5)
    const [spawned] = pool
      .hear({ type: 'exited', id: 1, details: 'signal SIGKILL' })
      .filter(({ type }) => type === 'spawn')
    expect(spawned).toMatchObject({ id: 3 })
    expect(kinds(pool.hear({ type: 'exited', id: 3, details: 'signal SIGKILL' }))).toEqual(['spawn'])
  })

  it('waits longer and longer before it replaces children that die before they are of use', () => {
    const pool = new Pool({ minSpare: 1 }).started()
    const waits: number[] = []
    for (let round = 0; round < 14; round++) {
      const [child] = pool.phase('ready')
      pool.hear({ type: 'exited', id: child?.id ?? 0, details: 'exit code 1' })
      const from = pool.now
      while (pool.phase('starting').length === 0) {
        pool.now += 250
        pool.hear({ type: 'wake' })
      }
      waits.push(pool.now - from)
      pool.settle()
    }
    expect(waits.slice(0, 2)).toEqual([0, FIRST_HOLD_MS])
    expect(waits.slice(1).every((wait, at) => wait >= (waits[at] as number))).toBe(true)
    expect(waits.at(-1)).toBe(LONGEST_HOLD_MS)
  })

  it('replaces a child that has served maxrequests before it is ended, one at a time', () => {
    const pool = new Pool({ maxRequests: 10 }).started()
    expect(kinds(pool.report(1, 0, 10))).toEqual(['spawn'])
    expect(kinds(pool.report(2, 0, 10))).toEqual([])
    const replacement = pool.phase('starting')[0]?.id ?? 0
    expect(pool.hear({ type: 'ready', id: replacement })[0]).toEqual({ type: 'drain', id: 1, reason: 'maxrequests 10' })
    pool.settle()
    expect(pool.phase('ready').map(child => child.id)).not.toContain(2)
    expect(pool.phase('ready')).toHaveLength(2)
  })

  it('replaces a child that has grown too large or too old', () => {
    const pool = new Pool({ maxMemory: 100 * 1_048_576, maxLifetime: 3_600_000 }).started()
    expect(pool.report(1, 0, 1, 101 * 1_048_576)).toMatchObject([{ type: 'spawn', reason: 'to replace child 1' }])
    pool.settle()
    pool.tick(3_600_001)
    pool.settle()
    for (let round = 0; round < 5; round++) {
      pool.tick()
      pool.settle()
    }
    expect(pool.phase('ready').every(child => child.id > 3)).toBe(true)
  })

  it('kills a child that hangs and replaces it at once', () => {
    const pool = new Pool().started()
    pool.report(1, 0, 10)
    expect(kinds(pool.hear({ type: 'hung', id: 1, details: 'event loop blocked' }))).toEqual(['kill', 'spawn'])
  })

  it('lets a child finish after an uncaught exception, and replaces it', () => {
    const pool = new Pool().started()
    pool.report(1, 0, 10)
    expect(kinds(pool.hear({ type: 'crashed', id: 1, error: 'TypeError' }))).toEqual(['drain', 'spawn'])
  })

  it('tells a child to end that does not drain in time, and kills it if it does not', () => {
    const pool = new Pool().started()
    pool.hear({ type: 'crashed', id: 1, error: 'x' })
    expect(kinds(pool.tick(29_000))).not.toContain('terminate')
    expect(kinds(pool.tick(2_000))).toContain('terminate')
    expect(kinds(pool.tick(KILL_AFTER_MS + 1))).toContain('kill')
  })
})

describe('a reload', () => {
  it('proves the new generation with one child before it starts others, and drains an old one for each new one', () => {
    const pool = new Pool({ minSpare: 4 })
    pool.started()
    const old = pool.phase('ready').length
    expect(kinds(pool.hear({ type: 'reload', reason: 'HUP' }))).toEqual(['spawn'])
    const [first] = pool.phase('starting')
    const then = kinds(pool.hear({ type: 'ready', id: first?.id ?? 0 }))
    expect(then.filter(kind => kind === 'drain')).toHaveLength(1)
    expect(then).toContain('spawn')
    pool.settle()
    expect(pool.phase('ready')).toHaveLength(old)
    expect(pool.phase('ready').every(child => child.generation === 2)).toBe(true)
    expect(pool.actions.at(-1)).toEqual({ type: 'reloaded', generation: 2 })
  })

  it('keeps the old generation when the new one does not load, and does not try again', () => {
    const pool = new Pool().started()
    pool.hear({ type: 'reload', reason: 'HUP' })
    const [first] = pool.phase('starting')
    expect(pool.hear({ type: 'load-failed', id: first?.id ?? 0, error: 'SyntaxError' })).toContainEqual({
      type: 'reload-failed',
      generation: 2,
      error: 'SyntaxError',
    })
    pool.settle()
    const before = pool.actions.length
    for (let round = 0; round < 100; round++) pool.tick()
    expect(pool.actions.slice(before)).toEqual([])
    expect(pool.phase('ready').map(child => child.id)).toEqual([1, 2])
  })

  it('is superseded by the next one, which is no failure', () => {
    const pool = new Pool().started()
    pool.hear({ type: 'reload', reason: 'HUP' })
    expect(kinds(pool.hear({ type: 'reload', reason: 'HUP' }))).toEqual(['terminate', 'spawn'])
    pool.settle()
    expect(pool.phase('ready').every(child => child.generation === 3)).toBe(true)
    expect(kinds(pool.actions)).not.toContain('reload-failed')
  })

  it('that is superseded leaves its settings to the next one, and if that fails to nobody', () => {
    const pool = new Pool({ maxChildren: 2 }).started()
    const settings = { ...pool.state.settings, maxChildren: 3 }
    pool.hear({ type: 'reload', reason: 'HUP', settings })
    pool.hear({ type: 'reload', reason: 'HUP' })
    expect(pool.state.settings.maxChildren).toBe(3)
    const [first] = pool.phase('starting')
    pool.hear({ type: 'load-failed', id: first?.id ?? 0, error: 'SyntaxError' })
    expect(pool.state.settings.maxChildren).toBe(2)
  })

  it('asked for ten times in a row ends with one whole generation', () => {
    const pool = new Pool({ minSpare: 3 }).started()
    for (let round = 0; round < 10; round++) {
      pool.hear({ type: 'reload', reason: 'HUP' })
      const [first] = pool.phase('starting')
      if (first !== undefined && round % 2 === 0) pool.hear({ type: 'ready', id: first.id })
      pool.tick(100)
    }
    pool.settle()
    expect(new Set(pool.phase('ready').map(child => child.generation))).toEqual(new Set([11]))
  })
})

describe('a stop', () => {
  it('drains every child and ends when the last is gone', () => {
    const pool = new Pool().started()
    expect(kinds(pool.hear({ type: 'stop', reason: 'TERM' }))).toEqual(['drain', 'drain'])
    pool.hear({ type: 'exited', id: 1, details: '' })
    expect(kinds(pool.hear({ type: 'exited', id: 2, details: '' }))).toEqual(['exit'])
  })

  it('cuts nothing off by ending a child that has not been ready', () => {
    const pool = new Pool()
    pool.tick()
    pool.hear({ type: 'ready', id: 1 })
    const terminate = { type: 'terminate', cutsOff: false, id: 2, reason: 'stop' }
    expect(pool.hear({ type: 'stop', reason: 'TERM' })).toContainEqual(terminate)
    expect(pool.hear({ type: 'stop', reason: 'TERM' })).toContainEqual({
      ...terminate,
      cutsOff: true,
      id: 1,
      reason: 'TERM',
    })
  })

  it('asked for twice does not wait', () => {
    const pool = new Pool().started()
    pool.hear({ type: 'stop', reason: 'TERM' })
    expect(kinds(pool.hear({ type: 'stop', reason: 'TERM' }))).toEqual(['terminate', 'terminate'])
  })

  it('overrides a reload', () => {
    const pool = new Pool().started()
    pool.hear({ type: 'reload', reason: 'HUP' })
    pool.hear({ type: 'stop', reason: 'TERM' })
    pool.settle()
    expect(pool.actions.at(-1)).toEqual({ type: 'exit', code: 0 })
  })
})

// For any stimuli in any order.

const anyStimulus: fc.Arbitrary<(state: PoolState) => Stimulus> = fc
  .tuple(fc.nat(99), fc.nat(99), fc.nat(20))
  .map(([kind, pick, amount]) => (state: PoolState): Stimulus => {
    const id = state.children[pick % Math.max(1, state.children.length)]?.id ?? 0
    if (kind < 20) return { type: 'tick' }
    if (kind < 25) return { type: 'wake' }
    if (kind < 50) return { type: 'ready', id }
    if (kind < 65) return { type: 'report', id, inflight: amount % 4, served: amount, memory: amount * 10 }
    if (kind < 75) return { type: 'exited', id, details: 'x' }
    if (kind < 80) return { type: 'load-failed', id, error: 'x' }
    if (kind < 84) return { type: 'hung', id, details: 'x' }
    if (kind < 88) return { type: 'crashed', id, error: 'x' }
    if (kind < 92) return { type: 'reload', reason: 'x' }
    if (kind < 94) return { type: 'reload', reason: 'x', settings: changed(state.settings, amount) }
    return kind < 97 ? { type: 'more' } : { type: 'fewer' }
  })

/** Settings that a person may have changed to. */
const changed = (settings: PoolSettings, amount: number): PoolSettings => {
  const maxChildren = 1 + (amount % 6)
  const maxSpare = Math.min(1 + (amount % 4), maxChildren)
  return { ...settings, maxChildren, maxSpare, minSpare: Math.min(1 + (amount % 3), maxSpare), concurrency: amount % 3 }
}

const anySettings: fc.Arbitrary<PoolSettings> = fc
  .tuple(
    fc.integer({ min: 1, max: 6 }),
    fc.integer({ min: 1, max: 6 }),
    fc.integer({ min: 1, max: 6 }),
    fc.nat(3),
    fc.nat(15),
  )
  .map(([maxChildren, a, b, concurrency, maxRequests]) => ({
    ...SETTINGS,
    maxChildren,
    minSpare: Math.min(a, b, maxChildren),
    maxSpare: Math.min(Math.max(a, b), maxChildren),
    concurrency,
    maxRequests,
    maxRequestsJitter: 3,
    maxMemory: 150,
  }))

describe('for any stimuli', () => {
  it('never more children serve than maxchildren and one replacement, and none that serves is ended without another', () => {
    fc.assert(
      fc.property(anySettings, fc.array(fc.tuple(anyStimulus, fc.nat(3_000)), { maxLength: 200 }), (settings, run) => {
        const pool = new Pool(settings)
        pool.started()
        let lowered = settings.maxChildren
        for (const [make, ms] of run) {
          pool.now += ms
          const stimulus = make(pool.state)
          const before = pool.phase('ready').length
          pool.hear(stimulus)
          if (pool.state.mode !== 'running') return
          lowered = Math.max(pool.state.settings.maxChildren, stimulus.type === 'fewer' ? lowered : 0, lowered)
          expect(pool.state.children.filter(isServing).length).toBeLessThanOrEqual(lowered + 1)
          const innocent = ['tick', 'ready', 'report', 'reload', 'more', 'fewer', 'load-failed'].includes(stimulus.type)
          if (innocent && before > 0) expect(pool.phase('ready').length).toBeGreaterThan(0)
        }
      }),
      { numRuns: 200 },
    )
  })

  it('the pool comes to rest with enough children of one generation once the stimuli stop', () => {
    fc.assert(
      fc.property(anySettings, fc.array(fc.tuple(anyStimulus, fc.nat(3_000)), { maxLength: 120 }), (settings, run) => {
        const pool = new Pool(settings)
        pool.started()
        for (const [make, ms] of run) {
          pool.now += ms
          pool.hear(make(pool.state))
        }
        if (pool.state.mode !== 'running') return
        for (const child of pool.state.children) pool.report(child.id, 0, 0)
        for (let round = 0; round < 300; round++) {
          pool.tick()
          pool.settle()
          for (const child of pool.phase('ready')) pool.report(child.id, 0, 0)
        }
        const before = pool.actions.length
        for (let round = 0; round < 30; round++) pool.tick()
        expect(pool.actions.slice(before)).toEqual([])
        const { minSpare, maxSpare } = pool.state.settings
        expect(pool.phase('ready').length).toBeGreaterThanOrEqual(Math.max(1, minSpare))
        expect(pool.phase('ready').length).toBeLessThanOrEqual(Math.max(1, maxSpare))
        expect(new Set(pool.state.children.map(child => child.generation)).size).toBe(1)
      }),
      { numRuns: 200 },
    )
  })
})
