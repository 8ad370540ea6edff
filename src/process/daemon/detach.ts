/**
 * Detaching from the terminal, with an answer (DESIGN §9): the command starts itself again with a pipe; that launcher has
 * daemonize-process start it a third time, in a session of its own, and ends; the daemon says on the pipe that it serves,
 * or why not (starter.ts). The parent of the daemon is then init, and nothing of the terminal is open in it.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { daemonizeProcess } from 'daemonize-process'
import { type Outcome, readOutcome, STARTER_FD, STARTER_VARIABLE, type StarterData } from './starter.ts'

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
  const fds = [out, err].map(file => openSync(file, 'a'))
  const launcher = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    stdio: ['ignore', ...fds, 'pipe'],
    env: { ...process.env, [STARTER_VARIABLE]: JSON.stringify(data) },
  })
  for (const fd of fds) closeSync(fd)
  const failure = new Promise<never>((_, reject) => launcher.once('error', reject))
  // Without a descriptor left there is no pipe and no process, and `error` says so.
  const stdio: ChildProcess['stdio'] | undefined = launcher.stdio
  const pipe = stdio?.[STARTER_FD] as (NodeJS.ReadableStream & AsyncIterable<Buffer>) | undefined
  return pipe === undefined ? failure : Promise.race([failure, waitFor(pipe)])
}

async function waitFor(pipe: AsyncIterable<Buffer>): Promise<Outcome> {
  let daemon = 0
  const giveUp = (signal: NodeJS.Signals): void => {
    if (daemon !== 0) process.kill(daemon, 'SIGTERM')
    // The daemon's end closes the pipe; without a daemon there is nobody to wait for.
    else process.kill(process.pid, signal)
  }
  for (const signal of SIGNALS) process.once(signal, giveUp)
  try {
    return await readOutcome(pipe, pid => {
      daemon = pid
    })
  } finally {
    for (const signal of SIGNALS) process.off(signal, giveUp)
  }
}

/** In the launcher: starts the daemon with the same pipe and files. Ends the process. */
export function letGo(): void {
  closeInherited()
  const [script = '', ...rest] = [...process.execArgv, ...process.argv.slice(1)]
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
