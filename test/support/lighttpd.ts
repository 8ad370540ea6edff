/** Starts lighttpd for one site: one process for each shipped configuration, because half of their settings are global. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { install, writeScript } from './runfcgi.ts'
import { type Site, writableFolder } from './site.ts'
import { unprivileged } from './unprivileged.ts'
import {
  EVERYTHING,
  findProgram,
  type Launch,
  launch,
  pair,
  SECOND,
  shipped,
  type WebServerKind,
} from './web-server.ts'

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

/** The application at two addresses: the site's socket and this port. */
export function startBalanced(site: Site, second: number) {
  const [host, port] = SECOND.split(':')
  const there = { [`"${host}", "port" => ${port}`]: `"127.0.0.1", "port" => ${second}` }
  return pair(startOne(site, 'balance', { '/run/mysite/site.sock': site.socket, ...there }), startOne(site, 'mount'))
}

/** Sites that are told apart by their names, each in a file of its own. */
export function startSites(site: Site, sockets: Readonly<Record<string, string>>) {
  const files = Object.entries(sockets).map(([name, socket]) => {
    const names = { 'example\\.org|www\\.example\\.org': `${name}|www.${name}`, '/run/mysite/site.sock': socket }
    return shipped('lighttpd/host.conf', { ...names, '/srv/mysite': site.folder })
  })
  return launch(site, 1, port => mainFile(site, 'sites', port, files))
}

function startOne(site: Site, name: string, changes?: Record<string, string>) {
  const paths = { ...(changes ?? { '/run/mysite/site.sock': site.socket }), '/srv/mysite': site.folder }
  return launch(site, 1, port => mainFile(site, name, port, [shipped(`lighttpd/${name}.conf`, paths)]))
}

/** The main configuration, which includes these files. */
function mainFile(site: Site, name: string, port: number, files: readonly string[]): Launch {
  const included = files.map((_, index) => `${name}-${index}.conf`)
  for (const [index, text] of files.entries()) writeFileSync(join(site.folder, `${name}-${index}.conf`), text)
  return configureLighttpd(site, port, included.map(file => `include "${file}"`).join('\n'), name)
}

/** lighttpd on this port of 127.0.0.1 with this text in its configuration, which keeps everything in the site. */
export function configureLighttpd(site: Site, port: number, text: string, name = 'site'): Launch {
  // It opens even its log with the rights of the unprivileged account.
  const own = writableFolder(site, 'lighttpd')
  const logFile = join(own, `${name}-error.log`)
  const file = join(site.folder, `lighttpd-${name}.conf`)
  writeFileSync(
    file,
    `
      server.bind = "127.0.0.1"
      server.port = ${port}
      server.document-root = "${site.folder}/nothing-here"
      server.errorlog = "${logFile}"
      server.upload-dirs = ( "${own}" )
      mimetype.assign = ( ".txt" => "text/plain" )
      ${unprivileged === undefined ? '' : `server.username = "${unprivileged.name}"`}
      ${text}
      `,
  )
  return { command: program as string, args: ['-D', '-f', file], logFile }
}
