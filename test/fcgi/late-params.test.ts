import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LateParams } from '../../src/fcgi/late-params.ts'
import { checkPairs, decodePairs, encodePairs } from '../../src/fcgi/pairs.ts'

const latin1 = (maxLength: number): fc.Arbitrary<string> =>
  fc.uint8Array({ maxLength }).map(bytes => Buffer.from(bytes).toString('latin1'))

describe('params that are decoded late', () => {
  it('are what they would have been at once', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(latin1(200), latin1(200))), pairs => {
        const text = encodePairs(pairs)
        const { names, values } = decodePairs(Buffer.from(text, 'latin1'))
        const late = new LateParams(text)
        expect([late.names, late.values, late.text]).toEqual([names, values, text])
        expect(late.names).toBe(late.names)
      }),
    )
  })

  it('are refused at once when they would be refused', () => {
    fc.assert(
      fc.property(latin1(40), text => {
        let code: unknown
        try {
          decodePairs(Buffer.from(text, 'latin1'))
        } catch (error) {
          code = (error as { code: unknown }).code
        }
        const check = (): void => checkPairs(text)
        if (code === undefined) expect(check).not.toThrow()
        else expect(check).toThrow(expect.objectContaining({ code }))
      }),
      { numRuns: 2_000 },
    )
  })
})
