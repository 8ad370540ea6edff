/** What peers may send, from the sensible to the absurd. */

import fc from 'fast-check'
import { abort, begin, GET_VALUES, PARAMS, PLAIN, pairs, rec, request, STDIN, stdinEnd } from '../support/wire.ts'

/** How much to try; FUZZ=10 tries ten times as much. */
export const effort = (runs: number): { numRuns: number } => ({ numRuns: runs * Number(process.env.FUZZ ?? 1) })

const buffer = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map(bytes => Buffer.from(bytes))

const id = fc.oneof({ weight: 8, arbitrary: fc.integer({ min: 1, max: 4 }) }, { weight: 1, arbitrary: fc.nat(65_535) })

/** A record of any type, id, content and padding. */
const anyRecord = fc
  .tuple(fc.oneof(fc.integer({ min: 0, max: 12 }), fc.nat(255)), fc.nat(3), buffer(40), fc.nat(20))
  .map(([type, some, content, padding]) => rec(type, some, content, { padding }))

/** A record that makes sense somewhere. */
const sensibleRecord = fc.oneof(
  fc.tuple(id, fc.boolean(), fc.constantFrom(1, 1, 1, 1, 2, 3)).map(([one, keep, role]) => begin(one, { keep, role })),
  fc.tuple(id, buffer(60)).map(([one, content]) => rec(PARAMS, one, content)),
  id.map(one => rec(PARAMS, one, pairs(PLAIN))),
  id.map(one => rec(PARAMS, one)),
  fc.tuple(id, buffer(60), fc.nat(9)).map(([one, content, padding]) => rec(STDIN, one, content, { padding })),
  id.map(stdinEnd),
  id.map(abort),
  id.map(one => request({ id: one })),
  fc.constant(rec(GET_VALUES, 0, pairs({ FCGI_MAX_REQS: '' }))),
)

const concat = (parts: Buffer[]): Buffer => Buffer.concat(parts)

/** Records, mostly in an order that means something, now and then not records at all. */
export const conversation: fc.Arbitrary<Buffer> = fc
  .array(
    fc.oneof(
      { weight: 60, arbitrary: sensibleRecord },
      { weight: 3, arbitrary: anyRecord },
      { weight: 1, arbitrary: buffer(30) },
    ),
    { maxLength: 40 },
  )
  .map(concat)

/** A conversation in which some bytes have been changed, removed or doubled. */
export const damaged: fc.Arbitrary<Buffer> = fc
  .tuple(
    conversation,
    fc.array(fc.tuple(fc.nat(), fc.constantFrom('flip', 'drop', 'double'), fc.nat(255)), { maxLength: 4 }),
  )
  .map(([bytes, damages]) => {
    let result = bytes
    for (const [where, how, value] of damages) {
      if (result.length === 0) break
      const at = where % result.length
      const until = Math.min(result.length, at + 1 + (value % 16))
      if (how === 'flip') {
        result = Buffer.from(result)
        result[at] = (result[at] as number) ^ (value || 1)
      } else if (how === 'drop') result = concat([result.subarray(0, at), result.subarray(until)])
      else result = concat([result.subarray(0, until), result.subarray(at)])
    }
    return result
  })

export const anything: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 6, arbitrary: conversation },
  { weight: 6, arbitrary: damaged },
  { weight: 1, arbitrary: buffer(300) },
)

/** Ways to cut bytes into pieces. */
export const cutter: fc.Arbitrary<(bytes: Buffer) => Buffer[]> = fc
  .array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 })
  .map(lengths => bytes => {
    const pieces: Buffer[] = []
    for (let at = 0, n = 0; at < bytes.length; n++) {
      const next = at + (lengths[n % lengths.length] as number)
      pieces.push(bytes.subarray(at, next))
      at = next
    }
    return pieces
  })

/**
 * Pairs for comparison: names that come in ever new orders are brought into another one (src/fcgi/sequences.ts), values of
 * the same name never are.
 */
export function byName(list: readonly (readonly [string, string])[]): (readonly [string, string])[] {
  return [...list].sort(([one], [other]) => (one < other ? -1 : Number(one > other)))
}
