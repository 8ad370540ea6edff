/** What there is to run, and how this process was started, decide what is done. */

import { UsageError } from '../../config/errors.ts'
import type { Resolved } from '../../config/resolve.ts'
import { starter } from '../../process/daemon/starter.ts'
import { isListeningSocket } from '../../server/sockets/descriptor.ts'
import { addressesOf } from '../addresses.ts'
import type { Invocation } from '../commands.ts'
import { takeActivation, withActivated } from './activation.ts'
import { handedDown } from './predecessor.ts'
import { type Plan, run } from './run.ts'

/**
 * What the service manager has bound is served as well (serving/activation.ts). With no address: a listening socket on
 * descriptor 0 is served (a web server started us, FastCGI 1.0 §2.2); else one CGI request is answered if the environment
 * holds one.
 */
export async function begin(
  { command }: Invocation,
  readAgain: () => Promise<Resolved>,
  resolved: Resolved,
  exported: unknown,
): Promise<number> {
  const cwd = process.cwd()
  const activation = takeActivation(process.env)
  const addresses = handedDown(withActivated(addressesOf(resolved), activation))
  const { notify } = activation
  const plan = {
    command,
    resolved,
    readAgain,
    addresses,
    inherited: false,
    detached: starter.detached,
    cwd,
    exported,
    notify,
  }
  if (addresses.length > 0) {
    if (mustDetach(plan)) return (await import('../commands/detach.ts')).startDaemon(resolved)
    return run(plan)
  }
  if (command === 'serve') return run(plan)
  if (isListeningSocket(0)) return run({ ...plan, addresses: [{ kind: 'fd', fd: 0 }], inherited: true })
  const { answerCgi, isCgiRequest } = await import('./cgi.ts')
  if (isCgiRequest(process.env)) return answerCgi(resolved, cwd, exported)
  const meant = (await import('../load.ts')).wordMeant(resolved.given.get('app')?.text ?? '')
  const hint = meant === undefined ? "'runfcgi help' lists all settings" : `or did you mean ${meant}?`
  throw new UsageError(`nowhere to listen: say socket=PATH or port=NUMBER (${hint})`)
}

/** Only `start` detaches, and what it has started does not do it again. @throws UsageError */
function mustDetach({ command, addresses, resolved: { config, given, refuse } }: Plan): boolean {
  if (!config.daemonize || starter.waits) return false
  const fromHere = given.get('daemonize')?.origin.kind === 'command line'
  if (command === 'start' && !addresses.some(({ kind }) => kind === 'fd')) return true
  if (fromHere && command === 'start')
    refuse('daemonize', 'a descriptor that was inherited is served in the foreground')
  if (fromHere) refuse('daemonize', `'${command}' never detaches: leave it out, or use 'start'`)
  return false
}
