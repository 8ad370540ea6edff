/**
 * Detaching from the terminal, with an answer (DESIGN §9): the command starts itself again with a pipe; that launcher has
 * daemonize-process start it a third time, in a session of its own, and ends; the daemon says on the pipe that it serves,
 * or why not (starter.ts). The parent of the daemon is then init, and nothing of the terminal is open in it.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { daemonizeProcess } from 'daemonize-process'
import { signalIfAlive } from './identity.ts'
import { commandLine, type Outcome, readOutcome, STARTER_FD, STARTER_VARIABLE, type StarterData } from './starter.ts'

export interface DetachOptions {
  /** Files that standard output and error of the daemon go to; created if need be. */
  readonly out: string
  readonly err: string
}

/** What a signal to the waiting command means for the daemon: it is not wanted any more. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * In the command: starts the daemon from the arguments of this process, and waits until it serves, has failed or has ended.
 * @throws Error with the `code` of the system if a file cannot be opened or no process can be started
 */
export async function detach({ out, err }: DetachOptions): Promise<Outcome> {
  const data: StarterData = { kind: 'detach', detached: true, sockets: [] }
  // Before there is anything that a signal must end.
  const interruption = new Interruption()
  const fds = [out, err].map(file => openSync(file, 'a'))
  const launcher = spawn(process.execPath, [...commandLine], {
    stdio: ['ignore', ...fds, 'pipe'],
    env: { ...process.env, [STARTER_VARIABLE]: JSON.stringify(data) },
  })
  for (const fd of fds) closeSync(fd)
  const failure = new Promise<never>((_, reject) => launcher.once('error', reject))
  // Without a descriptor left there is no pipe and no process, and `error` says so.
  const stdio: ChildProcess['stdio'] | undefined = launcher.stdio
  const pipe = stdio?.[STARTER_FD] as (NodeJS.ReadableStream & AsyncIterable<Buffer>) | undefined
  if (pipe === undefined) return failure
  interruption.launcher = launcher
  // The end of the last one who holds it closes the pipe.
  const outcome = await Promise.race([failure, readOutcome(pipe, pid => interruption.onDaemon(pid))])
  return await interruption.over(outcome)
}

/** A signal ends what was started, however far it has come, and then this process. A second one ends this process at once. */
class Interruption {
  launcher: ChildProcess | undefined
  #daemon = 0
  #by: NodeJS.Signals | undefined
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.#by ??= signal
    if (this.#daemon !== 0) signalIfAlive(this.#daemon, 'SIGTERM')
    // The daemon may have been started without our having heard of it: then it will tell.
    else this.launcher?.kill('SIGTERM')
  }

  constructor() {
    for (const signal of SIGNALS) process.once(signal, this.#onSignal)
  }

  onDaemon(pid: number): void {
    this.#daemon = pid
    if (this.#by !== undefined) signalIfAlive(pid, 'SIGTERM')
  }

  /** Resolves to the outcome, unless a signal has come. */
  async over(outcome: Outcome): Promise<Outcome> {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal)
    if (this.#by === undefined) return outcome
    process.kill(process.pid, this.#by)
    return await new Promise<never>(() => {})
  }
}

/** In the launcher: starts the daemon with the same pipe and files. Ends the process. */
export function letGo(): void {
  closeInherited()
  const [script = '', ...rest] = commandLine
  daemonizeProcess({ script, arguments: rest, stdio: ['ignore', 'inherit', 'inherit', STARTER_FD] })
}

/** O_CLOEXEC, in the octal of /proc (asm-generic/fcntl.h): Node sets it on whatever it opens. */
const CLOSES_BY_ITSELF = 0o2_000_000

/**
 * Whatever else the one who typed the command had open (a lock of flock(1), a pipe of its shell) would stay open for as long
 * as the daemon lives.
 */
function closeInherited(): void {
  if (!existsSync('/proc/self/fdinfo')) return
  for (const fd of readdirSync('/proc/self/fd')
    .map(Number)
    .filter(fd => fd > STARTER_FD)) {
    if (!closesByItself(fd)) closeSync(fd)
  }
}

function closesByItself(fd: number): boolean {
  try {
    const flags = /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1]
    return (Number.parseInt(flags ?? '', 8) & CLOSES_BY_ITSELF) !== 0
  } catch {
    return true // It was the descriptor of the folder, and is closed.
  }
}
