/** Every web server in every configuration, in the order of the matrix, and the callables that run behind it. */

import { apacheFcgid, apacheProxy, apacheProxyOverTcp, apacheProxyReuse } from '../support/apache.ts'
import { caddy } from '../support/caddy.ts'
import { h2o } from '../support/h2o.ts'
import { haproxy, haproxyMultiplexed } from '../support/haproxy.ts'
import { lighttpd, lighttpdSpawning } from '../support/lighttpd.ts'
import { modFastcgi } from '../support/mod-fastcgi.ts'
import { nginx, nginxKeepAlive, nginxOverTcp, nginxStreamingUploads } from '../support/nginx.ts'
import type { Callable } from '../support/site.ts'
import type { WebServerKind } from '../support/web-server.ts'

const EVERY: readonly Callable[] = ['node', 'wsgi', 'fetch']

export type Proven = readonly (readonly [WebServerKind, readonly Callable[]])[]

/** By the file that proves them: vitest runs files side by side. */
export const proven = {
  nginx: [
    [nginx, EVERY],
    [nginxKeepAlive, EVERY],
    [nginxStreamingUploads, ['node']],
    [nginxOverTcp, ['node']],
  ],
  apacheProxyFcgi: [
    [apacheProxy, EVERY],
    [apacheProxyReuse, EVERY],
    [apacheProxyOverTcp, ['node']],
  ],
  apacheModFcgid: [[apacheFcgid, EVERY]],
  apacheModFastcgi: [[modFastcgi, ['node']]],
  lighttpd: [
    [lighttpd, EVERY],
    [lighttpdSpawning, ['node']],
  ],
  others: [
    [caddy, EVERY],
    [haproxy, EVERY],
    [haproxyMultiplexed, ['node']],
    [h2o, EVERY],
  ],
} as const satisfies Readonly<Record<string, Proven>>

export const allProven: Proven = Object.values(proven).flat()
