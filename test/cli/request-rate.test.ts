import { describe, expect, it } from 'vitest'
import { RequestRate } from '../../src/cli/serving/request-rate.ts'

describe('the rate of requests', () => {
  it('is 0 before there is anything to compare with', () => {
    const rate = new RequestRate()
    expect(rate.perSecond(5, 1_000)).toBe(0)
    rate.sample(5, 1_000)
    expect(rate.perSecond(5, 1_000)).toBe(0)
  })

  it('is that of the last ten seconds, whatever was before', () => {
    const rate = new RequestRate()
    for (let second = 0; second <= 100; second++) rate.sample(second * 1_000, second * 1_000)
    for (let second = 101; second <= 110; second++) rate.sample(100_000 + (second - 100) * 20, second * 1_000)
    expect(rate.perSecond(100_200, 110_000)).toBe(20)
    expect(rate.perSecond(100_205, 110_500)).toBeCloseTo(205 / 10.5, 3)
  })

  it('is 0 ten seconds after the last request', () => {
    const rate = new RequestRate()
    for (let second = 0; second <= 12; second++) rate.sample(Math.min(second, 2) * 500, second * 1_000)
    expect(rate.perSecond(1_000, 12_000)).toBe(0)
  })

  it('is known from the first second on', () => {
    const rate = new RequestRate()
    rate.sample(0, 0)
    expect(rate.perSecond(30, 500)).toBe(60)
  })
})
