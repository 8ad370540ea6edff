/**
 * A machine of its own for commands that configure a web server: root, the paths and the ports that Debian has, and nothing
 * of it outside. Namespaces of Linux: a copy of the web server's folder in /etc lies over the real one, /run, /srv and
 * /var/log are empty, the network is a loopback interface, and what still runs at the end ends with it.
 *
 * Two programs are stand-ins. There is no systemd in it: `systemctl` starts and reloads the web servers as their units do.
 * There is no network: `apt-get install` only makes sure that the package is there.
 */

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const UNSHARE = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc']

/** Why there can be no such machine here; undefined: there can. */
export const noDebian: string | undefined =
  spawnSync('unshare', [...UNSHARE, 'ip', 'link', 'set', 'lo', 'up']).status === 0 ? undefined : 'namespaces (as root)'

export interface Typed {
  readonly command: string
  /** What it shows. `curl` is repeated until it does: a reload takes effect a moment after its command. */
  readonly shown: string
}

export interface Said {
  readonly command: string
  readonly output: string
  readonly code: number
}

/** A start is over when the web server serves: a signal for its reload that comes before may end it. HAProxy has no site yet. */
const SYSTEMCTL = `#!/bin/sh
set -e
did="$*"
case "$2" in
nginx) case "$1" in start) nginx ;; reload) nginx -s reload 2> /dev/null ;; esac ;;
apache2) case "$1" in start) apachectl start ;; reload) apachectl graceful 2> /dev/null ;; esac ;;
lighttpd) case "$1" in start) lighttpd -f /etc/lighttpd/lighttpd.conf ;; reload) kill -USR1 "$(cat /run/lighttpd.pid)" ;; esac ;;
caddy) case "$1" in start) caddy start --config /etc/caddy/Caddyfile --adapter caddyfile > /run/caddy.log 2>&1 ;; reload) caddy reload --config /etc/caddy/Caddyfile --adapter caddyfile > /run/caddy.log 2>&1 ;; esac ;;
haproxy) . /etc/default/haproxy
  set -- -f /etc/haproxy/haproxy.cfg $EXTRAOPTS -p /run/haproxy.pid
  [ ! -e /run/haproxy.pid ] || set -- "$@" -sf $(cat /run/haproxy.pid)
  haproxy -D "$@" ;;
h2o) case "$1" in start) h2o -m daemon -c /etc/h2o/h2o.conf ;; reload) kill -HUP "$(cat /run/h2o.pid)" ;; esac ;;
*) exit 1 ;;
esac
case "$did" in 'start haproxy' | reload*) exit ;; esac
for _ in $(seq 600); do ! curl --silent --output /dev/null http://127.0.0.1/ || exit 0; sleep 0.1; done
exit 1
`

const APT_GET = `#!/bin/sh
for package; do :; done
dpkg --status "$package" > /dev/null
`

/** For all commands together, in milliseconds. */
const LIMIT = 240_000

/** What is in the folders that begin empty, because packages and their units put it there. */
const RUN = ['apache2', 'lock/apache2', 'lighttpd', 'haproxy', 'h2o']
const LOG = ['nginx', 'apache2', 'lighttpd', 'h2o', 'caddy']

/** Starts the web server as it was installed, and types the commands in a folder with these files. */
export async function inDebian(
  server: string,
  files: Readonly<Record<string, string>>,
  typed: readonly Typed[],
): Promise<Said[]> {
  const scratch = mkdtempSync(join(tmpdir(), 'runfcgi-debian-'))
  try {
    prepare(scratch, server, files, typed)
    const machine = spawn('unshare', [...UNSHARE, 'sh', join(scratch, 'machine')], {
      env: {
        PATH: [join(scratch, 'bin'), dirname(process.execPath), '/usr/sbin:/usr/bin:/sbin:/bin'].join(':'),
        HOME: '/root',
      },
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: LIMIT,
      killSignal: 'SIGKILL',
    })
    let trouble = ''
    machine.stderr.setEncoding('utf8').on('data', text => {
      trouble += text
    })
    const [code] = await once(machine, 'close')
    if (code !== 0) throw new Error(`the machine for ${server} ended with ${code}: ${trouble}`)
    return typed.map(({ command }, index) => ({
      command,
      output: readFileSync(join(scratch, `${index}.out`), 'utf8'),
      code: Number(readFileSync(join(scratch, `${index}.code`), 'utf8')),
    }))
  } finally {
    // What ran in there may still be ending.
    rmSync(scratch, { recursive: true, force: true, maxRetries: 10 })
  }
}

function prepare(
  scratch: string,
  server: string,
  files: Readonly<Record<string, string>>,
  typed: readonly Typed[],
): void {
  chmodSync(scratch, 0o755)
  for (const folder of [...RUN.map(name => `run/${name}`), ...LOG.map(name => `log/${name}`), 'bin', 'srv/mysite']) {
    mkdirSync(join(scratch, folder), { recursive: true, mode: 0o755 })
  }
  cpSync(join('/etc', server), join(scratch, 'etc'), { recursive: true, verbatimSymlinks: true })
  for (const [name, content] of Object.entries(files)) writeFileSync(join(scratch, 'srv/mysite', name), content)
  symlinkSync(join(root, 'bin/runfcgi.js'), join(scratch, 'bin/runfcgi'))
  for (const [name, text] of [
    ['systemctl', SYSTEMCTL],
    ['apt-get', APT_GET],
  ] as const) {
    writeFileSync(join(scratch, 'bin', name), text, { mode: 0o755 })
  }
  for (const [index, { command, shown }] of typed.entries()) {
    writeFileSync(join(scratch, `${index}.sh`), command)
    writeFileSync(join(scratch, `${index}.shown`), shown)
  }
  writeFileSync(join(scratch, 'machine'), script(scratch, server, typed))
}

const script = (scratch: string, server: string, typed: readonly Typed[]): string => `set -e
ip link set lo up
mount --bind ${scratch}/etc /etc/${server}
mount --bind ${scratch}/run /run
mount --bind ${scratch}/log /var/log
mount --bind ${scratch}/srv /srv
[ ! -e /etc/default/${server} ] || { cp /etc/default/${server} ${scratch}/default; mount --bind ${scratch}/default /etc/default/${server}; }
for owned in www-data:lighttpd debian-h2o:h2o caddy:caddy; do chown \${owned%:*} /var/log/\${owned#*:} 2> /dev/null || true; done
cd /srv/mysite
systemctl start ${server} > ${scratch}/start.log 2>&1 || { cat ${scratch}/start.log >&2; exit 1; }
type_it() { code=0; sh ${scratch}/$1.sh > ${scratch}/$1.out 2>&1 < /dev/null || code=$?; echo $code > ${scratch}/$1.code; }
${typed.map(({ command }, index) => (command.startsWith('curl') ? repeated(scratch, index) : `type_it ${index}`)).join('\n')}
`

const repeated = (scratch: string, index: number): string =>
  `for _ in $(seq 600); do type_it ${index}; ! cmp -s ${scratch}/${index}.out ${scratch}/${index}.shown || break; sleep 0.1; done`
