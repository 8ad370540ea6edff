/** Starts Caddy for one site: the shipped configurations behind global options. Unprivileged from the start, as its service. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Site, writableFolder } from './site.ts'
import { unprivileged } from './unprivileged.ts'
import { EVERYTHING, findProgram, launchBoth, SECOND, shipped, type WebServerKind } from './web-server.ts'

const program = findProgram('caddy')

export const caddy = {
  name: 'Caddy',
  missing: program === undefined ? 'Caddy' : undefined,
  spawns: false,
  start: (site: Site) => start(site, 'caddy/Caddyfile'),
  limits: { ...EVERYTHING, keepsConnections: false, refusesLargeUploads: false, logsErrors: false },
  reasons: {
    keepsConnections: 'Caddy makes a connection for each request (`reverseproxy/fastcgi/client.go`)',
    refusesLargeUploads:
      'it counts while it reads, and does not look at Content-Length; [request_body](https://caddyserver.com/docs/caddyfile/directives/request_body)',
    logsErrors:
      'Caddy 2.6 drops FCGI_STDERR; later ones have [capture_stderr](https://caddyserver.com/docs/caddyfile/directives/reverse_proxy#the-fastcgi-transport)',
  },
} satisfies WebServerKind

/** The application at two addresses: the site's socket and this port. */
export const startBalanced = (site: Site, second: number) =>
  start(site, 'caddy/balance.Caddyfile', { [SECOND]: `127.0.0.1:${second}` })

function start(site: Site, config: string, changes: Record<string, string> = {}) {
  const { folder, socket } = site
  const file = join(folder, 'Caddyfile')
  const home = writableFolder(site, 'caddy')
  return launchBoth(site, (port, mountPort) => {
    const paths = { '/run/mysite/site.sock': socket, '/srv/mysite': folder }
    const main = shipped(config, { ...paths, ...changes, 'http://example.org:80': `http://127.0.0.1:${port}` })
    const mount = shipped('caddy/mount.Caddyfile', {
      ...paths,
      'http://example.org:80': `http://127.0.0.1:${mountPort}`,
    })
    writeFileSync(file, ['{\n\tadmin off\n\tdefault_bind 127.0.0.1\n}\n', main, mount].join('\n'))
    return {
      command: program as string,
      args: ['run', '--config', file, '--adapter', 'caddyfile'],
      logFile: join(folder, 'caddy.log'),
      env: { HOME: home },
      ...(unprivileged && { account: unprivileged }),
    }
  })
}
