import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ProtocolError } from '../../src/fcgi/errors.ts'
import { decodePairs, encodePairs } from '../../src/fcgi/pairs.ts'
import { pairs } from '../support/wire.ts'
import { byName, effort } from './arbitraries.ts'

/** Lengths on both sides of the one where the encoding changes. */
const length = fc.oneof(fc.nat(20), fc.constantFrom(0, 126, 127, 128, 129, 255, 256, 65_535, 65_536))
const text = fc.tuple(length, fc.nat(255)).map(([size, byte]) => String.fromCharCode(byte).repeat(size))
const entries = fc.array(fc.tuple(text, text), { maxLength: 12 })

const listOf = ({ names, values }: ReturnType<typeof decodePairs>): [string, string][] =>
  names.map((name, at) => [name, values[at] as string])

describe('name-value pairs', () => {
  // Before the others: the tree of names is thrown away when it has grown too large.
  it('give one array of names per sequence of names, whatever came in between', () => {
    const known = new Map<string, readonly string[]>()
    const name = fc.constantFrom('A', 'B', 'AB', 'a', '', 'constructor', '__proto__', 'x'.repeat(256))
    fc.assert(
      fc.property(fc.array(name, { maxLength: 3 }), names => {
        const decoded = decodePairs(pairs(names.map(one => [one, 'v'] as const))).names
        const key = JSON.stringify(names)
        expect(decoded).toEqual(names)
        expect(known.get(key) ?? decoded).toBe(decoded)
        known.set(key, decoded)
      }),
      effort(2_000),
    )
  })

  it('come back as they were, and are encoded as by hand', () => {
    fc.assert(
      fc.property(entries, list => {
        const bytes = Buffer.from(encodePairs(list), 'latin1')
        expect(bytes.equals(pairs(list))).toBe(true)
        expect(byName(listOf(decodePairs(bytes)))).toEqual(byName(list))
      }),
      effort(500),
    )
  })

  it('may be encoded with four bytes of length where one would do (§3.4 allows it)', () => {
    const long = (value: string): Buffer => Buffer.from([0x80, 0, 0, value.length])
    const bytes = Buffer.concat([
      long('NAME'),
      long('v'),
      Buffer.from('NAMEv'),
      long(''),
      long(''),
      Buffer.from([0, 1, 120]),
    ])
    expect(listOf(decodePairs(bytes))).toEqual([
      ['NAME', 'v'],
      ['', ''],
      ['', 'x'],
    ])
  })

  it('of any bytes are decoded or are a ProtocolError, and what is decoded is encoded to the same pairs', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), bytes => {
        try {
          const list = listOf(decodePairs(Buffer.from(bytes)))
          const again = listOf(decodePairs(Buffer.from(encodePairs(list), 'latin1')))
          expect(byName(again)).toEqual(byName(list))
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError)
        }
      }),
      effort(5_000),
    )
  })

  it('with lengths up to 2^31 - 1 are never taken for more than there is', () => {
    const most = Buffer.from([0xff, 0xff, 0xff, 0xff])
    for (const bytes of [
      Buffer.concat([most, most, Buffer.from('x')]),
      Buffer.concat([Buffer.from([0]), most]),
      Buffer.concat([most, Buffer.from([0])]),
      Buffer.from([1, 0x80]),
      Buffer.from([0x80, 0, 0]),
      Buffer.from([1]),
    ])
      expect(() => decodePairs(bytes)).toThrow(ProtocolError)
  })

  it('keep working when names come without end', () => {
    for (let n = 0; n < 30_000; n++) {
      const list: [string, string][] = [
        ['REQUEST_METHOD', 'GET'],
        [`HTTP_X_${n}`, `${n}`],
        ['LAST', ''],
      ]
      expect(listOf(decodePairs(pairs(list)))).toEqual(list)
    }
  })
})
