import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ProtocolError } from '../../src/fcgi/errors.ts'
import { decodePairs as decode, encodePairs } from '../../src/fcgi/pairs.ts'

const decodePairs = (text: string) => decode(Buffer.from(text, 'latin1'))

const latin1 = (maxLength: number) => fc.uint8Array({ maxLength }).map(bytes => Buffer.from(bytes).toString('latin1'))

describe('name-value pairs', () => {
  it('survive encoding and decoding, whatever they hold', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(latin1(200), latin1(400))), entries => {
        const { names, values } = decodePairs(encodePairs(entries))
        expect(names.map((name, at) => [name, values[at]])).toEqual(entries)
      }),
    )
  })

  it.each([0, 1, 127, 128, 1000, 65_535, 70_000])('may have a value of %i bytes', length => {
    expect(decodePairs(encodePairs([['N', 'v'.repeat(length)]])).values[0]).toHaveLength(length)
  })

  it('encode lengths up to 127 in one byte and longer ones in four (§3.4)', () => {
    expect(encodePairs([['a'.repeat(127), '']])[0]).toBe('\x7f')
    expect(encodePairs([['a'.repeat(128), '']]).slice(0, 4)).toBe('\x80\0\0\x80')
  })

  it('give the same array for the same sequence of names', () => {
    const one = decodePairs(
      encodePairs([
        ['A', '1'],
        ['B', '2'],
      ]),
    )
    const two = decodePairs(
      encodePairs([
        ['A', '3'],
        ['B', ''],
      ]),
    )
    const other = decodePairs(
      encodePairs([
        ['B', '2'],
        ['A', '1'],
      ]),
    )
    expect(two.names).toBe(one.names)
    expect(other.names).not.toBe(one.names)
    expect(other.names).toEqual(['B', 'A'])
  })

  it('tell names apart that begin alike, in whatever order they come', () => {
    for (const names of [['AB'], ['A'], ['AB', 'ABC'], ['ABC'], ['A', 'AB'], ['AB']]) {
      expect(decodePairs(encodePairs(names.map(name => [name, name]))).names).toEqual(names)
    }
  })

  it('either decode or raise the protocol error', () => {
    fc.assert(
      fc.property(latin1(300), text => {
        try {
          const { names, values } = decodePairs(text)
          expect(names).toHaveLength(values.length)
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  it('stay right when clients make up ever new names', () => {
    for (let at = 0; at < 20_000; at++) {
      const name = `HTTP_X_${at}`
      expect(decodePairs(encodePairs([[name, '1']])).names[0]).toBe(name)
    }
  })
})
