/** Bytes that show what was lost, doubled or swapped, and their digests. */

import { createHash } from 'node:crypto'
import { patternOf } from '../e2e/fixtures/shared.js'

export { patternOf }

export function digestOf(size: number): { length: number; sha256: string } {
  const hash = createHash('sha256')
  for (const block of patternOf(size)) hash.update(block)
  return { length: size, sha256: hash.digest('hex') }
}

export async function digestBody(response: AsyncIterable<Buffer>): Promise<{ length: number; sha256: string }> {
  const hash = createHash('sha256')
  let length = 0
  for await (const chunk of response) {
    length += chunk.length
    hash.update(chunk)
  }
  return { length, sha256: hash.digest('hex') }
}
