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
    help: 'serve the application; the default command. Detaches if daemonize is true',
    takesArguments: true,
    details:
      'The application is a file (./app.js), one of its exports (./app.js:name) or a package; unless it is named, the ' +
      'setting app, or the first of application, app, server, index and main of package.json. It is served on socket, ' +
      'port or listen. What stands behind -- is for the application. Returns when it serves; ends with 3 if the ' +
      'application does not load, with 1 if anything else fails.',
  },
  {
    name: 'stand',
    operands: '[application]',
    help: 'serve in the foreground, with a readable log if this is a terminal',
    takesArguments: true,
    details: 'Otherwise like start.',
  },
  {
    name: 'serve',
    operands: '[application]',
    help: 'stand with an HTTP server in front: no web server needed',
    takesArguments: true,
    details:
      'For development. The HTTP server listens on http, 127.0.0.1:8080 unless it is set, and speaks HTTPS if tls-cert ' +
      'and tls-key are.',
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
    help: 'stop the server, if it runs, and start it with the current settings',
    takesArguments: true,
    details:
      'For a moment nobody serves: reload and upgrade have no such moment. Nothing is stopped if a start would be refused.',
  },
  {
    name: 'reload',
    operands: '',
    help: 'replace the children by new ones, and wait until they serve',
    details:
      'Runs new code of the application, and new values of the settings that a reload changes. No request is lost. Ends ' +
      'with 1, and the reason, if the new children cannot be started: then the old ones go on.',
  },
  { name: 'reopen', operands: '', help: 'open the log files again, after logrotate has moved them' },
  {
    name: 'upgrade',
    operands: '',
    help: 'replace the server itself by the program that is now on disk, on the same sockets',
    details:
      'Runs a new runfcgi or Node.js, and reads all settings again. No request is lost. Ends with 1, and the reason, if ' +
      'the new server does not get to serve: then the old one goes on.',
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
      "A request is [METHOD] [/path?query] ['Name: value' ...] [@file | -], in any order: the body comes from a file or, " +
      'for -, from standard input. CGI variables are written in capitals, SCRIPT_FILENAME=/srv/index.php for example. Head ' +
      'and body of the reply go to standard output, the rest to standard error. Ends with 1 if the status is 400 or above.',
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
