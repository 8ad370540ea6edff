import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Numbers, UnderWay } from '../../../src/process/threads/under-way.ts'

interface Item {
  readonly id: number
}

it('finds each request under its number until it is over, and no other one, whatever comes and goes', () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.nat())), steps => {
      const [numbers, underWay] = [new Numbers(), new UnderWay<Item>()]
      const here: Item[] = []
      const gone: Item[] = []
      for (const step of steps) {
        if (step === null || here.length === 0) {
          const item = { id: numbers.take() }
          underWay.set(item)
          here.push(item)
        } else {
          const [item] = here.splice(step % here.length, 1) as [Item]
          expect(underWay.delete(item)).toBe(true)
          expect(underWay.delete(item)).toBe(false)
          numbers.free(item.id)
          gone.push(item)
        }
        expect(underWay.size).toBe(here.length)
        expect(new Set(underWay.values())).toEqual(new Set(here))
        for (const item of here) expect(underWay.get(item.id)).toBe(item)
        for (const item of gone) expect(underWay.get(item.id)).toBeUndefined()
      }
    }),
  )
})

it('gives a place another number each time, for two thousand times, and takes no more places than are needed at once', () => {
  const numbers = new Numbers()
  const seen = new Set<number>()
  for (let times = 0; times < 2_000; times++) {
    const two = [numbers.take(), numbers.take()]
    for (const number of two) seen.add(number)
    for (const number of two) numbers.free(number)
  }
  expect(seen.size).toBe(4_000)
  for (const number of seen) expect(number % 2 ** 20).toBeLessThan(2)
  for (let times = 0; times < 2 ** 12; times++) {
    const number = numbers.take()
    expect(number).toBeGreaterThanOrEqual(0)
    expect(number).toBeLessThan(2 ** 31)
    numbers.free(number)
  }
})
