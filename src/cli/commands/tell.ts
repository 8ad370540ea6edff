/** `reload`, `reopen` and `upgrade`: the daemon does something and goes on; the exit code tells whether it did. */

import type { Invocation } from '../commands.ts'
import { EXIT_OK } from '../errors.ts'
import { settingsFor } from '../settings.ts'
import { Progress } from './progress.ts'
import { ask, findHearing, signal, targetOf } from './target.ts'

/** What a daemon without its control socket is sent, and what is said when it has done it. */
const TOLD = {
  reload: { name: 'SIGHUP', done: 'reloaded' },
  reopen: { name: 'SIGUSR1', done: 'has opened its log files again' },
  upgrade: { name: 'SIGUSR2', done: 'has a successor' },
} as const

/** Resolves to the exit code. @throws CommandError with the reason if it failed */
export async function tell(invocation: Invocation, command: keyof typeof TOLD): Promise<number> {
  const { name, done } = TOLD[command]
  const target = targetOf(await settingsFor(invocation))
  const found = await findHearing(target)
  if (found.hears === 'signals') {
    signal(found, name)
    process.stderr.write(`runfcgi: sent ${name} to process ${found.pid}; its log says what came of it\n`)
    return EXIT_OK
  }
  const progress = new Progress()
  try {
    await ask(target, found, { command }, progress.show)
    progress.say(`process ${found.pid} ${done}`)
    return EXIT_OK
  } finally {
    progress.end()
  }
}
