/** Starts a web server with what `runfcgi config` printed, inside a main configuration that keeps everything in one folder. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type RunningProgram, startProgram } from './child-process.ts'
import { mainConfiguration } from './nginx.ts'
import { accepts, freePorts } from './ports.ts'
import { type Site, writableFolder } from './site.ts'
import { unprivileged } from './unprivileged.ts'
import { findProgram } from './web-server.ts'

interface Printed {
  /** Names that its program has. */
  readonly programs: readonly string[]
  /** Around the printed text; `spare` is a port that nobody uses. */
  around(text: string, site: Site, spare: number): string
  args(file: string, site: Site): string[]
}

const MODULES = [
  ...['mpm_event', 'authz_core', 'alias', 'env', 'setenvif', 'rewrite', 'proxy', 'proxy_fcgi', 'slotmem_shm'],
  ...['proxy_balancer', 'proxy_hcheck', 'lbmethod_byrequests'],
]

const user = (text: (name: string) => string): string => (unprivileged === undefined ? '' : text(unprivileged.name))

/** Of each web server that forwards to an application which runs by itself. */
export const PRINTED: Readonly<Record<string, Printed>> = {
  nginx: {
    programs: ['nginx'],
    around: (text, { folder }) =>
      mainConfiguration(folder, join(folder, 'log'), text.replaceAll('fastcgi_params;', '/etc/nginx/fastcgi_params;')),
    args: (file, { folder }) => ['-p', folder, '-c', file, '-e', join(folder, 'log')],
  },
  apache: {
    programs: ['apache2', 'httpd'],
    around: (text, { folder }) => `
      ServerRoot "${folder}"
      DefaultRuntimeDir "${folder}"
      PidFile "${folder}/pid"
      ServerName localhost
      ErrorLog "${folder}/log"
      ${MODULES.map(name => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
      ${user(name => `User ${name}\nGroup ${name}`)}
      ${text}`,
    args: (file, { folder }) => ['-DFOREGROUND', '-d', folder, '-f', file],
  },
  lighttpd: {
    programs: ['lighttpd'],
    around: (text, site, spare) => `
      server.bind = "127.0.0.1"
      server.port = ${spare}
      server.document-root = "${site.folder}/nothing-here"
      server.upload-dirs = ( "${writableFolder(site, 'uploads')}" )
      ${user(name => `server.username = "${name}"`)}
      ${text}`,
    args: file => ['-D', '-f', file],
  },
  caddy: {
    programs: ['caddy'],
    around: text => `{\n\tadmin off\n}\n\n${text}`,
    args: file => ['run', '--config', file, '--adapter', 'caddyfile'],
  },
  haproxy: {
    programs: ['haproxy'],
    around: text => `global\n  log stdout format raw local0\n${user(name => `  user ${name}\n`)}\n${text}`,
    args: file => ['-db', '-f', file],
  },
  h2o: {
    programs: ['h2o'],
    around: (text, site) =>
      `error-log: ${site.folder}/log\ntemp-buffer-path: ${writableFolder(site, 'buffers')}\n${user(name => `user: ${name}\n`)}${text}`,
    args: file => ['-c', file],
  },
}

/** Resolves when it accepts connections on `port`, for which the text was printed. */
export async function startPrinted(server: string, text: string, site: Site, port: number): Promise<RunningProgram> {
  const { programs, around, args } = PRINTED[server] as Printed
  const [spare = 0] = await freePorts(1)
  const file = join(site.folder, `${server}.conf`)
  writeFileSync(file, around(text, site, spare))
  return startProgram(findProgram(...programs) as string, args(file, site), {
    cwd: site.folder,
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: site.folder },
    ready: () => accepts(port),
  })
}
