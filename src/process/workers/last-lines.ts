/**
 * Standard output and error of a worker, where they are pipes to its primary. The primary reads them whatever happens, so
 * that a write may wait for the pipe: then `process.exit`, which the application may call at any time, cuts nothing off.
 */

import { redirect } from '../redirect.ts'
import { writeAtOnce } from '../standard-streams.ts'

/** Text is collected for so many pieces or milliseconds, whichever is reached first: each write wakes the primary. */
const COLLECT_PIECES = 100
const COLLECT_MS = 100

/** @param collects whether what is printed may wait a moment for more, until the end of the process at most */
export function leadToPrimary(stream: NodeJS.WriteStream, collects: boolean): void {
  writeAtOnce(stream)
  // If the primary is gone, nobody reads any more: that is not the application's error.
  stream.on('error', () => {})
  if (collects) collect(stream)
}

function collect(stream: NodeJS.WriteStream): void {
  let collected: string[] = []
  const write = stream.write.bind(stream)
  const flush = (): void => {
    const text = collected.join('')
    collected = []
    if (text !== '') write(text)
  }
  const release = redirect(stream, text => {
    if (collected.push(text) === 1) setTimeout(flush, COLLECT_MS).unref()
    if (collected.length >= COLLECT_PIECES) flush()
  })
  process.once('exit', () => {
    flush()
    release()
  })
}
