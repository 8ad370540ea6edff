/** The command line: words to a command, errors to one line and an exit code. */

import { parseArguments } from './cli/argv.ts'
import { type Command, findCommand, type Invocation, LATER } from './cli/commands.ts'
import { report } from './cli/errors.ts'
import { UsageError } from './config/errors.ts'

/**
 * Runs the command that `argv` (without the program's name) spells. Resolves to the exit code: 0 done, 1 operational
 * failure, 2 usage, 3 the application failed to load. A command that serves ends the process itself.
 */
export async function main(argv: readonly string[]): Promise<number> {
  try {
    const [command, invocation] = await readCommand(argv)
    return await command.run(invocation)
  } catch (error) {
    const { code, text } = report(error)
    process.stderr.write(text)
    return code
  }
}

async function readCommand(argv: readonly string[]): Promise<[Command, Invocation]> {
  const { operands, words, help, version } = await parseArguments(argv)
  const [first = '', ...rest] = operands
  if (LATER.has(first)) throw new UsageError(`the command '${first}' is not in this version`)
  const named = findCommand(first)
  if (version) return [known('version'), { command: 'version', operands: [], words: [] }]
  if (help) return [known('help'), { command: 'help', operands: named === undefined ? [] : [first], words: [] }]
  if (named !== undefined) return [named, { command: first, operands: rest, words }]
  return [known('start'), { command: 'start', operands, words }]
}

const known = (name: string): Command => findCommand(name) as Command
