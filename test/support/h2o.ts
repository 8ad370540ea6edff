/** Starts h2o for one site: one process for each shipped configuration. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Site, writableFolder } from './site.ts'
import { unprivileged } from './unprivileged.ts'
import { EVERYTHING, findProgram, launch, pair, shipped, type WebServerKind } from './web-server.ts'

const program = findProgram('h2o')

export const h2o = {
  name: 'h2o',
  missing: program === undefined ? 'h2o' : undefined,
  spawns: false,
  start: (site: Site) => pair(startOne(site, 'h2o'), startOne(site, 'mount')),
  limits: { ...EVERYTHING, keepsConnections: false, addsSlash: false, streamsUploads: false },
  reasons: {
    keepsConnections:
      'not asked to: with [fastcgi.timeout.keepalive](https://h2o.examp1e.net/configure/fastcgi_directives.html#fastcgi.timeout.keepalive) h2o 2.2.5 aborts when a reply is complete before the body of its request',
    addsSlash: 'it has no redirect for one path and not for those below it',
    streamsUploads: 'h2o 2.2 reads the whole body first',
  },
} satisfies WebServerKind

function startOne(site: Site, name: string) {
  const { folder, socket } = site
  const temporary = writableFolder(site, 'h2o')
  const file = join(folder, `h2o-${name}.conf`)
  const logFile = join(folder, `h2o-${name}.log`)
  return launch(site, 1, port => {
    const replacements = {
      '/run/mysite/site.sock': socket,
      '/srv/mysite': folder,
      'port: 80\n': `port: ${port}\n      host: 127.0.0.1\n`,
      'example.org:80': `127.0.0.1:${port}`,
    }
    const own = [`error-log: ${logFile}`, `temp-buffer-path: ${temporary}`, 'num-threads: 2']
    const user = unprivileged === undefined ? [] : [`user: ${unprivileged.name}`]
    writeFileSync(file, [...own, ...user, shipped(`h2o/${name}.conf`, replacements)].join('\n'))
    return { command: program as string, args: ['-c', file], logFile }
  })
}
