/** Files that an application sends: in what pieces they are read, and that all of it arrives. */

import { createReadStream, mkdtempSync, type ReadStream, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Application } from '../../src/app/exchange.ts'
import { nodeApplication } from '../../src/app/node/node.ts'
import { wsgiApplication } from '../../src/app/wsgi/wsgi.ts'
import { MemoryExchange, request } from '../support/exchange.ts'
import { until } from '../support/until.ts'

const KIBIBYTE = 1024
const LARGE = Buffer.alloc(1024 * KIBIBYTE, 'abcdefghijklmnopqrstuvwxyz')
const SMALL = LARGE.subarray(0, 100 * KIBIBYTE)

let folder = ''
const path = (name: string): string => join(folder, name)

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'read-ahead-'))
  writeFileSync(path('large'), LARGE)
  writeFileSync(path('small'), SMALL)
})
afterAll(() => rmSync(folder, { recursive: true }))

const options = { concurrency: { multithread: false, multiprocess: false, runOnce: false } }

/** How much each read of a stream was for. */
function readsOf(stream: ReadStream): number[] {
  const sizes: number[] = []
  const read = stream._read
  stream._read = function (size) {
    sizes.push(size)
    read.call(this, size)
  }
  return sizes
}

/** Applications that answer with the streams that they are given, one each time. */
const APPLICATIONS: readonly [name: string, make: (next: () => ReadStream) => Application][] = [
  ['a stream that is piped', next => nodeApplication((_req, res) => next().pipe(res), options)],
  [
    'a stream as iterable',
    next =>
      wsgiApplication((_environ, start) => {
        start('200 OK', [])
        return next()
      }, options),
  ],
]

const sizesOf = async (make: (typeof APPLICATIONS)[number][1], stream: ReadStream, body: Buffer): Promise<number[]> => {
  const sizes = readsOf(stream)
  const { body: sent } = await request(make(() => stream))
  expect(sent.equals(body)).toBe(true)
  return [...new Set(sizes.map(size => size / KIBIBYTE))]
}

describe.each(APPLICATIONS)('%s', (_name, make) => {
  it('is read in larger pieces once it is seen to be large', async () => {
    expect(await sizesOf(make, createReadStream(path('large')), LARGE)).toEqual([64, 256])
  })

  it('is read in the pieces that the application has chosen', async () => {
    const chosen = createReadStream(path('large'), { highWaterMark: 96 * KIBIBYTE })
    expect(await sizesOf(make, chosen, LARGE)).toEqual([96])
  })

  it('is sent in part as it was asked for', async () => {
    const part = createReadStream(path('large'), { start: 1_000, end: 999_999 })
    await sizesOf(make, part, LARGE.subarray(1_000, 1_000_000))
  })

  it('is read in large pieces for sixteen replies at a time, and again when they have ended or were cut off', async () => {
    for (let round = 0; round < 2; round++) {
      const streams = Array.from({ length: 20 }, () => createReadStream(path('large')))
      const sizes = streams.map(readsOf)
      // Nobody takes anything: each stream reads one piece ahead, and no reply ends.
      const exchanges = streams.map(stream =>
        new MemoryExchange({ stalled: true, highWaterMark: 1 }).run(make(() => stream)),
      )
      const large = (): number => sizes.filter(all => all.includes(256 * KIBIBYTE)).length
      await until('two reads of each', () => sizes.every(all => all.length > 1) && large() >= 16)
      expect(large()).toBe(16)
      for (const exchange of exchanges) exchange.abort()
      for (const stream of streams) stream.destroy()
    }
  })
})
