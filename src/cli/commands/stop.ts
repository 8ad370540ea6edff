/** `stop` and `restart`: they wait until the process of the daemon is gone. */

import { locateApplication } from '../../app/load/locate.ts'
import { UsageError } from '../../config/errors.ts'
import type { Resolved } from '../../config/resolve.ts'
import { DaemonError } from '../../process/daemon/daemon-error.ts'
import { starter } from '../../process/daemon/starter.ts'
import { addressesOf } from '../addresses.ts'
import type { Invocation } from '../commands.ts'
import { CommandError, EXIT_OK } from '../errors.ts'
import { loadRequestFor } from '../load.ts'
import { clearAfter } from '../serving/taken-place.ts'
import { settingsFor, soleOperand } from '../settings.ts'
import { Progress } from './progress.ts'
import { ask, deaf, type Found, find, findRunning, signal, type Target, targetOf, untilGone } from './target.ts'

/** `stop [now]`. Resolves to the exit code. @throws CommandError if it does not run or does not end */
export async function stop(invocation: Invocation): Promise<number> {
  const how = soleOperand(invocation, 'word')
  if (how !== undefined && how !== 'now') throw new UsageError(`'stop' takes the word 'now' or nothing, not '${how}'`)
  const target = targetOf(await settingsFor(invocation))
  if (how === 'now') await end(target, await findRunning(target, IMPATIENT_MS), endNow)
  else await end(target, await findRunning(target), endInOrder)
  return EXIT_OK
}

/** A daemon that does not run is only started. Resolves to the exit code of `start`. */
export async function restart(invocation: Invocation): Promise<number> {
  // What it starts, detached or as the successor of an upgrade, has these same arguments.
  if (!starter.waits) {
    const target = targetOf(await settingsToStart(invocation))
    const found = await find(target)
    if (found !== undefined) await end(target, found, endInOrder)
  }
  const { start } = await import('./start.ts')
  return start({ ...invocation, command: 'start' })
}

/** What a start would refuse is refused while the old one still serves. @throws UsageError, LoadError */
async function settingsToStart(invocation: Invocation): Promise<Resolved> {
  const resolved = await settingsFor({ ...invocation, command: 'start' }, soleOperand(invocation, 'application'))
  if (addressesOf(resolved).length === 0) throw new UsageError('nowhere to listen: say socket=PATH or port=NUMBER')
  const { app, cwd } = loadRequestFor(resolved, process.cwd())
  locateApplication(app, cwd)
  return resolved
}

/** How long a process that is to end now may take to answer, in milliseconds. */
const IMPATIENT_MS = 2_000

/** The end of the control connection is that of the process, but for the moment that the kernel takes to clear it away. */
const MOMENT_MS = 2_000

/** What a daemon takes to end when its requests have ended or were cut off: its application may close (5 s), or not. */
const CLOSING_MS = 15_000

type End = (target: Target, found: Found, progress: Progress) => Promise<void>

async function end(target: Target, found: Found, how: End): Promise<void> {
  const progress = new Progress()
  try {
    await how(target, found, progress)
    progress.say(`process ${found.pid} has ended`)
  } finally {
    progress.end()
  }
}

const BY_FORCE = "; 'stop now' ends it by force"

async function endInOrder(target: Target, found: Found, progress: Progress): Promise<void> {
  if (found.hears === 'nothing') throw deaf(found, BY_FORCE)
  if (found.hears === 'everything') {
    await askToEnd(target, found, false, progress)
    return
  }
  signal(found, 'SIGTERM')
  await signalled(found, target.graceMs + CLOSING_MS, progress)
}

/** Whatever it is doing. One that has to be killed cannot clear up after itself. */
async function endNow(target: Target, found: Found, progress: Progress): Promise<void> {
  if (found.hears === 'everything') {
    await askToEnd(target, found, true, progress)
    return
  }
  const byForce = found.hears === 'nothing'
  signal(found, byForce ? 'SIGKILL' : 'SIGQUIT')
  await signalled(found, CLOSING_MS, progress)
  if (byForce) await clearAfter(found.pid, target.control, target.pidfile)
}

async function askToEnd(target: Target, found: Found, now: boolean, progress: Progress): Promise<void> {
  try {
    await ask(target, found, { command: 'stop', now }, progress.show)
  } catch (error) {
    if (!(error instanceof DaemonError)) throw error
    if (await untilGone(found.pid, MOMENT_MS)) return
    // In another PID namespace (a container's) the number is somebody else's; what counts is who answers.
    if ((await find(target))?.pid === found.pid) throw new CommandError(`process ${found.pid} still runs: try again`)
  }
}

async function signalled({ pid }: Found, ms: number, progress: Progress): Promise<void> {
  const gone = await untilGone(pid, ms, () => progress.show(`waiting for process ${pid} to end`))
  if (!gone) throw new CommandError(`process ${pid} still runs after ${Math.round(ms / 1000)} s${BY_FORCE}`)
}
