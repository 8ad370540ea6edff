import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ProtocolError } from '../../src/fcgi/errors.ts'
import { decodePairs as decode, encodePairs } from '../../src/fcgi/pairs.ts'
import { type Node, Sequences } from '../../src/fcgi/sequences.ts'
import { random } from './feed.ts'

const decodePairs = (text: string) => decode(Buffer.from(text, 'latin1'))

const latin1 = (maxLength: number) => fc.uint8Array({ maxLength }).map(bytes => Buffer.from(bytes).toString('latin1'))

function shuffled<T>(list: readonly T[], next: () => number): T[] {
  const copy = [...list]
  for (let at = copy.length - 1; at > 0; at--) {
    const other = Math.floor(next() * (at + 1))
    const moved = copy[at] as T
    copy[at] = copy[other] as T
    copy[other] = moved
  }
  return copy
}

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

  it('give one array for names that come in another order each time, each with its value', () => {
    const entries = Array.from({ length: 24 }, (_, at) => [`NAME_${at}`, `value ${at}`] as [string, string])
    const next = random(7)
    const arrays = new Set<readonly string[]>()
    for (let at = 0; at < 2_000; at++) {
      const { names, values } = decodePairs(encodePairs(shuffled(entries, next)))
      expect(names.map((name, place) => [name, values[place]]).sort()).toEqual([...entries].sort())
      if (at >= 1_000) arrays.add(names)
    }
    expect(arrays.size).toBe(1)
  })

  it('of the same name stay in the order in which they came, also when those are brought into order', () => {
    const next = random(8)
    const entries = Array.from({ length: 20 }, (_, at) => [`HTTP_X_${at}`, ''] as [string, string])
    for (let at = 0; at < 1_000; at++) {
      const list = shuffled<[string, string]>([...entries, ['TWICE', ''], ['TWICE', '']], next)
      let turn = 0
      for (const pair of list) if (pair[0] === 'TWICE') pair[1] = String(++turn)
      const { names, values } = decodePairs(encodePairs(list))
      expect(values.filter((_, place) => names[place] === 'TWICE')).toEqual(['1', '2'])
    }
  })
})

describe('the sequences that are kept', () => {
  const walk = (sequences: Sequences, names: string[]): readonly string[] => {
    const { rank, size } = sequences
    let node: Node | null = sequences.first
    for (const name of names) if (node !== null) node = sequences.next(node, name)
    if (node === null)
      return sequences.inOrder(
        names.map(name => sequences.name(name)),
        [...names],
        rank,
      )
    if (sequences.size === size) sequences.found()
    return node.sequence
  }
  const names = Array.from({ length: 24 }, (_, at) => `NAME_${at}`)

  it('do not grow with an order that is another one each time', () => {
    const sequences = new Sequences()
    const next = random(9)
    for (let at = 0; at < 500; at++) walk(sequences, shuffled(names, next))
    const { size } = sequences
    for (let at = 0; at < 500; at++) walk(sequences, shuffled(names, next))
    expect(sequences.size).toBe(size)
    expect(size).toBeLessThan(3_000)
  })

  it('are found again among others that are not', () => {
    const sequences = new Sequences()
    const next = random(10)
    const own = walk(sequences, names)
    for (let at = 0; at < 1_000; at++) {
      walk(sequences, shuffled(names, next))
      expect(walk(sequences, names)).toBe(own)
    }
  })

  it('are forgotten when there are too many, and come anew', () => {
    const sequences = new Sequences()
    for (let at = 0; at < 10_000; at++)
      expect(walk(sequences, [`HTTP_X_${at}`, 'LAST'])).toEqual([`HTTP_X_${at}`, 'LAST'])
    expect(sequences.size).toBeLessThanOrEqual(8_192)
    const kept = walk(sequences, names)
    expect(kept).toEqual(names)
  })
})
