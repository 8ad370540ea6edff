/** Where the command begins. It loads next to nothing itself: what can be started before the rest is read, is. */

import { bootAhead } from './process/threads/bare-thread.ts'

/**
 * Runs the command that `argv` (without the program's name) spells. Resolves to the exit code: 0 done, 1 operational
 * failure, 2 usage, 3 the application failed to load. A command that serves ends the process itself.
 */
export async function main(argv: readonly string[]): Promise<number> {
  if (asksForThread(argv)) bootAhead()
  return (await import('./cli/main.ts')).main(argv)
}

/** Nothing is stronger than the command line, so that this holds whatever the other sources of settings say. */
function asksForThread([command, ...words]: readonly string[]): boolean {
  const method = words.findLast(word => /^(--)?method=/.test(word))
  return (command === 'stand' || command === 'serve') && /=thread(ed)?$/.test(method ?? '')
}
