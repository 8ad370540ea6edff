/**
 * Real programs as children of a test: started in a process group of their own, stopped by id (TERM, then KILL for the
 * whole group), and never left behind, also when the test run is interrupted.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Account } from './unprivileged.ts'
import { LIMIT_MS, until } from './until.ts'

export interface StartOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  /** Run it under this account instead of root's. */
  readonly account?: Account
  /** Resolves to true as soon as the program serves. Called again and again until then. */
  readonly ready: () => Promise<boolean>
}

export interface RunningProgram {
  readonly pid: number
  /** Everything written to standard output and error so far. */
  output(): string
  stop(): Promise<void>
}

const running = new Set<ChildProcess>()

/** The program, once it is ready. Rejects with its output if it ends before. */
export async function startProgram(command: string, args: string[], options: StartOptions): Promise<RunningProgram> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    ...(options.account && { uid: options.account.uid, gid: options.account.gid }),
  })
  running.add(child)
  guardExit()
  const output = collectOutput(child)
  const ended = once(child, 'close').finally(() => running.delete(child))
  const stop = async () => {
    await stopChild(child)
    await ended
  }
  try {
    await until(`${command} is ready`, async () => hasEnded(child) || (await options.ready()))
    if (hasEnded(child)) throw new Error('it ended')
  } catch (error) {
    await stop()
    throw new Error(`${command} ${args.join(' ')} did not start:\n${output()}`, { cause: error })
  }
  return { pid: child.pid as number, output, stop }
}

function collectOutput(child: ChildProcess): () => string {
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
  }
  child.on('error', error => {
    text += error.message
  })
  return () => text
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null || child.pid === undefined
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (!hasEnded(child)) {
    child.kill('SIGTERM')
    const timer = setTimeout(() => killGroup(child), LIMIT_MS)
    await once(child, 'exit')
    clearTimeout(timer)
  }
  killGroup(child)
}

/** Whoever is left of the group: workers that outlived their master. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch (error) {
    // ESRCH is the normal case: nobody is left.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

let guarded = false

function guardExit(): void {
  if (guarded) return
  guarded = true
  process.on('exit', () => running.forEach(killGroup))
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))
}
