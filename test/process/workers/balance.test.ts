import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FULL } from '../../../src/process/loop-meter.ts'
import {
  FIRST_PAUSE_MS,
  LONGEST_PAUSE_MS,
  type Load,
  NEVER_MOVED,
  rebalance,
} from '../../../src/process/workers/balance.ts'

/** How often the workers of the model report, in milliseconds. */
const REPORT_MS = 250

/** A worker with what its connections ask of it: parts of a processor, 1 for one that asks again as soon as it is answered. */
interface Worker {
  readonly demands: number[]
  /** What it does beside. */
  readonly own: number
}

const demandOf = ({ demands, own }: Worker): number => demands.reduce((sum, demand) => sum + demand, own)

function loadOf(worker: Worker, id: number, at: number): Load {
  const utilization = Math.min(1, demandOf(worker))
  const busy = utilization < FULL ? 0 : worker.demands.length
  return { id, at, utilization, busy, room: 1_000 - worker.demands.length }
}

/** A pool in which orders are carried out at once; which connections leave is up to `pick`. */
class Pool {
  readonly workers: Worker[]
  readonly #pick: (count: number) => number
  state = NEVER_MOVED
  now = 0
  /** When something was moved. */
  readonly moved: number[] = []

  constructor(demands: readonly (readonly number[])[], { own = 0, pick = (_count: number): number => 0 } = {}) {
    this.workers = demands.map((all, at) => ({ demands: [...all], own: at === 0 ? own : 0 }))
    this.#pick = pick
  }

  get counts(): number[] {
    return this.workers.map(({ demands }) => demands.length)
  }

  get loads(): Load[] {
    return this.workers.map((worker, id) => loadOf(worker, id, this.now))
  }

  run(seconds: number): this {
    for (const end = this.now + seconds * 1_000; this.now < end; ) {
      this.now += REPORT_MS
      const { state, moves } = rebalance(this.state, this.loads, this.now)
      this.state = state
      if (moves.length > 0) this.moved.push(this.now)
      for (const { from, to } of moves) this.#move(from, to)
    }
    return this
  }

  #move(from: number, to: readonly number[]): void {
    const giver = this.workers[from] as Worker
    expect(to.length).toBeLessThan(giver.demands.length)
    for (const taker of to)
      this.workers[taker]?.demands.push(...giver.demands.splice(this.#pick(giver.demands.length), 1))
  }
}

const many = (count: number, demand = 1): number[] => Array.from({ length: count }, () => demand)

describe('connections that are in use', () => {
  it('are evened at once when one worker has them all', () => {
    expect(new Pool([many(16), []]).run(1).counts).toEqual([8, 8])
    expect(new Pool([many(16), [], [], []]).run(1).counts).toEqual([4, 4, 4, 4])
    expect(new Pool([many(200), many(3)]).run(1).counts.map(count => Math.abs(count - 101.5) < 1)).toEqual([true, true])
  })

  it('stay where they are while no loop is full, however they are spread', () => {
    expect(new Pool([many(16, 0.04), []]).run(600).moved).toEqual([])
  })

  it('stay where they are when every loop is as full', () => {
    expect(new Pool([many(8), many(8)]).run(600).moved).toEqual([])
    expect(new Pool([many(9), many(7)]).run(600).moved).toEqual([])
  })

  it('stay where they are when it is one alone that fills a loop', () => {
    expect(new Pool([[1], []]).run(600).moved).toEqual([])
    expect(new Pool([[1], many(2, 0.1)]).run(600).moved).toEqual([])
  })

  it('go to one that is idle, and not to one that is full without any', () => {
    const pool = new Pool([[], many(6), []], { own: 1 }).run(1)
    expect(pool.counts).toEqual([0, 3, 3])
    expect(pool.run(600).moved).toHaveLength(1)
  })

  it('go no further than there is room', () => {
    const [full, idle] = new Pool([many(16), []]).loads as [Load, Load]
    const { moves } = rebalance(NEVER_MOVED, [full, { ...idle, room: 3 }], 0)
    expect(moves).toEqual([{ from: 0, to: [1, 1, 1] }])
  })

  it('are not given to a worker that has not been heard of, or not since the last move', () => {
    const [full, idle] = new Pool([many(16), []]).loads as [Load, Load]
    expect(rebalance(NEVER_MOVED, [{ ...full, at: 10_000 }, idle], 10_000).moves).toEqual([])
    const state = { movedAt: 9_000, pause: FIRST_PAUSE_MS }
    expect(
      rebalance(
        state,
        [
          { ...full, at: 10_000 },
          { ...idle, at: 8_900 },
        ],
        10_000,
      ).moves,
    ).toEqual([])
    expect(
      rebalance(
        state,
        [
          { ...full, at: 10_000 },
          { ...idle, at: 9_100 },
        ],
        10_000,
      ).moves,
    ).toHaveLength(1)
  })
})

describe('for any connections', () => {
  const anyDemand = fc.oneof(fc.constant(1), fc.double({ min: 0.001, max: 1, noNaN: true }))
  const anyPool = fc.record({
    demands: fc.array(fc.array(anyDemand, { maxLength: 20 }), { minLength: 2, maxLength: 8 }),
    own: fc.constantFrom(0, 0.3, 1),
    picks: fc.infiniteStream(fc.nat(1_000)),
  })
  const poolOf = ({ demands, own, picks }: { demands: number[][]; own: number; picks: Stream }): Pool =>
    new Pool(demands, { own, pick: count => (picks.next().value as number) % count })
  type Stream = Iterator<number>

  it('none is lost, and no worker gives all that it has', () => {
    fc.assert(
      fc.property(anyPool, given => {
        const before = given.demands.flat().sort()
        const after = poolOf(given)
          .run(60)
          .workers.flatMap(({ demands }) => demands)
        expect(after.sort()).toEqual(before)
      }),
    )
  })

  it('nobody shares a full loop while another is idle, after four seconds of what asks alike, and five moves are enough', () => {
    fc.assert(
      fc.property(anyPool, anyDemand, ({ demands, picks }, demand) => {
        const alike = demands.map(all => all.map(() => demand))
        const pool = poolOf({ demands: alike, own: 0, picks }).run(4)
        const crowded = pool.loads.filter(({ utilization, busy }) => utilization >= FULL && busy > 1)
        if (crowded.length > 0) expect(Math.min(...pool.counts)).toBeGreaterThan(0)
        expect(pool.run(600).moved.length).toBeLessThanOrEqual(5)
      }),
    )
  })

  it('corrections become rare, whatever the estimate misses', () => {
    fc.assert(
      fc.property(anyPool, given => {
        const pool = poolOf(given).run(600)
        expect(pool.moved.length).toBeLessThanOrEqual(16)
        const pauses = pool.moved.slice(1).map((at, nth) => at - (pool.moved[nth] as number))
        for (const pause of pauses) expect(pause).toBeGreaterThanOrEqual(FIRST_PAUSE_MS)
        expect(pool.state.pause).toBeLessThanOrEqual(LONGEST_PAUSE_MS)
      }),
    )
  })
})
