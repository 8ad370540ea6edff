/** The commands, in the order of help. What each one does is in the file of its name; main.ts loads it. */

import type { Arguments } from './argv.ts'

export type CommandName =
  | 'start'
  | 'stand'
  | 'serve'
  | 'stop'
  | 'restart'
  | 'reload'
  | 'reopen'
  | 'upgrade'
  | 'status'
  | 'check'
  | 'probe'
  | 'config'
  | 'help'
  | 'version'

/** A command as it was called. */
export interface Invocation {
  readonly command: CommandName
  /** Operands without the command's name. */
  readonly operands: readonly string[]
  readonly words: Arguments['words']
}

export interface Command {
  readonly name: CommandName
  readonly operands: string
  readonly help: string
  readonly details?: string
  /** Has to do with an application, so that there may be arguments for it, behind `--`. */
  readonly takesArguments?: true
}

export const commands: readonly Command[] = [
  {
    name: 'start',
    operands: '[application]',
    help: 'serve; the default. Detaches if daemonize is true',
    takesArguments: true,
  },
  {
    name: 'stand',
    operands: '[application]',
    help: 'serve without detaching, with a log for people if this is a terminal',
    takesArguments: true,
  },
  {
    name: 'serve',
    operands: '[application]',
    help: 'stand, and an HTTP server in front of it: no web server needed',
    takesArguments: true,
  },
  {
    name: 'stop',
    operands: '[now]',
    help: 'stop the server that pidfile or control names, and wait until it has ended',
    details:
      'Running requests get graceful-timeout to finish; now: they are cut off, and a server that does not answer is ' +
      'killed. Ends with 1 if there is no server. The server is asked through its control socket; without one, the ' +
      'process of the pidfile is sent SIGTERM.',
  },
  {
    name: 'restart',
    operands: '[application]',
    help: 'stop, if it runs, and start with the settings of now',
    takesArguments: true,
    details: 'For a moment nobody serves: reload and upgrade have no such moment.',
  },
  {
    name: 'reload',
    operands: '',
    help: 'replace the children by new ones, and wait until they serve',
    details: 'Ends with 1, and the reason, if the new ones cannot be started: then the old ones go on.',
  },
  { name: 'reopen', operands: '', help: 'open the log files again, after logrotate has moved them' },
  {
    name: 'upgrade',
    operands: '',
    help: 'replace the server itself by the program that is now on disk, on the same sockets',
    details: 'Ends with 1, and the reason, if the new one does not get to serve: then the old one goes on.',
  },
  {
    name: 'status',
    operands: '',
    help: 'tell what the server is doing; with --watch again and again, with --json for programs',
    details:
      'Ends with 1 if there is no server. In JSON times are milliseconds and sizes bytes; with --watch it is one line each ' +
      'second.',
  },
  {
    name: 'check',
    operands: '[application]',
    help: 'load settings and application, try the addresses, say what would run',
    takesArguments: true,
    details:
      'Ends with 3 if the application does not load, with 1 if anything else would fail. The addresses are bound for a ' +
      'moment, so that a server that runs there is reported.',
  },
  {
    name: 'probe',
    operands: '[request]',
    help: 'send one request to a FastCGI server and print the reply',
    details:
      "A request is [METHOD] [/path?query] ['Name: value' ...] [@file | -], in any order: the body comes from a file or " +
      'from standard input. CGI variables are written in capitals, SCRIPT_FILENAME=/srv/index.php. Head and body of the ' +
      'reply go to standard output, the rest to standard error. Exit code 0 if the status is below 400.',
  },
  {
    name: 'config',
    operands: 'server [form]',
    help: 'print a configuration for a web server, systemd or logrotate that fits these settings',
    takesArguments: true,
    details:
      'For nginx (keepalive, simple), apache (proxy-fcgi, fcgid, fastcgi, htaccess), lighttpd (socket, spawn), caddy, ' +
      'haproxy (site, multiplexed), h2o, systemd and logrotate; the first form is printed unless another is named. Several addresses in listen= make a configuration that shares ' +
      'the requests out among them. With --check the program itself is asked whether it accepts what was printed, and ' +
      'the exit code is 1 if it does not.',
  },
  { name: 'help', operands: '[setting|command]', help: 'list commands and settings, or explain one' },
  { name: 'version', operands: '', help: 'print the version' },
]

export const findCommand = (name: string): Command | undefined => commands.find(command => command.name === name)
