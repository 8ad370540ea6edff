/**
 * Installs the web servers that test/e2e proves runfcgi against, where that is possible: as root, with apt. Run by
 * `npm test` before the tests. Silent when nothing is missing. It never fails the run: what could not be installed is
 * named loudly, and its tests report themselves as skipped.
 *
 * Debian starts a service as soon as its package is installed, and at every boot. Neither is wanted for a test: a
 * policy-rc.d that refuses is in place while apt works, and the units of packages installed here are disabled.
 */

import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'

/** `proof`: any of these files shows that it is there. `extra`: nice to have, not one of the servers promised. */
const servers = [
  { name: 'nginx', packages: ['nginx'], proof: ['nginx'] },
  { name: 'Apache', packages: ['apache2'], proof: ['apache2', 'httpd'] },
  {
    name: 'Apache mod_fcgid',
    packages: ['libapache2-mod-fcgid'],
    proof: ['/usr/lib/apache2/modules/mod_fcgid.so', '/usr/lib64/httpd/modules/mod_fcgid.so'],
  },
  { name: 'lighttpd', packages: ['lighttpd'], proof: ['lighttpd'] },
  { name: 'HAProxy', packages: ['haproxy'], proof: ['haproxy'], extra: true },
  { name: 'Caddy', packages: ['caddy'], proof: ['caddy'], extra: true },
  { name: 'h2o', packages: ['h2o'], proof: ['h2o'], extra: true },
  {
    name: 'Apache mod_xsendfile',
    packages: ['libapache2-mod-xsendfile'],
    proof: ['/usr/lib/apache2/modules/mod_xsendfile.so'],
    extra: true,
  },
  { name: 'logrotate', packages: ['logrotate'], proof: ['logrotate'], extra: true },
  { name: 'spawn-fcgi', packages: ['spawn-fcgi'], proof: ['spawn-fcgi'], extra: true },
  { name: 'systemd-analyze', packages: ['systemd'], proof: ['systemd-analyze'], extra: true },
  { name: 'logrotate', packages: ['logrotate'], proof: ['logrotate'], extra: true },
  { name: 'shellcheck', packages: ['shellcheck'], proof: ['shellcheck'], extra: true },
  { name: 'tini', packages: ['tini'], proof: ['tini'], extra: true },
]

const POLICY = '/usr/sbin/policy-rc.d'
const REFUSE =
  '#!/bin/sh\n# Written by a test run of runfcgi while it installs packages; removed when that is done.\nexit 101\n'

try {
  main()
} catch (error) {
  console.error('The web servers for the tests could not be installed; what is missing will be skipped.', error)
}

function main() {
  const missing = servers.filter(server => !isThere(server))
  if (missing.length === 0) return
  const why = reasonNotToInstall()
  if (why === undefined) withoutStartingServices(() => install(missing))
  report(
    servers.filter(server => !isThere(server)),
    why ?? 'apt could not install it: its output is above',
  )
}

function isThere(server) {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin', '/usr/bin', '/usr/local/bin']
  return server.proof.some(file =>
    file.startsWith('/') ? existsSync(file) : folders.some(folder => folder !== '' && existsSync(`${folder}/${file}`)),
  )
}

function reasonNotToInstall() {
  if (process.platform !== 'linux' || !existsSync('/usr/bin/apt-get')) return 'there is no apt here'
  if (process.getuid?.() !== 0) return 'only root can install it'
  return undefined
}

/** The promised servers in one go; each extra by itself, so that one that does not exist here takes nothing with it. */
function install(missing) {
  if (!haveLists() || !candidatesKnown(missing)) apt('update', '-qq')
  const promised = missing.filter(server => !server.extra)
  const groups = [promised, ...missing.filter(server => server.extra).map(server => [server])]
  for (const group of groups.filter(group => group.length > 0)) {
    console.log(`Installing ${group.map(server => server.name).join(', ')} for the tests ...`)
    const packages = group.flatMap(server => server.packages)
    const before = unitsOf(packages)
    if (!apt('install', '-qq', '--no-install-recommends', '--no-upgrade', ...packages)) continue
    disable(unitsOf(packages).filter(unit => !before.includes(unit)))
  }
}

function haveLists() {
  return readdirSync('/var/lib/apt/lists').some(file => file.includes('_Packages'))
}

function candidatesKnown(missing) {
  return missing
    .filter(server => !server.extra)
    .every(server => server.packages.every(name => run('apt-cache', ['show', name], 'ignore')))
}

function apt(...args) {
  return run('apt-get', ['-o', 'DPkg::Lock::Timeout=120', '-y', ...args], ['ignore', 'pipe', 'pipe'])
}

/** Quiet on success; on failure everything the command said. */
function run(command, args, stdio) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_MODE: 'l' }
  const result = spawnSync(command, args, { stdio, env, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  if (result.status !== 0 && stdio !== 'ignore') {
    console.log(
      `${command} ${args.join(' ')} failed:\n${result.stdout ?? ''}${result.stderr ?? ''}${result.error ?? ''}`,
    )
  }
  return result.status === 0
}

function unitsOf(packages) {
  const folder = '/lib/systemd/system'
  return packages.map(name => `${name}.service`).filter(unit => existsSync(`${folder}/${unit}`))
}

function disable(units) {
  if (units.length > 0 && existsSync('/run/systemd/system')) run('systemctl', ['disable', '--quiet', ...units], 'pipe')
}

function withoutStartingServices(work) {
  const before = policyBefore()
  // All this is synchronous: a signal's listener runs after `finally`, and its presence alone keeps the signal from
  // ending this process earlier. (A Ctrl-C at the terminal also ends apt.)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(130))
  writePolicy(REFUSE, 0o755)
  try {
    work()
  } finally {
    if (before === undefined) rmSync(POLICY, { force: true })
    else writePolicy(before.text, before.mode)
  }
}

/** What is there already, unless it is what a killed run left behind. */
function policyBefore() {
  if (!existsSync(POLICY)) return undefined
  const text = readFileSync(POLICY, 'latin1')
  return text === REFUSE ? undefined : { text, mode: statSync(POLICY).mode & 0o7777 }
}

function writePolicy(text, mode) {
  writeFileSync(POLICY, text, 'latin1')
  chmodSync(POLICY, mode)
}

function report(missing, why) {
  for (const server of missing.filter(server => server.extra)) {
    console.log(`The optional ${server.name} is not installed (${why}): its tests will be skipped.`)
  }
  const promised = missing.filter(server => !server.extra)
  if (promised.length === 0) return
  const line = '!'.repeat(100)
  console.log(`\n${line}`)
  for (const server of promised) {
    console.log(`!!! ${server.name} is not installed (${why}): ALL ITS TESTS WILL BE SKIPPED.`)
    console.log(`!!! On Debian or Ubuntu: apt-get install ${server.packages.join(' ')}`)
  }
  console.log(`${line}\n`)
}
