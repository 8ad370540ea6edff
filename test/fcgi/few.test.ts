import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Few } from '../../src/fcgi/few.ts'

test('is a Map, whatever is set, changed and deleted in whatever order', () => {
  const key = fc.integer({ min: 1, max: 4 })
  const step = fc.oneof(fc.record({ set: key, value: fc.record({ v: fc.nat() }) }), fc.record({ delete: key }))
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      const few = new Few<number, { v: number }>()
      const map = new Map<number, { v: number }>()
      for (const each of steps) {
        if ('set' in each) {
          few.set(each.set, each.value)
          map.set(each.set, each.value)
        } else {
          few.delete(each.delete)
          map.delete(each.delete)
        }
        expect(few.size).toBe(map.size)
        for (let at = 1; at <= 4; at++) expect(few.get(at)).toBe(map.get(at))
        expect(new Set(few.values())).toEqual(new Set(map.values()))
      }
    }),
  )
})
