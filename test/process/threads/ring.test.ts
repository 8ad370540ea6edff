import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { maxPayload, RingReader, RingWriter, ringSize } from '../../../src/process/threads/ring.ts'

const CAPACITY = 1_024
/** Rings do not begin where their memory does. */
const OFFSET = 64

interface Entry {
  readonly kind: number
  readonly id: number
  readonly code: number
  readonly amount: number
  readonly split: number
  readonly payload: Uint8Array
}

function ring(): { writer: RingWriter; reader: RingReader } {
  const memory = new SharedArrayBuffer(OFFSET + ringSize(CAPACITY))
  return { writer: new RingWriter(memory, OFFSET, CAPACITY), reader: new RingReader(memory, OFFSET, CAPACITY) }
}

function write(writer: RingWriter, { kind, id, code, amount, split, payload }: Entry): boolean {
  const at = writer.reserve(payload.length)
  if (at < 0) return false
  writer.bytes.set(payload, at)
  writer.commit(kind, id, code, amount, split)
  return true
}

function read(reader: RingReader): Entry | undefined {
  if (!reader.next()) return undefined
  const { kind, id, code, amount, split, start, length } = reader
  return { kind, id, code, amount, split, payload: new Uint8Array(reader.bytes.subarray(start, start + length)) }
}

const int32 = fc.integer()
const entry: fc.Arbitrary<Entry> = fc.record({
  kind: fc.integer({ min: 1, max: 0x7fff_ffff }),
  id: int32,
  code: int32,
  amount: fc.double({ noNaN: true }),
  split: int32,
  payload: fc.uint8Array({ maxLength: maxPayload(CAPACITY) }),
})

const filled = (length: number): Entry => ({
  ...{ kind: 1, id: 2, code: 3, amount: 4, split: 5 },
  payload: new Uint8Array(length).fill(length),
})

describe('a ring between two threads', () => {
  it('gives out what was put in, whole and in order, however writing and reading take turns', () => {
    const turns = fc.array(fc.oneof(fc.record({ write: entry }), fc.constant('read' as const)), { maxLength: 200 })
    fc.assert(
      fc.property(turns, steps => {
        const { writer, reader } = ring()
        const inside: Entry[] = []
        for (const step of steps) {
          if (step === 'read') expect(read(reader)).toEqual(inside.shift())
          else if (write(writer, step.write)) inside.push(step.write)
        }
        for (const expected of inside) expect(read(reader)).toEqual(expected)
        expect(read(reader)).toBeUndefined()
      }),
    )
  })

  it('has room for the largest payload whenever it is empty, wherever it has got to', () => {
    const { writer, reader } = ring()
    for (let length = 0; length <= maxPayload(CAPACITY); length += 7) {
      expect(write(writer, filled(length))).toBe(true)
      expect(read(reader)?.payload.length).toBe(length)
      expect(read(reader)).toBeUndefined()
      expect(write(writer, filled(maxPayload(CAPACITY)))).toBe(true)
      expect(read(reader)?.payload.length).toBe(maxPayload(CAPACITY))
      expect(read(reader)).toBeUndefined()
    }
  })

  it('refuses what does not fit, and takes it when the reader has gone on', () => {
    const { writer, reader } = ring()
    let written = 0
    while (write(writer, filled(100))) written++
    expect(written).toBe(Math.floor(CAPACITY / (32 + 104)))
    expect(read(reader)).toBeDefined()
    // What is being read is still in use.
    expect(write(writer, filled(100))).toBe(false)
    expect(read(reader)).toBeDefined()
    expect(write(writer, filled(100))).toBe(true)
  })

  it('shows nothing of a record that was not finished, and leaves its room to the next', () => {
    const { writer, reader } = ring()
    const at = writer.reserve(500)
    writer.bytes.fill(0xff, at, at + 500)
    expect(reader.more).toBe(false)
    expect(read(reader)).toBeUndefined()
    expect(write(writer, filled(10))).toBe(true)
    expect(read(reader)).toEqual(filled(10))
  })

  it('says whether there is more behind what is being read', () => {
    const { writer, reader } = ring()
    write(writer, filled(1))
    write(writer, filled(2))
    expect(reader.more).toBe(true)
    read(reader)
    expect(reader.more).toBe(true)
    read(reader)
    expect(reader.more).toBe(false)
  })

  it('goes on when its positions have gone all the way round', () => {
    const memory = new SharedArrayBuffer(OFFSET + ringSize(CAPACITY))
    // As after nearly 2^31 bytes: too many to be written here.
    const cells = new Int32Array(memory, OFFSET, 32).fill(0x7fff_ffff - CAPACITY + 1)
    const writer = new RingWriter(memory, OFFSET, CAPACITY)
    const reader = new RingReader(memory, OFFSET, CAPACITY)
    for (let length = 0; length < 400; length++) {
      expect(write(writer, filled(length))).toBe(true)
      expect(read(reader)).toEqual(filled(length))
      expect(read(reader)).toBeUndefined()
    }
    expect(cells[0]).toBeLessThan(0)
    expect(reader.more).toBe(false)
  })
})
