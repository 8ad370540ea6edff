/** The web servers that share requests out among several machines, with the configurations of deploy/scale-out. */

import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { apacheProxy, configureApache } from '../../support/apache.ts'
import { haproxy } from '../../support/haproxy.ts'
import { configureLighttpd, lighttpd } from '../../support/lighttpd.ts'
import { mainConfiguration, nginx } from '../../support/nginx.ts'
import type { Site } from '../../support/site.ts'
import { unprivileged } from '../../support/unprivileged.ts'
import { findProgram, type Launch, shipped } from '../../support/web-server.ts'
import type { Machine } from './machine.ts'

export interface FrontEnd {
  readonly name: string
  readonly missing: string | undefined
  /** It fails a request to find out that a host is not there: it is to be told before. */
  readonly mustBeTold?: true
  /** A GET whose connection to a host breaks goes to another one. */
  readonly asksAgain?: true
  /** What each runfcgi is told, so that this front end finds out beforehand that a host will stop. */
  readonly settings?: readonly string[]
  /** What makes it read its configuration again and go on with it; undefined where that fails requests that are under way. */
  readonly reload?: NodeJS.Signals
  /** Where there is no `reload`: puts a host in, or takes it out. */
  tell?(site: Site, machine: Machine, use: boolean): Promise<void>
  /** Writes the configuration for these hosts. Those that are not in the list are not in the configuration. */
  configure(site: Site, port: number, hosts: readonly Machine[], changes?: Changes): Launch
}

type Changes = Readonly<Record<string, string>>

const NAMES = { '10.0.0.11': 'one', '10.0.0.12': 'two', '10.0.0.13': 'three' } as const

/** A shipped configuration for these hosts; `entry` matches what it says of one of them, around the address. */
function forHosts(file: string, hosts: readonly Machine[], entry: readonly [RegExp, RegExp], changes: Changes): string {
  let text = shipped(`scale-out/${file}`, changes)
  for (const [address, name] of Object.entries(NAMES)) {
    const host = hosts.find(one => one.name === name)
    const [before, after] = entry
    const whole = new RegExp(`${before.source}${address.replaceAll('.', '\\.')}${after.source}`, 'gm')
    if (!whole.test(text)) throw new Error(`${file} does not mention ${address}`)
    text = host === undefined ? text.replaceAll(whole, '') : text.replaceAll(address, host.host.address)
  }
  return text
}

const LINE = [/^ *\S.* .*/, /.*\n/] as const

/** Two lines in brackets. */
const BRACKETS = [/^ *\( "host" => "/, /.*\n.*\),?\n/] as const

/** A reload of HAProxy aborts what is under way to FastCGI servers (haproxy-limit.test.ts); its admin socket does not. */
async function tellHaproxy({ folder }: Site, { name, host }: Machine, use: boolean): Promise<void> {
  const server = `mysite/${name}`
  const check = 'proto fcgi check inter 1s fastinter 200ms downinter 500ms fall 2 rise 1'
  const said = await say(folder, `set server ${server} state ${use ? 'ready' : 'drain'}`)
  if (!said.includes('No such server')) return
  await say(folder, `add server ${server} ${host.address}:9000 ${check}`)
  for (const what of ['health', 'server']) await say(folder, `enable ${what} ${server}`)
}

async function say(folder: string, command: string): Promise<string> {
  const admin = connect(join(folder, 'admin.sock'))
  admin.end(`${command}\n`)
  let said = ''
  for await (const piece of admin.setEncoding('utf8')) said += piece
  return said
}

/** A host that answers nothing is given up after three seconds instead of sixty, for a test that has not got a minute. */
export const FRONT_ENDS: readonly FrontEnd[] = [
  {
    name: 'nginx',
    missing: nginx.missing,
    asksAgain: true,
    reload: 'SIGHUP',
    configure({ folder }, port, hosts) {
      const changes = { 'listen 80;': `listen 127.0.0.1:${port};`, 'read_timeout 60s': 'read_timeout 3s' }
      const params = { 'include fastcgi_params;': 'include /etc/nginx/fastcgi_params;' }
      const logFile = join(folder, 'nginx-error.log')
      const site = forHosts('nginx.conf', hosts, LINE, { ...changes, ...params })
      writeFileSync(join(folder, 'nginx.conf'), mainConfiguration(folder, logFile, site))
      const args = ['-p', folder, '-c', 'nginx.conf', '-e', logFile]
      return { command: findProgram('nginx') as string, args, logFile }
    },
  },
  {
    name: 'HAProxy',
    missing: haproxy.missing,
    settings: ['lame-duck=5'],
    tell: tellHaproxy,
    configure({ folder }, port, hosts, more = {}) {
      const changes = { '*:80': `127.0.0.1:${port}`, 'timeout server 60s': 'timeout server 3s', ...more }
      writeFileSync(
        join(folder, 'haproxy.cfg'),
        `global
          log stdout format raw local0
          stats socket ${folder}/admin.sock level admin expose-fd listeners
          ${unprivileged === undefined ? '' : `user ${unprivileged.name}`}
        ${forHosts('haproxy.cfg', hosts, LINE, changes)}`,
      )
      const args = ['-W', '-db', '-f', join(folder, 'haproxy.cfg')]
      return { command: findProgram('haproxy') as string, args, logFile: join(folder, 'none.log') }
    },
  },
  {
    name: 'lighttpd',
    missing: lighttpd.missing,
    reload: 'SIGUSR1',
    configure(site, port, hosts) {
      const changes = { '"read-timeout" => 60': '"read-timeout" => 3' }
      return configureLighttpd(site, port, forHosts('lighttpd.conf', hosts, BRACKETS, changes))
    },
  },
  {
    name: 'Apache',
    missing: apacheProxy.missing,
    mustBeTold: true,
    reload: 'SIGUSR1',
    configure(site, port, hosts) {
      const changes = { '*:80': `127.0.0.1:${port}`, 'timeout=60': 'timeout=3' }
      return configureApache(site, [port], forHosts('apache.conf', hosts, LINE, changes))
    },
  },
]
