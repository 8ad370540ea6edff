/** The command line: words to a command, errors to one line and an exit code. */

import { UsageError } from '../config/errors.ts'
import { joinWords } from '../config/words.ts'
import { isLauncher, starter } from '../process/daemon/starter.ts'
import { parseArguments } from './argv.ts'
import { type CommandName, findCommand, type Invocation } from './commands.ts'
import { report } from './errors.ts'

/** Each command is loaded when it is called. */
const RUN: Readonly<Record<CommandName, (invocation: Invocation) => Promise<number>>> = {
  start: async invocation => (await import('./commands/start.ts')).start(invocation),
  stand: async invocation => (await import('./commands/start.ts')).start(invocation),
  serve: async invocation => (await import('./commands/start.ts')).start(invocation),
  stop: async invocation => (await import('./commands/stop.ts')).stop(invocation),
  restart: async invocation => (await import('./commands/stop.ts')).restart(invocation),
  reload: async invocation => (await import('./commands/tell.ts')).tell(invocation, 'reload'),
  reopen: async invocation => (await import('./commands/tell.ts')).tell(invocation, 'reopen'),
  upgrade: async invocation => (await import('./commands/tell.ts')).tell(invocation, 'upgrade'),
  status: async invocation => (await import('./commands/status.ts')).status(invocation),
  check: async invocation => (await import('./commands/check.ts')).check(invocation),
  probe: async invocation => (await import('./commands/probe.ts')).probe(invocation),
  config: async invocation => (await import('./commands/config.ts')).config(invocation),
  help: async invocation => (await import('./commands/help.ts')).help(invocation),
  version: async () => (await import('./commands/help.ts')).version(),
}

/** How long what is left may take after a failure, in milliseconds. */
const LINGER_MS = 500

/**
 * Runs the command that `argv` (without the program's name) spells. Resolves to the exit code: 0 done, 1 operational
 * failure, 2 usage, 3 the application failed to load. A command that serves ends the process itself.
 */
export async function main(argv: readonly string[]): Promise<number> {
  if (isLauncher()) (await import('../process/daemon/detach.ts')).letGo()
  try {
    const invocation = await readInvocation(argv)
    return await RUN[invocation.command](invocation)
  } catch (error) {
    const failure = report(error)
    starter.tellFailure(failure)
    // A configuration module, or half an application, may have left something behind that keeps the process.
    setTimeout(() => process.exit(failure.code), LINGER_MS).unref()
    return failure.code
  }
}

async function readInvocation(argv: readonly string[]): Promise<Invocation> {
  const { operands, words, help, version, rest } = await parseArguments(argv)
  const named = findCommand(operands[0] ?? '')
  if (version) return { command: 'version', operands: [], words: [] }
  if (help) return { command: 'help', operands: named === undefined ? [] : [named.name], words: [] }
  const invocation =
    named === undefined
      ? { command: 'start' as const, operands, words }
      : { command: named.name, operands: operands.slice(1), words }
  if (rest === undefined) return invocation
  if (named !== undefined && named.takesArguments !== true) {
    throw new UsageError(`'${named.name}' starts no application: leave out '--' and what stands behind it`)
  }
  return { ...invocation, words: [...words, ['args', joinWords(rest)]] }
}
