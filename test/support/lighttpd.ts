/** Starts lighttpd for one site: one process for each shipped configuration, because half of their settings are global. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { install, writeScript } from './runfcgi.ts'
import { type Site, writableFolder } from './site.ts'
import { unprivileged } from './unprivileged.ts'
import { EVERYTHING, findProgram, launch, pair, shipped, type WebServerKind } from './web-server.ts'

const program = findProgram('lighttpd')

export const lighttpd = {
  name: 'lighttpd',
  missing: program === undefined ? 'lighttpd' : undefined,
  spawns: false,
  start: (site: Site) => pair(startOne(site, 'site'), startOne(site, 'mount')),
  limits: { ...EVERYTHING, keepsConnections: false, streamsUploads: false },
  reasons: {
    keepsConnections:
      'lighttpd 1.4 makes a connection for each request; [mod_fastcgi](https://redmine.lighttpd.net/projects/lighttpd/wiki/Docs_ModFastCGI)',
    streamsUploads:
      'not asked to; [server.stream-request-body](https://redmine.lighttpd.net/projects/lighttpd/wiki/Server_stream-request-bodyDetails)',
  },
} satisfies WebServerKind

/** It starts mysite.fcgi itself, below a prefix as at the root. */
export const lighttpdSpawning = {
  ...lighttpd,
  name: 'lighttpd that starts the program',
  spawns: true,
  start(site: Site) {
    install(site.folder)
    const script = join(site.folder, 'mysite.fcgi')
    writeScript(script)
    const socket = join(writableFolder(site, 'sockets'), 'own.sock')
    const spawned = '"socket" => "/run/mysite/site.sock"'
    return pair(
      startOne(site, 'spawn', { '/run/lighttpd/runfcgi.sock': socket }),
      startOne(site, 'mount', { [spawned]: `"bin-path" => "${script}", "socket" => "${socket}.mount"` }),
    )
  },
} satisfies WebServerKind

function startOne(site: Site, name: string, changes?: Record<string, string>) {
  const { folder, socket } = site
  // It opens even its log with the rights of the unprivileged account.
  const own = writableFolder(site, 'lighttpd')
  const logFile = join(own, `${name}-error.log`)
  return launch(site, 1, port => {
    const paths = { ...(changes ?? { '/run/mysite/site.sock': socket }), '/srv/mysite': folder }
    writeFileSync(join(folder, `${name}.conf`), shipped(`lighttpd/${name}.conf`, paths))
    const main = join(folder, `lighttpd-${name}.conf`)
    writeFileSync(
      main,
      `
      server.bind = "127.0.0.1"
      server.port = ${port}
      server.document-root = "${folder}/nothing-here"
      server.errorlog = "${logFile}"
      server.upload-dirs = ( "${own}" )
      mimetype.assign = ( ".txt" => "text/plain" )
      ${unprivileged === undefined ? '' : `server.username = "${unprivileged.name}"`}
      include "${name}.conf"
      `,
    )
    return { command: program as string, args: ['-D', '-f', main], logFile }
  })
}
