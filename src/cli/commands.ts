/** The commands, in the order of help. Each is loaded when it is called. */

import type { Arguments } from './argv.ts'

/** What a command is given of the world around it. */
export interface Invocation {
  readonly command: string
  /** Operands without the command's name. */
  readonly operands: readonly string[]
  readonly words: Arguments['words']
}

export interface Command {
  readonly name: string
  readonly operands: string
  readonly help: string
  readonly details?: string
  /** Resolves to the exit code. */
  run(invocation: Invocation): Promise<number>
}

export const commands: readonly Command[] = [
  {
    name: 'start',
    operands: '[application]',
    help: 'serve; the default. Detaches if daemonize is true',
    run: async invocation => (await import('./start.ts')).start(invocation),
  },
  {
    name: 'stand',
    operands: '[application]',
    help: 'serve without detaching, with a log for people if this is a terminal',
    run: async invocation => (await import('./start.ts')).start(invocation),
  },
  {
    name: 'serve',
    operands: '[application]',
    help: 'stand, and an HTTP server in front of it: no web server needed',
    run: async invocation => (await import('./start.ts')).start(invocation),
  },
  {
    name: 'check',
    operands: '[application]',
    help: 'load settings and application, try the addresses, say what would run',
    run: async invocation => (await import('./check.ts')).check(invocation),
  },
  {
    name: 'probe',
    operands: '[request]',
    help: 'send one request to a FastCGI server and print the reply',
    details:
      "A request is [METHOD] [/path?query] ['Name: value' ...] [@file | -], in any order: the body comes from a file or " +
      'from standard input. CGI variables are written in capitals, SCRIPT_FILENAME=/srv/index.php. Head and body of the ' +
      'reply go to standard output, the rest to standard error. Exit code 0 if the status is below 400.',
    run: async invocation => (await import('./probe.ts')).probe(invocation),
  },
  {
    name: 'help',
    operands: '[setting|command]',
    help: 'list commands and settings, or explain one',
    run: async invocation => (await import('./help.ts')).help(invocation),
  },
  {
    name: 'version',
    operands: '',
    help: 'print the version',
    run: async () => (await import('./help.ts')).version(),
  },
]

export const findCommand = (name: string): Command | undefined => commands.find(command => command.name === name)

/** Names that are taken for what later versions do: nobody's application. */
export const LATER: ReadonlySet<string> = new Set([
  'stop',
  'restart',
  'reload',
  'reopen',
  'status',
  'upgrade',
  'config',
])
