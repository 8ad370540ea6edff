/** `start`, `stand` and `serve`: reads the settings; what follows from them is in serving/begin.ts. */

import type { Resolved } from '../../config/resolve.ts'
import { starter } from '../../process/daemon/starter.ts'
import { bootAhead, dropAhead } from '../../process/threads/bare-thread.ts'
import type { Invocation } from '../commands.ts'
import { readerFor, soleOperand } from '../settings.ts'

/** Resolves to the exit code, or ends the process itself. `exported`: the application, if a program handed it over. */
export async function start(invocation: Invocation, exported?: unknown): Promise<number> {
  const readAgain = readerFor(invocation, soleOperand(invocation, 'application'))
  const resolved = await readAgain()
  if (exported === undefined) prepareThread(invocation, resolved)
  return (await import('../serving/begin.ts')).begin(invocation, readAgain, resolved, exported)
}

/**
 * The first thread boots while all the rest is loaded. None that would only hand its work to a daemon; and with an account
 * to change to, nothing is started before the change.
 */
function prepareThread({ command }: Invocation, { config }: Resolved): void {
  if (config.method !== 'threaded') return
  const detaches = command === 'start' && config.daemonize && !starter.waits
  if (detaches || config.user !== undefined || config.group !== undefined) dropAhead()
  else bootAhead(config.maxMemory)
}
