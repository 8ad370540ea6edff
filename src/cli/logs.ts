/** Where lines go: the log, the access log, and what the application prints. */

import { accessSync, constants, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Resolved } from '../config/resolve.ts'
import type { SettingName } from '../config/settings.ts'
import { createLog, type ServerLog } from '../log.ts'
import { redirect } from '../process/redirect.ts'
import { CommandError } from './errors.ts'
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

/** @throws CommandError when a log file of the settings cannot be written; creates none */
export function checkLogFiles(resolved: Resolved): void {
  for (const name of ['errlog', 'outlog', 'access-log'] as const) {
    const path = resolved.given.get(name)?.value
    if (typeof path === 'string' && path !== '-' && path !== 'off') mustBeWritable(name, path, resolved)
  }
}

function mustBeWritable(name: SettingName, path: string, { describe }: Resolved): void {
  const file = statSync(path, { throwIfNoEntry: false })
  if (file?.isDirectory()) throw new CommandError(`${describe(name)}: is a folder: add the name of a file`)
  try {
    accessSync(file === undefined ? dirname(path) : path, constants.W_OK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const todo = code === 'ENOENT' ? 'create its folder first' : 'check the rights, or choose another file'
    throw new CommandError(`${describe(name)}: cannot be written (${code}): ${todo}`)
  }
}
