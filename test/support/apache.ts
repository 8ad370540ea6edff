/**
 * Starts Apache for one site: the shipped virtual hosts inside a main configuration that loads what they need and keeps
 * everything in the site.
 */

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { install, writeScript } from './runfcgi.ts'
import { type Site, STATIC_TEXT, writableFolder } from './site.ts'
import { unprivileged } from './unprivileged.ts'
import {
  EVERYTHING,
  findProgram,
  type Launch,
  type Launched,
  launch,
  launchBoth,
  SECOND,
  shipped,
  type WebServerKind,
} from './web-server.ts'

const program = findProgram('apache2', 'httpd')
const modules = [
  '/usr/lib/apache2/modules',
  '/usr/lib64/httpd/modules',
  '/usr/libexec/apache2',
  '/opt/homebrew/lib/httpd/modules',
].find(existsSync)

const hasModule = (name: string): boolean => existsSync(join(modules ?? '', `${name}.so`))

/** What of it is not on this machine. */
export function missingApache(...names: string[]): string | undefined {
  if (program === undefined || modules === undefined) return 'Apache'
  return names.find(name => !hasModule(name))
}

const PROXY = { site: 'apache/proxy-fcgi.conf', mount: 'apache/proxy-fcgi-mount.conf' }

/** Without `enablereuse`: what Apache does unless told otherwise. */
export const apacheProxy = {
  name: 'Apache mod_proxy_fcgi',
  missing: missingApache('mod_proxy', 'mod_proxy_fcgi'),
  spawns: false,
  start: (site: Site) => start(site, PROXY, { 'enablereuse=on ttl=30 ': '' }),
  limits: { ...EVERYTHING, keepsConnections: false },
  reasons: {
    keepsConnections: 'not asked to; [enablereuse](https://httpd.apache.org/docs/2.4/mod/mod_proxy.html#proxypass)',
  },
} satisfies WebServerKind

export const apacheProxyReuse = {
  ...apacheProxy,
  name: 'Apache mod_proxy_fcgi with enablereuse=on',
  start: (site: Site) => start(site, PROXY),
  limits: { ...apacheProxy.limits, keepsConnections: true },
} satisfies WebServerKind

export const apacheProxyOverTcp = {
  ...apacheProxy,
  name: 'Apache mod_proxy_fcgi over TCP',
  overTcp: true,
} satisfies WebServerKind

export const apacheFcgid = {
  name: 'Apache mod_fcgid',
  missing: missingApache('mod_fcgid'),
  spawns: true,
  start(site: Site) {
    install(site.folder)
    writeScript(join(site.folder, 'mysite.fcgi'))
    return start(site, { site: 'apache/mod_fcgid.conf', mount: 'apache/mod_fcgid-mount.conf' })
  },
  limits: { ...EVERYTHING, inFlight: 8, keepsConnections: false, streamsUploads: false },
  reasons: {
    inFlight:
      'one request at a time in each process, and 8 processes; [FcgidMaxProcessesPerClass](https://httpd.apache.org/mod_fcgid/mod/mod_fcgid.html#fcgidmaxprocessesperclass)',
    keepsConnections: 'mod_fcgid makes a connection for each request (`fcgid_bridge.c`); not counted here',
    streamsUploads:
      'it reads the whole body first; [FcgidMaxRequestInMem](https://httpd.apache.org/mod_fcgid/mod/mod_fcgid.html#fcgidmaxrequestinmem)',
  },
} satisfies WebServerKind

/** The application at two addresses: the site's socket and this port. */
export const startBalanced = (site: Site, second: number) =>
  launchBoth(site, (port, mountPort) => {
    const hosts = [
      virtualHost(site, 'apache/proxy-fcgi-balance.conf', port, { [SECOND]: `127.0.0.1:${second}` }),
      virtualHost(site, PROXY.mount, mountPort, {}),
    ]
    return configureApache(site, [port, mountPort], hosts.join('\n'))
  })

