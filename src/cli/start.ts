/** `start`, `stand` and `serve`: what there is to run, and how this process was started, decide what is done. */

import { UsageError } from '../config/errors.ts'
import type { Resolved } from '../config/resolve.ts'
import { isListeningSocket } from '../server/listen.ts'
import { addressesOf } from './addresses.ts'
import type { Invocation } from './commands.ts'
import { CommandError } from './errors.ts'
import { run } from './run.ts'
import { settingsFor, soleOperand } from './settings.ts'

/**
 * Resolves to the exit code, or ends the process itself.
 *
 * With no address: a listening socket on descriptor 0 is served (a web server started us, FastCGI 1.0 §2.2); else one CGI
 * request is answered if the environment holds one.
 */
export async function start(invocation: Invocation, exported?: unknown): Promise<number> {
  const { command } = invocation
  const cwd = process.cwd()
  const resolved = await settingsFor(invocation, soleOperand(invocation, 'application'))
  const addresses = addressesOf(resolved)
  if (addresses.length > 0) {
    refuseToDetach(command, resolved)
    return run({ command, resolved, addresses, inherited: false, cwd, exported })
  }
  if (command === 'serve') return run({ command, resolved, addresses: [], inherited: false, cwd, exported })
  if (isListeningSocket(0)) {
    return run({ command, resolved, addresses: [{ kind: 'fd', fd: 0 }], inherited: true, cwd, exported })
  }
  const { answerCgi, isCgiRequest } = await import('./cgi.ts')
  if (isCgiRequest(process.env)) return answerCgi(resolved, cwd, exported)
  throw new UsageError("nowhere to listen: say socket=PATH or port=NUMBER ('runfcgi help' lists all settings)")
}

function refuseToDetach(command: string, { config, given, refuse }: Resolved): void {
  if (!config.daemonize) return
  if (command === 'start') {
    throw new CommandError("this version cannot detach: use 'runfcgi stand', or say daemonize=false")
  }
  const fromHere = given.get('daemonize')?.origin.kind === 'command line'
  if (fromHere) refuse('daemonize', `'${command}' never detaches: leave it out, or use 'start'`)
}
