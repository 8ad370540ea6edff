/** What goes wrong in a command and is nobody's mistake on the command line: the exit code is 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}

export const EXIT_OK = 0
export const EXIT_FAILED = 1
export const EXIT_USAGE = 2
export const EXIT_LOAD = 3

/** By the name of the error, so that none of the modules that throw them has to be loaded to find out. */
const EXIT_CODES: ReadonlyMap<string, number> = new Map([
  ['UsageError', EXIT_USAGE],
  ['LoadError', EXIT_LOAD],
  ['ListenError', EXIT_FAILED],
  ['GatewayError', EXIT_FAILED],
  ['CommandError', EXIT_FAILED],
  ['DaemonError', EXIT_FAILED],
])

/** One line for an error that a person can do something about; the stack for one that is a bug of ours. */
export function report(error: unknown): { readonly code: number; readonly text: string } {
  if (!(error instanceof Error)) return { code: EXIT_FAILED, text: `runfcgi: ${String(error)}\n` }
  const code = EXIT_CODES.get(error.name)
  if (code !== undefined) return { code, text: `runfcgi: ${error.message}\n` }
  return { code: EXIT_FAILED, text: `runfcgi: unexpected error, please report it: ${error.stack ?? error.message}\n` }
}
