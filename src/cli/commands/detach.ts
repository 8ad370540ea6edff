/** `start` of a daemon, as the command that was typed sees it: it waits for the outcome, and says it. */

import { devNull } from 'node:os'
import type { Resolved } from '../../config/resolve.ts'
import { detach } from '../../process/daemon/detach.ts'
import { CommandError, EXIT_OK } from '../errors.ts'
import { checkLogFiles } from '../serving/logs.ts'

/**
 * Resolves to the exit code: 0 when the daemon serves, else its own, with its message. What the application and Node
 * itself print goes to `outlog` and `errlog`; to `errlog` alone if there is only that one.
 * @throws CommandError, DaemonError
 */
export async function startDaemon(resolved: Resolved): Promise<number> {
  const { umask, outlog, errlog } = resolved.config
  // Before a process is started and a log file is opened: the commonest failure changes nothing.
  if (resolved.config.pidfile !== undefined) (await import('../serving/taken-place.ts')).refuseIfRunning(resolved)
  checkLogFiles(resolved)
  if (umask !== undefined) process.umask(umask)
  const outcome = await detach({ out: outlog ?? errlog ?? devNull, err: errlog ?? devNull }).catch(cannotStart)
  if (outcome.ready) {
    if (process.stderr.isTTY) process.stderr.write(`${outcome.text}\n`)
    return EXIT_OK
  }
  if (outcome.failure === null) throw new CommandError(`the daemon ended before it served: ${whereToLook(errlog)}`)
  process.stderr.write(outcome.failure.text)
  return outcome.failure.code
}

function cannotStart(error: Error): never {
  throw new CommandError(`cannot start the daemon: ${error.message}`)
}

const whereToLook = (errlog: string | undefined): string =>
  errlog === undefined ? "say errlog=FILE, or use 'runfcgi stand', to see why" : `see ${errlog}`
