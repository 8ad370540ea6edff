/** Starts HAProxy for one site: the shipped configurations behind a global section. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Site } from './site.ts'
import { unprivileged } from './unprivileged.ts'
import { EVERYTHING, findProgram, launchBoth, SECOND, shipped, type WebServerKind } from './web-server.ts'

const program = findProgram('haproxy')

export const haproxy = {
  name: 'HAProxy',
  missing: program === undefined ? 'HAProxy' : undefined,
  spawns: false,
  start: (site: Site) => start(site, 'haproxy/haproxy.cfg'),
  limits: { ...EVERYTHING, chunkedBody: 8_192, servesFiles: false },
  reasons: {
    chunkedBody:
      'without a length the whole body must fit the buffer, 8 KiB here; [tune.bufsize](https://docs.haproxy.org/2.6/configuration.html#tune.bufsize)',
    servesFiles: 'HAProxy is no server of files',
  },
} satisfies WebServerKind

/** Requests of all clients share connections. */
export const haproxyMultiplexed = {
  ...haproxy,
  name: 'HAProxy multiplexed',
  start: (site: Site) => start(site, 'haproxy/multiplexed.cfg'),
  limits: { ...haproxy.limits, tellsOfLeaving: false },
  reasons: {
    ...haproxy.reasons,
    tellsOfLeaving:
      'the connection is shared, and HAProxy sends ABORT_REQUEST only while the request body is incomplete: it reads the reply to its end (`mux_fcgi.c`)',
  },
} satisfies WebServerKind

/** The application at two addresses: the site's socket and this port. */
export const startBalanced = (site: Site, second: number) =>
  start(site, 'haproxy/balance.cfg', { [SECOND]: `127.0.0.1:${second}` })

function start(site: Site, config: string, changes: Record<string, string> = {}) {
  const { folder, socket } = site
  const file = join(folder, 'haproxy.cfg')
  return launchBoth(site, (port, mountPort) => {
    const paths = { '/run/mysite/site.sock': socket, '/srv/mysite': folder }
    const main = shipped(config, { ...paths, ...changes, '*:80': `127.0.0.1:${port}` })
    const mount = shipped('haproxy/mount.cfg', { ...paths, '*:80': `127.0.0.1:${mountPort}` })
    writeFileSync(file, [globalSection(), main, mount].join('\n'))
    return { command: program as string, args: ['-db', '-f', file], logFile: join(folder, 'haproxy.log') }
  })
}

const globalSection = () => `
global
  log stdout format raw local0
  maxconn 200
  ${unprivileged === undefined ? '' : `user ${unprivileged.name}\n  group ${unprivileged.name}`}

defaults
  timeout connect 5s
  timeout client 60s
  timeout server 60s
`
