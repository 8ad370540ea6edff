/**
 * The invariant: whatever bytes arrive in whatever pieces, the core of a connection ends in events or in one
 * ProtocolError, never in anything else; where the bytes were cut makes no difference; and what it keeps is bounded.
 */

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Connection } from '../../src/fcgi/connection.ts'
import { ProtocolError } from '../../src/fcgi/errors.ts'
import type { ConnectionEvent } from '../../src/fcgi/events.ts'
import { Requester, type RequesterEvent } from '../../src/fcgi/requester.ts'
import { byteByByte, feeding, LIMITS, whole } from '../fcgi/feed.ts'
import { until } from '../support/until.ts'
import { begin, PARAMS, params, readRecords, rec, STDIN } from '../support/wire.ts'
import { anything, cutter, effort } from './arbitraries.ts'

function bytesWritten(connection: Connection): Buffer {
  const parts = connection.out.take().map(part => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part))
  return Buffer.concat(parts)
}

describe('any bytes at all', () => {
  it('end in events or a ProtocolError, which is the last', () => {
    fc.assert(
      fc.property(anything, cutter, (bytes, cut) => {
        const connection = new Connection(LIMITS)
        const events: ConnectionEvent[] = []
        for (const piece of cut(bytes)) events.push(...connection.receive(piece))
        const violation = events.findIndex(event => event.type === 'violation')
        if (violation >= 0) {
          expect(violation).toBe(events.length - 1)
          expect((events[violation] as { error: unknown }).error).toBeInstanceOf(ProtocolError)
          expect(connection.failed).toBe(true)
        }
        const { rest } = readRecords(bytesWritten(connection))
        expect(rest.length).toBe(0)
        events.push(...connection.receiveEnd(), ...connection.expire(1))
        expect(connection.inflight).toBeGreaterThanOrEqual(0)
        expect(connection.incomplete).toBeGreaterThanOrEqual(0)
        expect(connection.draining).toBeGreaterThanOrEqual(0)
      }),
      effort(4_000),
    )
  })

  it('mean the same whole, byte by byte and at random splits', () => {
    fc.assert(
      fc.property(anything, cutter, (bytes, cut) => {
        const outcomes = [whole, byteByByte, cut].map(split => {
          const { feed, seen, written } = feeding(split)
          feed(bytes.toString('latin1'))
          return { seen, written: written() }
        })
        expect(outcomes[1]).toEqual(outcomes[0])
        expect(outcomes[2]).toEqual(outcomes[0])
      }),
      effort(1_500),
    )
  })

  it('are no trouble for the other side of the core either', () => {
    fc.assert(
      fc.property(anything, cutter, (bytes, cut) => {
        const run = (split: (bytes: Buffer) => Buffer[]): unknown => {
          const events: RequesterEvent[] = []
          const requester = new Requester(event => events.push(event))
          for (const id of [1, 2, 3]) requester.begin(id, { role: 1, keepConn: true, params: [] })
          try {
            for (const piece of split(bytes)) requester.receive(piece)
          } catch (error) {
            expect(error).toBeInstanceOf(ProtocolError)
          }
          return events.filter(event => event.type === 'end')
        }
        expect(run(cut)).toEqual(run(whole))
      }),
      effort(2_000),
    )
  })
})

describe('what is kept', () => {
  setFlagsFromString('--expose-gc')
  const collectGarbage: () => void = runInNewContext('gc')
  const MANY = 400

  /** Feeds chunks of 64 KiB, each a buffer of its own as a socket gives them, and waits until most of it is gone. */
  async function feedMuch(connection: Connection, chunk: Buffer): Promise<void> {
    collectGarbage()
    const before = process.memoryUsage().arrayBuffers
    for (let n = 0; n < MANY; n++) {
      connection.receive(Buffer.from(new Uint8Array(chunk)))
      connection.out.take()
    }
    await until('all but a little is gone', () => {
      collectGarbage()
      return process.memoryUsage().arrayBuffers - before < 2 * 1024 * 1024
    })
  }

  const full = Buffer.alloc(65_535 - 8, 'x')
  const small = (type: number, id: number): Buffer =>
    Buffer.concat(Array.from({ length: 6_000 }, () => rec(type, id, 'xyz')))

  it.each([
    ['PARAMS that never end', rec(PARAMS, 1, full)],
    ['PARAMS that never end, in small records', small(PARAMS, 1)],
    ['bodies that nobody takes from the core', rec(STDIN, 2, full)],
    ['records for nobody', rec(STDIN, 77, full)],
    ['management records of unknown type', rec(99, 0, full)],
    ['application records of unknown type', rec(99, 1, full)],
    ['GET_VALUES', rec(9, 0, full.fill(0))],
    ['a record that is cut', rec(99, 0, full).subarray(0, 60_000)],
  ])('does not grow with %s', async (_, chunk) => {
    const connection = new Connection({ ...LIMITS, maxParamsSize: 256 * 1024 })
    connection.receive(Buffer.concat([begin(1), begin(2), params(2)]))
    await feedMuch(connection, chunk)
    expect(connection.inflight).toBe(2)
  })

  it('does not grow with requests that come and go', () => {
    const connection = new Connection(LIMITS)
    collectGarbage()
    const before = process.memoryUsage().heapUsed
    for (let n = 0; n < 100_000; n++) {
      const bytes = Buffer.concat([begin(1 + (n % 4)), params(1 + (n % 4)), rec(STDIN, 1 + (n % 4))])
      for (const event of connection.receive(bytes)) if (event.type === 'request') connection.end(event.request)
      connection.out.take()
    }
    collectGarbage()
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(8 * 1024 * 1024)
  })
})
