/**
 * What systemd is told about this process: sd_notify(3), which is a datagram to the Unix socket that NOTIFY_SOCKET names.
 * Without that variable nothing is done.
 *
 * Node has no Unix datagram sockets, and the packages that have are native code that a host must be able to compile. Two
 * ways are left:
 *
 * - the program `systemd-notify`, there wherever systemd is, also for abstract names. It is not the main process, hence
 *   `NotifyAccess=all` in the unit. It takes some 10 ms of CPU in another process, a few times a minute. Not `--no-block`:
 *   then it would be gone before systemd, which looks the sender up by its id, has read what it said.
 * - a connected datagram socket, handed down under the name `notify`, on which Node can write: `OpenFile=` of systemd 253
 *   and newer does that. No process is needed, and `NotifyAccess=main` will do.
 *
 * What cannot be said is one line in the log, and no reason to end.
 */

import { execFile } from 'node:child_process'
import { write } from 'node:fs'
import { promisify } from 'node:util'
import type { Log } from '../../log.ts'
import { errnoOf, messageOf } from '../../server/thrown.ts'

export interface Notifier {
  /** It serves. `status` is one line for `systemctl status`. */
  ready(status: string): void
  /** A reload begins, and is over: `failure` is the reason if nothing has changed. */
  reloading(): void
  reloaded(failure?: string): void
  /** `status` as above. */
  stopping(status: string): void
  /** Feeds the watchdog, if the unit has one, for as long as `healthy` says so. `status`: what is told with it. */
  watch(healthy: () => boolean, status: () => string): void
  /** Another process is the main one from now on. Resolves when this has been told: before that this one must not end. */
  succeededBy(pid: number): Promise<void>
  /** Resolves when all that was said so far has been told, or could not be: a process that ends before takes it along. */
  told(): Promise<void>
  /** What that process is to find in its environment. */
  readonly successor: Readonly<Record<string, string>>
}

type Send = (message: string) => Promise<void>

const VARIABLES = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'] as const

/** How often health is looked at, in milliseconds, if the watchdog does not want it more often. */
const LOOK_MS = 1_000

/** systemd-notify itself gives up after 5 seconds. */
const PATIENCE_MS = 10_000

/**
 * Takes the variables out of `env`: neither workers nor what the application starts may speak for this process.
 * `descriptor` is a datagram socket that is connected to the service manager.
 */
export function notifier(env: NodeJS.ProcessEnv, log: Log, descriptor?: number): Notifier {
  const [socket, usec = '0', pid] = VARIABLES.map(name => env[name])
  for (const name of VARIABLES) delete env[name]
  if (socket === undefined || socket === '') return SILENT
  const meantForUs = pid === undefined || Number(pid) === process.pid
  const send = descriptor === undefined ? byProgram(socket, env.PATH) : byDescriptor(descriptor)
  return new SystemdNotifier(send, log, { socket, watchdogUsec: meantForUs ? Number(usec) : 0 })
}

const SILENT: Notifier = {
  ready() {},
  reloading() {},
  reloaded() {},
  stopping() {},
  watch() {},
  succeededBy: async () => {},
  told: async () => {},
  successor: {},
}

function byProgram(socket: string, path = ''): Send {
  const run = promisify(execFile)
  const env = { NOTIFY_SOCKET: socket, PATH: `${path}:/usr/bin:/bin` }
  return async message => void (await run('systemd-notify', message.split('\n'), { env, timeout: PATIENCE_MS }))
}

/** In the thread pool: a service manager that does not read must not stop the event loop. */
function byDescriptor(fd: number): Send {
  const writeTo = promisify(write)
  return async message => void (await writeTo(fd, Buffer.from(message)))
}

class SystemdNotifier implements Notifier {
  readonly successor: Readonly<Record<string, string>>
  readonly #send: Send
  readonly #log: Log
  readonly #watchdogMs: number
  /** Messages overtake each other in the program, so that each waits for the one before. */
  #sent: Promise<void> = Promise.resolve()
  #sending = 0
  #failed = false
  #succeeded = false

  constructor(send: Send, log: Log, { socket, watchdogUsec }: { socket: string; watchdogUsec: number }) {
    this.#send = send
    this.#log = log
    this.#watchdogMs = watchdogUsec / 1_000
    const watchdog = watchdogUsec > 0 ? { WATCHDOG_USEC: String(watchdogUsec) } : {}
    this.successor = { NOTIFY_SOCKET: socket, ...watchdog }
  }

  ready(status: string): void {
    this.#tell('READY=1', status)
  }

  /** The clock is CLOCK_MONOTONIC, with which systemd tells this reload from the one before (Type=notify-reload). */
  reloading(): void {
    this.#tell(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1_000n}`, 'Reloading')
  }

  reloaded(failure?: string): void {
    this.#tell('READY=1', failure === undefined ? 'Reloaded' : `Reload failed, nothing has changed: ${failure}`)
  }

  stopping(status: string): void {
    this.#tell('STOPPING=1', status)
  }

  async succeededBy(pid: number): Promise<void> {
    this.#succeeded = true
    await this.#tell(`MAINPID=${pid}`, 'Upgraded')
  }

  told(): Promise<void> {
    return this.#sent
  }

  /** Twice in the time that systemd allows, as sd_watchdog_enabled(3) asks for. */
  watch(healthy: () => boolean, status: () => string): void {
    if (!(this.#watchdogMs > 0)) return
    const due = this.#watchdogMs / 2
    let fedAt = Number.NEGATIVE_INFINITY
    const look = (): void => {
      const now = performance.now()
      if (now - fedAt < due || this.#sending > 0 || this.#succeeded || !healthy()) return
      fedAt = now
      this.#tell('WATCHDOG=1', status())
    }
    look()
    setInterval(look, Math.min(LOOK_MS, due / 2)).unref()
  }

  #tell(state: string, status: string): Promise<void> {
    this.#sending++
    this.#sent = this.#sent
      .then(() => this.#send(`${state}\nSTATUS=${status.replaceAll(/\s+/g, ' ')}`))
      .catch(error => this.#fail(error))
      .finally(() => {
        this.#sending--
      })
    return this.#sent
  }

  #fail(error: unknown): void {
    if (this.#failed) return
    this.#failed = true
    const why =
      errnoOf(error) === 'ENOENT' ? 'there is no program systemd-notify' : messageOf(error).trim().replaceAll('\n', ' ')
    this.#log.warn({}, `the service manager cannot be told what this process does: ${why}`)
  }
}
