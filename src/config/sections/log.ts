/** Settings: where lines go. */

import { bool, oneOf, path } from '../kinds.ts'
import { setting } from '../setting.ts'

export const logSettings = {
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
    help: 'print JSON: the log on a terminal, and what status, check and probe report',
  }),
}
