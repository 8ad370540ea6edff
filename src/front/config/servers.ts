/** The web servers that a configuration can be printed for, in the order of the README. */

import { apacheForms } from './apache.ts'
import { caddyForms } from './caddy.ts'
import { h2oForms } from './h2o.ts'
import { haproxyForms } from './haproxy.ts'
import { lighttpdForms } from './lighttpd.ts'
import { nginxForms } from './nginx.ts'
import type { Form } from './site.ts'

export const webServers: ReadonlyMap<string, readonly Form[]> = new Map([
  ['nginx', nginxForms],
  ['apache', apacheForms],
  ['lighttpd', lighttpdForms],
  ['caddy', caddyForms],
  ['haproxy', haproxyForms],
  ['h2o', h2oForms],
])

/** Forms in which the web server starts the program itself, so that no address is needed. */
export const SPAWNING: ReadonlySet<string> = new Set(['fcgid', 'htaccess', 'spawn'])
