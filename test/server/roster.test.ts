import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type Member, Roster } from '../../src/server/roster.ts'

it('has whoever was added and not deleted since, whatever the order', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat({ max: 9 })), { maxLength: 60 }), steps => {
      const members: Member[] = Array.from({ length: 10 }, () => ({ place: -1 }))
      const roster = new Roster<Member>()
      const model = new Set<Member>()
      for (const [adds, index] of steps) {
        const member = members[index] as Member
        if (!adds) {
          roster.delete(member)
          model.delete(member)
        } else if (!model.has(member)) {
          roster.add(member)
          model.add(member)
        }
        expect(roster.size).toBe(model.size)
        expect(new Set(roster.values())).toEqual(model)
      }
    }),
  )
})
