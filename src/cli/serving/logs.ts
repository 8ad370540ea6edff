/** Where lines go: the log, the access log, and what the application prints. */

import { accessSync, closeSync, constants, fchownSync, fstatSync, openSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Resolved } from '../../config/resolve.ts'
import type { SettingName } from '../../config/settings.ts'
import { createLog, type ServerLog } from '../../log.ts'
import type { Account } from '../../process/daemon/account.ts'
import { redirect } from '../../process/redirect.ts'
import { errnoOf } from '../../server/thrown.ts'
import { CommandError } from '../errors.ts'
import type { Plan } from './run.ts'

export interface OpenLog {
  readonly log: ServerLog
  /** Gives standard output and error back, for a message that has to reach the terminal. */
  release(): void
}

/**
 * The log goes to `errlog`, else to standard error: for people if that is a terminal and somebody looks at it, as JSON
 * otherwise.
 * @throws CommandError when a file cannot be written
 */
export function openLog(plan: Pick<Plan, 'command' | 'inherited' | 'detached' | 'resolved'>): OpenLog {
  const { command, resolved } = plan
  const { config } = resolved
  checkLogFiles(resolved)
  const onTerminal = config.errlog === undefined && process.stderr.isTTY
  const log = createLog({
    level: config.logLevel,
    err: config.errlog,
    out: config.outlog ?? (hasStdout(plan) ? 1 : (config.errlog ?? 2)),
    access: ['-', 'off'].includes(config.accessLog) ? undefined : config.accessLog,
    pretty: onTerminal && command !== 'start' && !config.json,
    color: process.env.NO_COLOR === undefined,
    hold: config.errlog === undefined,
  })
  const streams = { out: process.stdout, err: process.stderr }
  const releases = redirected(plan).map(channel => redirect(streams[channel], text => log.print(channel, text)))
  return { log, release: () => void releases.map(release => release()) }
}

/** It may be connected to nothing, or to the web server that started us. */
const hasStdout = ({ inherited, detached }: Pick<Plan, 'inherited' | 'detached'>): boolean => !inherited && !detached

/** Standard streams that go to files; the others stay what they are. */
export function redirected(plan: Pick<Plan, 'inherited' | 'detached' | 'resolved'>): ('out' | 'err')[] {
  const { outlog, errlog } = plan.resolved.config
  return [
    ...(outlog !== undefined || !hasStdout(plan) ? ['out' as const] : []),
    ...(errlog === undefined ? [] : ['err' as const]),
  ]
}

const LOG_SETTINGS = ['errlog', 'outlog', 'access-log'] as const

/** The paths of log files that somebody gave. */
function logFiles({ given }: Resolved): [SettingName, string][] {
  return LOG_SETTINGS.flatMap(name => {
    const path = given.get(name)?.value
    return typeof path === 'string' && path !== '-' && path !== 'off' ? [[name, path] as [SettingName, string]] : []
  })
}

/** Makes log files of root the account's, which has to open them from now on. */
export function giveLogs(resolved: Resolved, { uid, gid }: Pick<Account, 'uid' | 'gid'>): void {
  for (const [, path] of logFiles(resolved)) {
    const fd = openSync(path, 'a')
    const file = fstatSync(fd)
    if (file.isFile() && file.uid === 0 && uid !== 0) fchownSync(fd, uid, gid)
    closeSync(fd)
  }
}

/** @throws CommandError when a log file of the settings cannot be written; creates none */
export function checkLogFiles(resolved: Resolved): void {
  for (const [name, path] of logFiles(resolved)) mustBeWritable(name, path, resolved)
}

function mustBeWritable(name: SettingName, path: string, { describe }: Resolved): void {
  const file = statSync(path, { throwIfNoEntry: false })
  if (file?.isDirectory()) throw new CommandError(`${describe(name)}: is a folder: add the name of a file`)
  try {
    accessSync(file === undefined ? dirname(path) : path, constants.W_OK)
  } catch (error) {
    const code = errnoOf(error)
    const todo = code === 'ENOENT' ? 'create its folder first' : 'check the rights, or choose another file'
    throw new CommandError(`${describe(name)}: cannot be written (${code}): ${todo}`)
  }
}
