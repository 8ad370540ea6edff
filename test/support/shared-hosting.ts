/** A customer of a shared host, with the files of deploy/shared-hosting, and hosts that serve the customer's folder. */

import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startProgram } from './child-process.ts'
import { fetchWhole } from './http-client.ts'
import { accepts, freePorts } from './ports.ts'
import { install } from './runfcgi.ts'
import { unprivileged } from './unprivileged.ts'
import { findProgram, shipped } from './web-server.ts'

export interface Customer {
  readonly root: string
  /** Where the application is. */
  readonly home: string
  /** What the web server serves. */
  readonly folder: string
  readonly script: string
}

/** `settings`: what is written into the script beside what is there. */
export function customerOf(app: string, settings = ''): Customer {
  const root = mkdtempSync(join(tmpdir(), 'runfcgi-host-'))
  const [home, folder] = [join(root, 'mysite'), join(root, 'public_html')]
  const script = join(folder, 'mysite.fcgi')
  for (const path of [home, folder]) mkdirSync(path)
  // Hosts run the script under the customer's account; here it is the web server's, which must write the log.
  for (const path of [root, home]) chmodSync(path, 0o777)
  install(home)
  writeFileSync(join(home, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(home, 'app.js'), app)
  writeFileSync(join(folder, '.htaccess'), shipped('apache/htaccess', {}))
  const changes = {
    '/home/me/mysite': home,
    '#!/usr/bin/env node': `#!${process.execPath}`,
    "'./site.log',": `'./site.log', ${settings}`,
  }
  writeFileSync(script, shipped('shared-hosting/mysite.fcgi', changes))
  chmodSync(script, 0o755)
  return { root, home, folder, script }
}

interface Answer {
  readonly status: number
  /** What the application says: which time that it was loaded it is, and the path that it saw. */
  readonly load: number
  readonly path: string
}

export interface Hosted {
  /** What the application answers with, or an error that shows the page. */
  get(path: string): Promise<{ load: number; path: string }>
  ask(path: string): Promise<Answer>
  stop(): Promise<void>
}

export interface Host {
  readonly name: string
  readonly missing: string | undefined
  /** What the script says, so that a restart loses nothing, and what that means. */
  readonly settings: string
  readonly how: string
  start(customer: Customer): Promise<Hosted>
}

async function host(customer: Customer, command: string, configure: (port: number) => string[]): Promise<Hosted> {
  const [port = 0] = await freePorts(1)
  const { stop } = await startProgram(command, configure(port), {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    ready: () => accepts(port),
  })
  const fetched = async (path: string) => {
    const { status, body } = await fetchWhole(port, path)
    return { status, text: body.toString() }
  }
  return {
    async get(path) {
      const { status, text } = await fetched(path)
      if (status !== 200) throw new Error(`${status} for ${path}: ${text}`)
      return JSON.parse(text)
    },
    async ask(path) {
      const { status, text } = await fetched(path)
      return status === 200 ? { status, ...JSON.parse(text) } : { status, load: -1, path }
    },
    async stop() {
      await stop()
      rmSync(customer.root, { recursive: true, force: true })
    },
  }
}

const apache = findProgram('apache2', 'httpd')
const modules = ['/usr/lib/apache2/modules', '/usr/lib64/httpd/modules'].find(path =>
  existsSync(`${path}/mod_fcgid.so`),
)

export const apacheHost: Host = {
  name: 'Apache mod_fcgid',
  missing: apache === undefined || modules === undefined ? 'Apache with mod_fcgid' : undefined,
  settings: '',
  how: 'other processes',
  start: customer =>
    host(customer, apache as string, port => {
      const { root, folder } = customer
      mkdirSync(join(root, 'ipc'))
      if (unprivileged !== undefined) chownSync(join(root, 'ipc'), unprivileged.uid, unprivileged.gid)
      const load = ['mpm_event', 'authz_core', 'mime', 'rewrite', 'fcgid'].map(
        name => `LoadModule ${name}_module ${modules}/mod_${name}.so`,
      )
      writeFileSync(
        join(root, 'apache.conf'),
        `${load.join('\n')}
         ServerRoot "${root}"
         DefaultRuntimeDir "${root}"
         PidFile "${root}/apache.pid"
         ServerName localhost
         Listen 127.0.0.1:${port}
         ErrorLog "${root}/apache.log"
         TypesConfig /dev/null
         ${unprivileged === undefined ? '' : `User ${unprivileged.name}\nGroup ${unprivileged.name}`}
         FcgidIPCDir "${root}/ipc"
         FcgidProcessTableFile "${root}/ipc/table"
         DocumentRoot "${folder}"
         <Directory "${folder}">
           Require all granted
           AllowOverride All
         </Directory>`,
      )
      return ['-DFOREGROUND', '-f', join(root, 'apache.conf')]
    }),
}

const lighttpd = findProgram('lighttpd')

export const lighttpdHost: Host = {
  name: 'lighttpd',
  missing: lighttpd === undefined ? 'lighttpd' : undefined,
  // It needs up to a second to see that a process has ended.
  settings: "method: 'threaded', maxchildren: 1,",
  how: 'other threads',
  start: customer =>
    host(customer, lighttpd as string, port => {
      const { root, folder, script } = customer
      writeFileSync(
        join(root, 'lighttpd.conf'),
        `server.document-root = "${folder}"
         server.bind = "127.0.0.1"
         server.port = ${port}
         server.errorlog = "${root}/lighttpd.log"
         server.modules = ( "mod_fastcgi" )
         fastcgi.server = ( "/" => (( "bin-path" => "${script}", "socket" => "${root}/own.sock", "max-procs" => 2,
           "check-local" => "disable", "fix-root-scriptname" => "enable", "disable-time" => 1 )))`,
      )
      return ['-D', '-f', join(root, 'lighttpd.conf')]
    }),
}

/** The script as a web server starts it for one request by plain CGI. */
export const cgiEnvironment = {
  PATH: '/usr/bin:/bin',
  GATEWAY_INTERFACE: 'CGI/1.1',
  REQUEST_METHOD: 'GET',
  REQUEST_URI: '/a/b',
  SCRIPT_NAME: '',
  PATH_INFO: '/a/b',
  QUERY_STRING: '',
  SERVER_NAME: 'localhost',
  SERVER_PORT: '80',
  SERVER_PROTOCOL: 'HTTP/1.1',
}
