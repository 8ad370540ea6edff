/** `start`, `stand` and `serve`: reads the settings; what follows from them is in serving/begin.ts. */

import type { Resolved } from '../../config/resolve.ts'
import { starter } from '../../process/daemon/starter.ts'
import type { Invocation } from '../commands.ts'
import { readerFor, soleOperand } from '../settings.ts'

/** Resolves to the exit code, or ends the process itself. `exported`: the application, if a program handed it over. */
export async function start(invocation: Invocation, exported?: unknown): Promise<number> {
  const readAgain = readerFor(invocation, soleOperand(invocation, 'application'))
  const resolved = await readAgain()
  if (exported === undefined && runsThreads(invocation, resolved)) {
    const { bootAhead } = await import('../../process/bare-thread.ts')
    bootAhead(resolved.config.maxMemory)
  }
  return (await import('../serving/begin.ts')).begin(invocation, readAgain, resolved, exported)
}

/** Most likely: a thread too many costs a start that fails anyway, or hands its work to a daemon, a few milliseconds. */
function runsThreads({ command }: Invocation, { config }: Resolved): boolean {
  const { method, daemonize, user, group } = config
  const detaches = command === 'start' && daemonize && !starter.waits
  // With an account to change to, nothing is started before the change.
  return method === 'threaded' && !detaches && user === undefined && group === undefined
}
