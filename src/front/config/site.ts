/**
 * What a configuration is written from: one site, as every web server sees it. And what all generators need to write it.
 *
 * A generator is a pure function of a site. It quotes for its web server whatever a person could have chosen, and refuses
 * what that web server has no way to say.
 */

import { UsageError } from '../../config/errors.ts'
import type { SendfileRule } from '../../config/sections/application.ts'
import type { Target } from '../target.ts'

export interface Site {
  /** The command line that printed the configuration, for its first line. */
  readonly command: string
  /** Where the application listens. Several: the web server shares the requests out among them. */
  readonly backends: readonly Target[]
  /** Host names; none: the site answers to any. */
  readonly names: readonly string[]
  readonly port: number
  /** The URL path below which the application lives, without a slash at its end; `''` is the root. */
  readonly mount: string
  /** The folder that files are served from. */
  readonly root: string
  /** URL paths, without a slash at the end, whose files the web server serves, from the same paths below `root`. */
  readonly statics: readonly string[]
  /** Below a mount point: everything outside of it is files of `root`. */
  readonly everything: boolean
  /** Bytes of a request body above which the web server refuses it; undefined: it refuses none. */
  readonly maxBody: number | undefined
  /** Each child of the application runs one request at a time, and is better not kept waiting by a slow client. */
  readonly oneAtATime: boolean
  /** A URL path that is answered without the application, for health checks. */
  readonly ping: string | undefined
  /** Files that the application leaves to the web server: the setting `sendfile`. */
  readonly handedOver: readonly SendfileRule[]
  /** The script that a web server starts where it manages the processes itself. */
  readonly script: string
  readonly service: Service
}

/** The running program, for what starts it and looks after its files. */
export interface Service {
  /** Node and the program. */
  readonly program: readonly string[]
  /** The words behind `start`. */
  readonly words: readonly string[]
  /** The current folder. */
  readonly folder: string
  /** The account that it runs as, if the settings name one. */
  readonly user: string | undefined
  readonly group: string | undefined
  readonly socketGroup: string | undefined
  /** Files that it makes, besides sockets to listen on. */
  readonly files: readonly string[]
  /** Of these, those with lines in them. */
  readonly logs: readonly string[]
  /** The setting that lets commands find it, as it is typed. */
  readonly place: string | undefined
  /** Milliseconds that it may go on when it is to stop: lame-duck and graceful-timeout. */
  readonly ending: number
}

/** One configuration that can be printed. */
export interface Form {
  /** How the command names it; the first form of a web server is the one that it prints unless told. */
  readonly name: string
  readonly help: string
  generate(site: Site): string
}

/** A name for what has to have one (an upstream, a backend), made of letters, digits and underscores. */
export const idOf = ({ names, mount }: Site): string =>
  `${names[0] ?? 'runfcgi'}${mount}`.toLowerCase().replace(/[^a-z0-9]+/g, '_')

/** Parts that there are, with an empty line between them. */
export const paragraphs = (...parts: readonly (string | false | undefined)[]): string =>
  parts.filter(part => typeof part === 'string' && part !== '').join('\n\n')

export const indent = (by: number | string, text: string): string =>
  text.replace(/^(?=.)/gm, typeof by === 'string' ? by : ' '.repeat(by))

/** The lines of a configuration that say where it comes from and where it goes. */
export const header = (site: Site, ...lines: readonly string[]): string =>
  [`Printed by: ${site.command}`, '', ...lines].map(line => `# ${line}`.trimEnd()).join('\n')

/** `value`, unless it contains a character that `server` has no way to say there. @throws UsageError */
export function without(pattern: RegExp, value: string, server: string): string {
  const found = pattern.exec(value)
  if (found === null) return value
  throw new UsageError(`${server} cannot be told ${JSON.stringify(value)}: it has no way to write '${found[0]}' there`)
}

/** Where requests are shared out: a host that goes, and one that is slow to be found gone, is nobody's concern. */
export const isShared = ({ backends }: Site): boolean => backends.length > 1

/** The only address, for a web server that takes no more. @throws UsageError */
export function soleBackend({ backends }: Site, server: string): Target {
  const [only, ...more] = backends
  if (only !== undefined && more.length === 0) return only
  throw new UsageError(`${server} passes requests on to one address, not ${backends.length}: name one`)
}

/** A path or name for use in a regular expression. */
export const literal = (text: string): string =>
  text.replace(/[.*+?^${}()|[\]\\/]/g, found => (found === '/' ? '/' : `\\${found}`))

/** Bytes, for a web server that has a limit of its own and no word for none. */
export const NO_LIMIT = 2 ** 40
export const HUGE = 'A request body may be of any size that there is (1 TiB).'

export const FILES = 'Files, and only those in this one folder: no request can reach the source of the application.'
export const REST = "Everything else is the application's."
export const SLASH = 'Without the slash relative links would lead out of the application.'
export const PREFIXED = [
  'The application is below a prefix and sees paths without it (SCRIPT_NAME is the prefix, PATH_INFO the rest; so is',
  '`req.url`).',
] as const
