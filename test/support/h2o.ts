/** Starts h2o for one site: one process for each shipped configuration. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Site, writableFolder } from './site.ts'
import { unprivileged } from './unprivileged.ts'
import { findProgram, launch, pair, shipped, type WebServerKind } from './web-server.ts'

const program = findProgram('h2o')

export const h2o = {
  name: 'h2o',
  missing: program === undefined ? 'h2o' : undefined,
  spawns: false,
  start: (site: Site) => pair(startOne(site, 'h2o'), startOne(site, 'mount')),
  limits: {
    inFlight: 50,
    streamingEcho: 8 << 20,
    keepsConnections: false,
    buffersUnlessAsked: false,
    chunkedBody: 3 << 20,
    refusesLargeUploads: true,
    responseHeader: 8_000,
    logsErrors: true,
    addsSlash: false,
    servesFiles: true,
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
