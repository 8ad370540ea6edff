/**
 * Large files are read in larger pieces than the 64 KiB that `fs.createReadStream` takes unless it is told otherwise. Each
 * piece costs a task of the thread pool, two wake-ups and a write, together more than half of what a large file costs
 * (test/bench).
 *
 * Only so many at a time: a reply whose client takes its time keeps two pieces in memory.
 */

import { ReadStream } from 'node:fs'

/** What `createReadStream` reads at once. */
const USUAL = 64 * 1024

const LARGE = 256 * 1024

/** How many replies at a time have their file read in large pieces. */
const MOST = 16

let replies = 0

/**
 * `piece` came of `source`: if that is a file which goes on, its next pieces are larger. True if so: then
 * `endReadAhead` is to be called once, when the reply has ended.
 */
export function readAhead(source: unknown, piece: Uint8Array): boolean {
  if (piece.length < USUAL || replies >= MOST || !(source instanceof ReadStream)) return false
  if (source.readableHighWaterMark !== USUAL) return false
  replies++
  // As `source.read(LARGE)` does.
  const state = Reflect.get(source, '_readableState') as { highWaterMark: number }
  state.highWaterMark = LARGE
  return true
}

export function endReadAhead(): void {
  replies--
}