/** Apache as a host sets it up for its customers, and one customer's folder `public`, with the shipped .htaccess. */
export function startSharedHosting(site: Site): Promise<Launched> {
  const { folder } = site
  const root = join(folder, 'public')
  mkdirSync(root)
  install(folder)
  writeScript(join(root, 'mysite.fcgi'), { 'cd "$(dirname "$0")"': 'cd "$(dirname "$0")/.."' })
  writeFileSync(join(root, '.htaccess'), shipped('apache/htaccess', {}))
  writeFileSync(join(root, 'hello.txt'), STATIC_TEXT)
  return launch(site, 1, port => {
    const host = `
      <VirtualHost 127.0.0.1:${port}>
        DocumentRoot "${root}"
        <Directory "${root}">
          Require all granted
          AllowOverride All
        </Directory>
      </VirtualHost>`
    return configureApache(site, [port], host)
  })
}

function start(site: Site, files: typeof PROXY, changes: Record<string, string> = {}) {
  return launchBoth(site, (port, mountPort) => {
    const hosts = [virtualHost(site, files.site, port, changes), virtualHost(site, files.mount, mountPort, changes)]
    return configureApache(site, [port, mountPort], hosts.join('\n'))
  })
}

/** Apache on these ports of 127.0.0.1 with this text in its configuration. @param more modules, besides the usual ones */
export function configureApache(
  { folder }: Pick<Site, 'folder'>,
  ports: readonly number[],
  text: string,
  more: readonly string[] = [],
): Launch {
  const logFile = join(folder, 'apache-error.log')
  writeFileSync(join(folder, 'apache.conf'), `${mainConfiguration(folder, logFile, ports, more)}\n${text}`)
  return { command: program as string, args: ['-DFOREGROUND', '-d', folder, '-f', 'apache.conf'], logFile }
}

function virtualHost(site: Site, file: string, port: number, changes: Record<string, string>): string {
  const overTcp = { 'unix:/run/mysite/site.sock|fcgi://localhost/': `fcgi://127.0.0.1:${site.port}/` }
  const backend = site.port === undefined ? { '/run/mysite/site.sock': site.socket } : overTcp
  return shipped(file, {
    ...(file.includes('fcgid') ? {} : backend),
    ...changes,
    '/srv/mysite': site.folder,
    '*:80': `127.0.0.1:${port}`,
  })
}

/** What the shipped configurations need, and what is asked about them. */
const MODULES = [
  ...['mpm_event', 'authz_core', 'alias', 'dir', 'mime', 'env', 'setenvif', 'rewrite', 'proxy', 'proxy_fcgi'],
  ...['slotmem_shm', 'proxy_balancer', 'watchdog', 'proxy_hcheck', 'lbmethod_byrequests', 'fcgid', 'unixd'],
]

/** What is around the sites, and keeps everything in `folder`. */
function mainConfiguration(folder: string, logFile: string, ports: readonly number[], more: readonly string[]): string {
  const available = [...MODULES.filter(name => hasModule(`mod_${name}`)), ...more]
  const sockets = writableFolder({ folder }, 'fcgid')
  return `
    ServerRoot "${folder}"
    DefaultRuntimeDir "${folder}"
    PidFile "${folder}/apache.pid"
    ServerName localhost
    ErrorLog "${logFile}"
    LogLevel info
    ${ports.map(port => `Listen 127.0.0.1:${port}`).join('\n')}
    ${available.map(name => `LoadModule ${name}_module ${modules}/mod_${name}.so`).join('\n')}
    ${unprivileged === undefined ? '' : `User ${unprivileged.name}\nGroup ${unprivileged.name}`}
    TypesConfig /dev/null
    AddType text/plain .txt
    StartServers 1
    ServerLimit 2
    ThreadsPerChild 64
    MaxRequestWorkers 128
    <Directory "/">
      Require all denied
    </Directory>
    <IfModule fcgid_module>
      FcgidIPCDir "${sockets}"
      FcgidProcessTableFile "${sockets}/table"
    </IfModule>
    `
}
