/** `stop` and `restart`: they wait until the process of the daemon is gone. */

import { UsageError } from '../config/errors.ts'
import { DaemonError } from '../process/daemon-error.ts'
import { starter } from '../process/starter.ts'
import type { Invocation } from './commands.ts'
import { CommandError, EXIT_OK } from './errors.ts'
import { Progress } from './progress.ts'
import { settingsFor, soleOperand } from './settings.ts'
import { ask, type Found, find, findRunning, signal, type Target, targetOf, untilGone } from './target.ts'

/** `stop [now]`. Resolves to the exit code. @throws CommandError if it does not run or does not end */
export async function stop(invocation: Invocation): Promise<number> {
  const how = soleOperand(invocation, 'word')
  if (how !== undefined && how !== 'now') throw new UsageError(`'stop' takes the word 'now' or nothing, not '${how}'`)
  const target = targetOf(await settingsFor(invocation))
  await end(target, await findRunning(target), how === 'now')
  return EXIT_OK
}

/** A daemon that does not run is only started. Resolves to the exit code of `start`. */
export async function restart(invocation: Invocation): Promise<number> {
  // What it starts, detached or as the successor of an upgrade, has these same arguments.
  if (!starter.waits) {
    const target = targetOf(await settingsFor(invocation))
    const found = await find(target)
    if (found !== undefined) await end(target, found, false)
  }
  const { start } = await import('./start.ts')
  return start({ ...invocation, command: 'start' })
}

async function end(target: Target, found: Found, now: boolean): Promise<void> {
  const progress = new Progress()
  try {
    await tell(target, found, now, progress)
    await untilGone(found.pid, () => progress.show(`waiting for process ${found.pid} to end`))
    progress.say(`process ${found.pid} has ended`)
  } finally {
    progress.end()
  }
}

async function tell(target: Target, found: Found, now: boolean, progress: Progress): Promise<void> {
  if (!found.answers) {
    signal(found, now ? 'SIGQUIT' : 'SIGTERM')
    return
  }
  try {
    await ask(target, found, { command: 'stop', now }, progress.show)
  } catch (error) {
    if (error instanceof DaemonError) return // It has ended.
    if (!now) throw new CommandError(`${(error as Error).message}; 'stop now' ends it by force`)
    signal(found, 'SIGKILL')
  }
}
