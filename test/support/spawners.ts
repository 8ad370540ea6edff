/**
 * Whatever starts a FastCGI program by itself, with the listening socket on descriptor 0, and one program for it: a script
 * that notes its process id and becomes runfcgi.
 */

import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { probe } from '../../src/front/probe.ts'
import { startProgram } from './child-process.ts'
import { fetchWhole } from './http-client.ts'
import { accepts, freePorts } from './ports.ts'
import { install } from './runfcgi.ts'
import { unprivileged } from './unprivileged.ts'
import { findProgram } from './web-server.ts'

export interface Spawned {
  /** The body that the application answers with. */
  ask(path?: string): Promise<string>
  /** Process ids of the programs that have been started, in order. */
  pids(): number[]
  /** What the programs have logged. */
  log(): string
  /** The process that has started them. */
  readonly starter: number
  stop(): Promise<void>
}

export interface Spawner {
  readonly name: string
  readonly missing: string | undefined
  /** It is gone by itself when the program runs. */
  readonly leaves?: boolean
  /** Which process of it to kill; its first one if left out. */
  readonly victim?: (spawned: Spawned) => number
  start(folder: string, settings: readonly string[]): Promise<Spawned>
}

/** A folder of the site that every account can use, with the program in it. */
function writeProgram(folder: string, settings: readonly string[]): string {
  chmodSync(folder, 0o777)
  install(folder)
  const program = join(folder, 'mysite.fcgi')
  const words = [process.execPath, join(folder, 'node_modules/.bin/runfcgi'), `${folder}/app.js`, ...settings]
  writeFileSync(
    program,
    `#!/bin/sh\necho $$ >> ${folder}/pids\nexec ${words.join(' ')} errlog=${folder}/log log-level=debug\n`,
  )
  chmodSync(program, 0o755)
  return program
}

const read = (file: string): string => (existsSync(file) ? readFileSync(file, 'utf8') : '')

function observe(folder: string, starter: number, ask: Spawned['ask'], stop: Spawned['stop']): Spawned {
  return {
    ask,
    starter,
    stop,
    pids: () => read(join(folder, 'pids')).split('\n').filter(Boolean).map(Number),
    log: () => read(join(folder, 'log')),
  }
}

const askSocket =
  (path: string) =>
  async (uri = '/'): Promise<string> =>
    (await probe({ target: { kind: 'unix', path }, path: uri })).body.toString()

const askPort =
  (port: number) =>
  async (uri = '/'): Promise<string> =>
    (await fetchWhole(port, uri)).body.toString()

const lighttpdProgram = findProgram('lighttpd')

export const lighttpd: Spawner = {
  name: 'lighttpd',
  missing: lighttpdProgram === undefined ? 'lighttpd' : undefined,
  async start(folder, settings) {
    const script = writeProgram(folder, settings)
    const [port = 0] = await freePorts(1)
    writeFileSync(
      join(folder, 'lighttpd.conf'),
      `server.document-root = "${folder}"
       server.bind = "127.0.0.1"
       server.port = ${port}
       server.modules = ( "mod_fastcgi" )
       fastcgi.server = ( "/" => (( "bin-path" => "${script}", "socket" => "${folder}/own.sock", "max-procs" => 1,
         "check-local" => "disable", "fix-root-scriptname" => "enable", "disable-time" => 1 )))`,
    )
    const args = ['-D', '-f', join(folder, 'lighttpd.conf')]
    const { pid, stop } = await startProgram(lighttpdProgram as string, args, { ready: () => accepts(port) })
    return observe(folder, pid, askPort(port), stop)
  },
}

const apacheProgram = findProgram('apache2', 'httpd')
const modules = ['/usr/lib/apache2/modules', '/usr/lib64/httpd/modules'].find(path =>
  existsSync(`${path}/mod_fcgid.so`),
)

export const modFcgid: Spawner = {
  name: 'Apache mod_fcgid',
  missing: apacheProgram === undefined || modules === undefined ? 'Apache with mod_fcgid' : undefined,
  // Apache's own children live on when it is killed, and serve: it is its process manager that starts programs.
  victim: spawned => stateOf(spawned.pids().at(-1) as number).parent,
  async start(folder, settings) {
    const script = writeProgram(folder, settings)
    const [port = 0] = await freePorts(1)
    mkdirSync(join(folder, 'ipc'))
    if (unprivileged !== undefined) chownSync(join(folder, 'ipc'), unprivileged.uid, unprivileged.gid)
    const load = ['mpm_event', 'authz_core', 'alias', 'fcgid'].map(
      name => `LoadModule ${name}_module ${modules}/mod_${name}.so`,
    )
    writeFileSync(
      join(folder, 'apache.conf'),
      `${load.join('\n')}
       ServerRoot "${folder}"
       DefaultRuntimeDir "${folder}"
       PidFile "${folder}/apache.pid"
       ServerName localhost
       Listen 127.0.0.1:${port}
       ErrorLog "${folder}/apache.log"
       ${unprivileged === undefined ? '' : `User ${unprivileged.name}\nGroup ${unprivileged.name}`}
       FcgidIPCDir "${folder}/ipc"
       FcgidProcessTableFile "${folder}/ipc/table"
       FcgidMaxProcessesPerClass 1
       Alias "/" "${script}/"
       <Directory "${folder}">
         Require all granted
         Options +ExecCGI
         SetHandler fcgid-script
       </Directory>`,
    )
    const args = ['-DFOREGROUND', '-f', join(folder, 'apache.conf')]
    const { pid, stop } = await startProgram(apacheProgram as string, args, { ready: () => accepts(port) })
    return observe(folder, pid, askPort(port), stop)
  },
}

/** As /proc/<pid>/stat has it. @throws Error ENOENT when there is no such process */
export function stateOf(pid: number): { state: string; parent: number } {
  const [state = '', parent] = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return { state, parent: Number(parent) }
}

const spawnFcgiProgram = findProgram('spawn-fcgi')

export const spawnFcgi: Spawner = {
  name: 'spawn-fcgi',
  missing: spawnFcgiProgram === undefined ? 'spawn-fcgi' : undefined,
  leaves: true,
  async start(folder, settings) {
    const script = writeProgram(folder, settings)
    const socket = join(folder, 'own.sock')
    const note = join(folder, 'spawn.pid')
    const { pid } = await startProgram(
      '/bin/sh',
      ['-c', `"$0" -s ${socket} -P ${note} -- ${script}; exec cat`, spawnFcgiProgram as string],
      {
        ready: () => accepts(socket),
      },
    )
    return observe(folder, pid, askSocket(socket), async () => {
      for (const pid of read(note).split('\n').filter(Boolean)) process.kill(Number(pid), 'SIGTERM')
    })
  },
}

export const modFastcgi: Spawner = {
  name: 'the way of mod_fastcgi',
  missing: findProgram('python3') === undefined ? 'python3' : undefined,
  async start(folder, settings) {
    const script = writeProgram(folder, settings)
    const socket = join(folder, 'own.sock')
    const program = fileURLToPath(new URL('./programs/start-like-mod-fastcgi.py', import.meta.url))
    const { pid, stop } = await startProgram('python3', [program, socket, script], { ready: () => accepts(socket) })
    return observe(folder, pid, askSocket(socket), stop)
  },
}
