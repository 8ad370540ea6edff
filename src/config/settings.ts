/**
 * The settings, declared once. The `Config` type, flags, `key=value` words, environment variables, the keys of the
 * configuration file, help, the README's table and what a reload changes all come from this table.
 *
 * Knows names, kinds and defaults. Not where values come from (layers.ts) nor which of them contradict each other
 * (rules.ts).
 */

import { address, bool, bytes, duration, int, type Kind, list, mode, oneOf, path, reference, text } from './kinds.ts'

/** What a default may depend on. */
export interface Facts {
  /** Processors that this process may use. */
  readonly cores: number
  readonly maxchildren: number
  readonly maxspare: number
  /** A socket, port or listen address is set. */
  readonly bound: boolean
  /** Somebody else keeps the process alive: systemd (NOTIFY_SOCKET), a container whose PID 1 it is, or `stand`. */
  readonly supervised: boolean
}

export type Section = 'Application' | 'Address' | 'Children' | 'Limits' | 'Daemon' | 'Log' | 'Front end'

export interface Setting<T, D extends T | undefined> {
  readonly kind: Kind<T>
  readonly default: D | ((facts: Facts) => D)
  /** Says in words what `default` computes, or what happens when there is none. */
  readonly defaultText?: string
  readonly section: Section
  /** One line; says the unit, and what 0 means if it means something special. */
  readonly help: string
  /** Other names. Spelling does not need one: `max-spool`, `max_spool` and `maxSpool` are the same name. */
  readonly aliases?: readonly string[]
  /** A reload puts a new value into force; the others need a restart. */
  readonly reloadable?: boolean
  /** May not stand in a configuration file. */
  readonly notInFile?: boolean
}

const setting = <T, const D extends T | undefined>(spec: Setting<T, D>): Setting<T, D> => spec

