/**
 * Standard output and error that are pipes. Node writes to a pipe without waiting for it, and `process.exit` drops what the
 * pipe has not taken by then: of a long last message, all but 64 KiB. In a thread they lead to the main thread, likewise.
 */

import { setImmediate as turn } from 'node:timers/promises'

/** Has each write wait for the pipe: for one that is read whatever happens. */
export function writeAtOnce(stream: NodeJS.WriteStream): void {
  const { _handle } = stream as { _handle?: { setBlocking?(blocking: boolean): void } | null }
  _handle?.setBlocking?.(true)
}

/** How long a slow reader of what was printed last may hold up the end, in milliseconds. */
const LAST_LINES_MS = 5_000

/** Resolves when all that was printed is written, or after `ms` milliseconds: for before `process.exit`. */
export async function untilWritten(ms = LAST_LINES_MS): Promise<void> {
  if (unwritten().length === 0) return
  let isLate = false
  let timer: NodeJS.Timeout | undefined
  const patience = new Promise<void>(resolve => {
    timer = setTimeout(() => {
      isLate = true
      resolve()
    }, ms)
  })
  while (!isLate && unwritten().length > 0) {
    await Promise.race([Promise.all(unwritten().map(written)), patience])
    // What a thread has printed waits for its turn.
    await turn()
  }
  clearTimeout(timer)
}

const unwritten = (): NodeJS.WriteStream[] =>
  [process.stdout, process.stderr].filter(({ writable, writableLength }) => writable && writableLength > 0)

/** That a reader has gone is told by the 'error' event of the stream. */
const written = (stream: NodeJS.WriteStream): Promise<unknown> => new Promise(resolve => stream.write('', resolve))
