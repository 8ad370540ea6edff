/** What a unit of systemd and a configuration for logrotate have to know of the settings. */

import type { Resolved } from '../../config/resolve.ts'
import { findSetting, settingOf } from '../../config/settings.ts'
import type { Service } from '../../front/config/site.ts'
import type { Invocation } from '../commands.ts'

/** Settings that are said in the unit itself. */
const SAID_ELSEWHERE: ReadonlySet<string> = new Set(['user', 'group', 'daemonize'])

/** As it is started now: the words of the command line in the current folder, where the configuration file lies. */
export function serviceOf({ config, given }: Resolved, { words }: Invocation): Service {
  const logs = [config.errlog, config.outlog, config.accessLog].filter(isFile)
  const place = (['pidfile', 'control'] as const).find(name => given.has(name))
  const [node = '', program = ''] = process.argv
  return {
    program: [node, program],
    words: words.filter(([name]) => isOfProgram(name)).map(([name, value]) => `${name}=${value}`),
    folder: process.cwd(),
    user: config.user,
    group: config.group,
    socketGroup: config.socketGroup,
    files: [...logs, config.pidfile, config.control].filter(isFile),
    logs: [...new Set(logs)],
    place: place && `${place}=${config[place]}`,
    ending: config.lameDuck + config.gracefulTimeout,
  }
}

const isFile = (path: string | undefined): path is string => path?.startsWith('/') === true

function isOfProgram(name: string): boolean {
  const setting = findSetting(name)
  return setting !== undefined && settingOf(setting).section !== 'Web server' && !SAID_ELSEWHERE.has(setting)
}
