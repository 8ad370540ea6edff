/**
 * What is different for a process that a web server has started, with the listening socket on descriptor 0 (FastCGI 1.0
 * §2.2): when it ends, and what it must keep the application from.
 *
 * lighttpd, mod_fcgid and mod_fastcgi send TERM when they end. When they are killed they cannot, and nothing happens to a
 * listening socket whose clients are gone: what tells is that the process has another parent then. spawn-fcgi ends by
 * itself as soon as it has started the program, and a parent like that is none to follow.
 */

import { Readable } from 'node:stream'
import type { Log } from '../../log.ts'
import { type ChangeTimes, onTouch } from '../../process/triggers.ts'
import type { Engine } from '../engines/engine.ts'
import type { Life } from './life.ts'

/** spawn-fcgi stays for a tenth of a second, to see whether what it has started ends at once. */
const SETTLE_MS = 2_000

const LOOK_MS = 1_000

/** Process 1, or whoever takes its place for orphans, does not end before us. */
const INIT = 1

/**
 * Stops when the process that has started this one is gone; and, if there are no children to replace, when a file of
 * `touch-reload` is touched: the web server starts another process then.
 */
export function followWebServer(times: ChangeTimes | undefined, { pool }: Engine, life: Life, log: Log): void {
  if (pool === undefined && times !== undefined) onTouch(times, file => life.stop(`${file} was touched`))
  const first = process.ppid
  setTimeout(() => {
    const parent = process.ppid
    if (parent !== first || parent === INIT) return
    log.debug({ parent }, 'will end with the process that has started this one')
    endAfter(parent, life)
  }, SETTLE_MS).unref()
}

function endAfter(parent: number, life: Life): void {
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    life.stop('the web server is gone')
  }, LOOK_MS).unref()
}

/** An application that reads its standard input would read the listening socket. */
export function hideListener(): void {
  const nothing = Readable.from([])
  Object.defineProperty(process, 'stdin', { configurable: true, enumerable: true, get: () => nothing })
}
