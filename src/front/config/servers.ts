/** What a configuration can be printed for, in the order of the README. */

import { apacheForms } from './apache.ts'
import { caddyForms } from './caddy.ts'
import { h2oForms } from './h2o.ts'
import { haproxyForms } from './haproxy.ts'
import { lighttpdForms } from './lighttpd.ts'
import { logrotateForms } from './logrotate.ts'
import { nginxForms } from './nginx.ts'
import type { Form } from './site.ts'
import { systemdForms } from './systemd.ts'

export const webServers: ReadonlyMap<string, readonly Form[]> = new Map([
  ['nginx', nginxForms],
  ['apache', apacheForms],
  ['lighttpd', lighttpdForms],
  ['caddy', caddyForms],
  ['haproxy', haproxyForms],
  ['h2o', h2oForms],
])

/** All of them. */
export const programs: ReadonlyMap<string, readonly Form[]> = new Map([
  ...webServers,
  ['systemd', systemdForms],
  ['logrotate', logrotateForms],
])

/** Forms in which the web server starts the program itself, or to which it does not matter: no address is needed. */
export const ADDRESSLESS: ReadonlySet<string> = new Set(['fcgid', 'htaccess', 'spawn', 'files'])
