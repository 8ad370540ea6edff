/** From the words of an invocation and the world around it to settled settings. */

import { UsageError } from '../config/errors.ts'
import { type Resolved, resolveConfig } from '../config/resolve.ts'
import { findSetting } from '../config/settings.ts'
import type { Invocation } from './commands.ts'

/** @throws UsageError */
export const settingsFor = (invocation: Invocation, app?: string): Promise<Resolved> => readerFor(invocation, app)()

/** Reads the settings, as often as it is called, from where they are to be found now. */
export function readerFor({ command, words }: Invocation, app?: string): () => Promise<Resolved> {
  const sources = {
    words: app === undefined ? words : [...words, ['app', app] as const],
    env: { ...process.env },
    cwd: process.cwd(),
    supervised: command !== 'start' || isSupervised(process.env),
  }
  return async () => {
    const resolved = await resolveConfig(sources)
    // The web server that `serve` brings along knows nothing of X-Sendfile: there the application sends its files itself.
    return command === 'serve' ? { ...resolved, config: { ...resolved.config, sendfile: [] } } : resolved
  }
}

/** Somebody watches this very process, and would take it for dead if it went into the background. */
const isSupervised = ({ NOTIFY_SOCKET, SYSTEMD_EXEC_PID }: NodeJS.ProcessEnv): boolean =>
  NOTIFY_SOCKET !== undefined || SYSTEMD_EXEC_PID === String(process.pid) || process.pid === 1

/** The one operand that a command takes, if it was given. @throws UsageError when there are more */
export function soleOperand({ command, operands }: Invocation, what: string): string | undefined {
  if (operands.length > 1) {
    const hint = meantSetting(operands) ?? (what === 'application' ? ARGUMENTS : '')
    throw new UsageError(`'${command}' takes one ${what}, not ${operands.length}: ${operands.join(' ')}${hint}`)
  }
  return operands[0]
}

const ARGUMENTS = '; arguments of the application stand behind --'

/** `socket /tmp/site.sock`: a setting without its `=`. */
function meantSetting(operands: readonly string[]): string | undefined {
  const at = operands.findIndex((word, index) => index + 1 < operands.length && findSetting(word) !== undefined)
  return at < 0 ? undefined : `; did you mean ${operands[at]}=${operands[at + 1]}?`
}