/** `'/app/'` and `'/app'` are `'/app'`; `'/'` and `''` are the root, `''`. */
const mountPoint: Kind<string> = {
  placeholder: 'URLPATH',
  expects: 'a URL path such as /app, or / for the root',
  parse: value => (/^(\/[^?#\s]*)?$/.test(value) ? value.replace(/\/+$/, '') : undefined),
  format: value => (value === '' ? '/' : value),
}

const user = text('NAME', 'a name or a number')

export const settings = {
  app: setting({
    kind: reference,
    default: undefined,
    defaultText: 'looked for: application, app, server, index, package.json main',
    section: 'Application',
    help: 'the application: a file, one of its exports, or a package',
    aliases: ['application'],
    reloadable: true,
  }),
  interface: setting({
    kind: oneOf(['auto', 'wsgi', 'node', 'fetch']),
    default: 'auto',
    section: 'Application',
    help: 'how the application is called: application(environ, startResponse), listener(req, res) or fetch(request)',
    reloadable: true,
  }),
  mount: setting({
    kind: mountPoint,
    default: undefined,
    defaultText: 'found from each request',
    section: 'Application',
    help: 'the URL path below which the application lives',
    reloadable: true,
  }),
  config: setting({
    kind: path(),
    default: undefined,
    defaultText: 'runfcgi.config.json, .js, .mjs or .cjs',
    section: 'Application',
    help: 'the configuration file',
    notInFile: true,
  }),
  debug: setting({
    kind: bool,
    default: false,
    section: 'Application',
    help: 'show the stack of an application error in the browser',
    reloadable: true,
  }),

  socket: setting({
    kind: path(),
    default: undefined,
    defaultText: 'none',
    section: 'Address',
    help: 'the Unix socket to listen on',
  }),
  host: setting({
    kind: text('HOST', 'a host name or an IP address', /^[^\s/]+$/),
    default: undefined,
    defaultText: '127.0.0.1 if there is a port',
    section: 'Address',
    help: 'the host name or IP address to listen on, together with port',
  }),
  port: setting({
    kind: int(0, 65_535),
    default: undefined,
    defaultText: 'none',
    section: 'Address',
    help: 'the TCP port to listen on; 0 lets the system choose',
  }),
  listen: setting({
    kind: list(address),
    default: [],
    defaultText: 'none',
    section: 'Address',
    help: 'several addresses at once, instead of socket, host and port; may be repeated',
    aliases: ['bind'],
  }),
  'socket-mode': setting({
    kind: mode,
    default: 0o666,
    section: 'Address',
    help: 'permission bits of the Unix socket; 660 with socket-group lets only the web server in',
  }),
  'socket-owner': setting({
    kind: user,
    default: undefined,
    defaultText: 'the user that starts it',
    section: 'Address',
    help: 'user who owns the Unix socket',
  }),
  'socket-group': setting({
    kind: user,
    default: undefined,
    defaultText: 'the group that starts it',
    section: 'Address',
    help: 'group of the Unix socket, usually the one of the web server',
  }),
  backlog: setting({
    kind: int(1, 65_535),
    default: 511,
    section: 'Address',
    help: 'connections that may wait to be accepted; the system may allow fewer',
  }),
  'allowed-clients': setting({
    kind: list(text('IP', 'an IP address or a network such as 10.0.0.0/8', /^[^\s]+$/)),
    default: [],
    defaultText: 'everybody who can connect',
    section: 'Address',
    help: 'addresses and networks that may connect over TCP',
    reloadable: true,
  }),
  protocol: setting({
    kind: oneOf(['fcgi'], { fastcgi: 'fcgi' }),
    default: 'fcgi',
    section: 'Address',
    help: 'what is spoken on the socket: FastCGI',
  }),

  method: setting({
    kind: oneOf(['prefork', 'threaded'], { fork: 'prefork', thread: 'threaded' }),
    default: 'prefork',
    section: 'Children',
    help: 'run the application in processes (prefork) or in threads of one process (threaded)',
  }),
  maxchildren: setting({
    kind: int(1, 10_000),
    default: facts => facts.cores,
    defaultText: 'the number of processors',
    section: 'Children',
    help: 'children at most',
    reloadable: true,
  }),
  minspare: setting({
    kind: int(0, 10_000),
    default: facts => Math.min(2, facts.maxspare),
    defaultText: '2, or maxspare if less',
    section: 'Children',
    help: 'idle children to keep ready at least',
    reloadable: true,
  }),
  maxspare: setting({
    kind: int(1, 10_000),
    default: facts => facts.maxchildren,
    defaultText: 'maxchildren',
    section: 'Children',
    help: 'idle children to keep at most',
    reloadable: true,
  }),
  maxrequests: setting({
    kind: int(0),
    default: 0,
    section: 'Children',
    help: 'requests after which a child is replaced; 0: never',
    reloadable: true,
  }),
  'maxrequests-jitter': setting({
    kind: int(0),
    default: 0,
    section: 'Children',
    help: 'up to how many requests more, so that children are not all replaced at once',
    reloadable: true,
  }),
  'max-lifetime': setting({
    kind: duration(),
    default: 0,
    section: 'Children',
    help: 'age at which a child is replaced; 0: never',
    reloadable: true,
  }),
  'max-memory': setting({
    kind: bytes,
    default: 0,
    section: 'Children',
    help: 'memory at which a child is replaced: of a process all of it, of a thread its heap; 0: never',
    reloadable: true,
  }),
  concurrency: setting({
    kind: int(0),
    default: 0,
    section: 'Children',
    help: 'requests that one child runs at once; 0: no limit; 1: like PHP-FPM',
    reloadable: true,
  }),
  'idle-timeout': setting({
    kind: duration(),
    default: 10_000,
    section: 'Children',
    help: 'time after which a child above maxspare is ended',
    reloadable: true,
  }),
  'start-timeout': setting({
    kind: duration(1),
    default: 60_000,
    section: 'Children',
    help: 'time a child may take to load the application',
    reloadable: true,
  }),
  balance: setting({
    kind: oneOf(['shared', 'round-robin']),
    default: 'shared',
    section: 'Children',
    help: 'prefork: workers accept connections themselves, or are handed them in turn',
  }),
  'touch-reload': setting({
    kind: list(path()),
    default: [],
    defaultText: 'none',
    section: 'Children',
    help: 'files whose new modification time means reload',
  }),
  watch: setting({
    kind: bool,
    default: false,
    section: 'Children',
    help: 'reload when a source file below the current folder changes: for development',
  }),

  'request-timeout': setting({
    kind: duration(),
    default: 0,
    section: 'Limits',
    help: 'time a request may take before it is answered with 504; 0: no limit',
    reloadable: true,
  }),
  'hang-timeout': setting({
    kind: duration(),
    default: 60_000,
    section: 'Limits',
    help: 'time that the event loop of a child may stand still before the child is replaced; 0: no limit',
    reloadable: true,
  }),
  queue: setting({
    kind: int(0),
    default: 1_024,
    section: 'Limits',
    help: 'requests that may wait when every child is busy; above: 503',
    reloadable: true,
  }),
  'queue-timeout': setting({
    kind: duration(),
    default: 30_000,
    section: 'Limits',
    help: 'time that a request may wait for a child; then 503; 0: no limit',
    reloadable: true,
  }),
  'stdin-timeout': setting({
    kind: duration(),
    default: 60_000,
    section: 'Limits',
    help: 'time between two pieces of a request body that the application waits for; 0: no limit',
    reloadable: true,
  }),
  'params-timeout': setting({
    kind: duration(1),
    default: 10_000,
    section: 'Limits',
    help: 'age at which a request whose variables have not all arrived is given up',
    reloadable: true,
  }),
  'max-params-size': setting({
    kind: bytes,
    default: 256 * 1024,
    section: 'Limits',
    help: 'bytes of CGI variables (request headers among them) in one request; above: 431',
    reloadable: true,
  }),
  'max-inflight': setting({
    kind: int(1, 65_535),
    default: 128,
    section: 'Limits',
    help: 'requests at once on one connection; above: 503',
    reloadable: true,
  }),
  'max-connections': setting({
    kind: int(1),
    default: 16_384,
    section: 'Limits',
    help: 'open connections; above: closed at once',
    reloadable: true,
  }),
  'max-body-size': setting({
    kind: bytes,
    default: 0,
    section: 'Limits',
    help: 'bytes of one request body; above: 413; 0: no limit',
    reloadable: true,
  }),
  'body-buffer': setting({
    kind: bytes,
    default: 256 * 1024,
    section: 'Limits',
    help: 'bytes of a request body kept in memory before a temporary file is used',
    reloadable: true,
  }),
  'max-spool': setting({
    kind: bytes,
    default: 1024 ** 3,
    section: 'Limits',
    help: 'bytes of a request body in a temporary file; above: 413',
    reloadable: true,
  }),
  'graceful-timeout': setting({
    kind: duration(),
    default: 30_000,
    section: 'Limits',
    help: 'time that running requests get to finish when the server stops',
    reloadable: true,
  }),

  daemonize: setting({
    kind: bool,
    default: facts => facts.bound && !facts.supervised,
    defaultText: 'true if there is a socket or port, unless under systemd or PID 1',
    section: 'Daemon',
    help: 'detach from the terminal',
  }),
  pidfile: setting({
    kind: path(),
    default: undefined,
    defaultText: 'none',
    section: 'Daemon',
    help: 'file that holds the process id while the server runs',
  }),
  workdir: setting({
    kind: path(),
    default: undefined,
    defaultText: 'the current one',
    section: 'Daemon',
    help: 'folder to change to before the application is loaded; other paths do not depend on it',
  }),
  umask: setting({
    kind: mode,
    default: undefined,
    defaultText: 'the inherited one',
    section: 'Daemon',
    help: 'permission bits that new files (and the socket) do not get',
  }),

  outlog: setting({
    kind: path(),
    default: undefined,
    defaultText: 'standard output',
    section: 'Log',
    help: 'file for what the application prints on standard output',
  }),
  errlog: setting({
    kind: path(),
    default: undefined,
    defaultText: 'standard error',
    section: 'Log',
    help: 'file for the log, and for what the application prints on standard error',
  }),
  'access-log': setting({
    kind: path('-', 'off'),
    default: 'off',
    section: 'Log',
    help: 'file for one line per request; - is standard output',
  }),
  'log-level': setting({
    kind: oneOf(['debug', 'info', 'warn', 'error', 'silent']),
    default: 'info',
    section: 'Log',
    help: 'the least important messages to log',
    reloadable: true,
  }),
  json: setting({
    kind: bool,
    default: false,
    section: 'Log',
    help: 'print JSON: the log on a terminal, and what check and probe report',
  }),

  http: setting({
    kind: address,
    default: '127.0.0.1:8080',
    section: 'Front end',
    help: 'address of the HTTP server that the command serve puts in front',
  }),
  'tls-cert': setting({
    kind: path(),
    default: undefined,
    defaultText: 'none',
    section: 'Front end',
    help: 'certificate in PEM: serve speaks HTTPS; needs tls-key',
  }),
  'tls-key': setting({
    kind: path(),
    default: undefined,
    defaultText: 'none',
    section: 'Front end',
    help: 'key of the certificate in PEM',
  }),
} as const

export type SettingName = keyof typeof settings

type CamelCase<S extends string> = S extends `${infer Head}-${infer Tail}` ? `${Head}${Capitalize<CamelCase<Tail>>}` : S

type Value<S> = S extends Setting<infer T, infer D> ? T | Extract<D, undefined> : never

/** Every setting with a value, under its camelCase name. Durations are milliseconds, sizes bytes, paths absolute. */
export type Config = { readonly [N in SettingName as CamelCase<N>]: Value<(typeof settings)[N]> }

export type ConfigKey = keyof Config

/** What code that treats all settings alike sees of one. */
export type AnySetting = Omit<Setting<unknown, unknown>, 'kind'> & { readonly kind: Kind<unknown> }

/** Names and settings in the order of the table, which is the order of help. */
export const entries: readonly (readonly [SettingName, AnySetting])[] = Object.entries(settings).map(([name, spec]) => [
  name as SettingName,
  spec as unknown as AnySetting,
])

export const settingOf = (name: SettingName): AnySetting => settings[name] as unknown as AnySetting

export const configKey = (name: SettingName): ConfigKey =>
  name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase()) as ConfigKey

export const environmentName = (name: SettingName): string => `RUNFCGI_${name.toUpperCase().replaceAll('-', '_')}`

/** Case, hyphens and underscores do not tell names apart. */
const canonical = (name: string): string => name.toLowerCase().replace(/[-_]/g, '')

const byAnyName: ReadonlyMap<string, SettingName> = new Map(
  entries.flatMap(([name, { aliases = [] }]) => [name, ...aliases].map(alias => [canonical(alias), name] as const)),
)

/** The setting that a person means by a name: the name itself, an alias, `maxSpool`, `MAX_SPOOL`. */
export const findSetting = (name: string): SettingName | undefined => byAnyName.get(canonical(name))
