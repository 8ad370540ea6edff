/**
 * Upgrade in place (DESIGN §9): the program that is now on disk is started with the listening sockets of this process, and
 * becomes ready while this one goes on serving. If it does not, it is ended and nothing has happened. If it does, the caller
 * stops: no connection is refused at any moment, since the sockets never close.
 */

import { spawn } from 'node:child_process'
import { Handover } from './handover.ts'
import {
  commandLine,
  type HandedDown,
  type Outcome,
  readOutcome,
  STARTER_FD,
  STARTER_VARIABLE,
  type StarterData,
} from './starter.ts'

export interface SuccessorOptions {
  /** The directory where the command was typed: its arguments count from there. */
  readonly cwd: string
  readonly detached: boolean
  readonly sockets: readonly HandedDown[]
  /** What it finds in its environment, beside what is in that of this process. */
  readonly env: Readonly<Record<string, string>>
  /** Milliseconds that it may take. */
  readonly patience: number
  /** Called with the process id as soon as there is one, so that it can be ended with its predecessor. */
  onStart(pid: number): void
}

/** A process that was started to succeed this one. */
export interface Successor {
  readonly outcome: Outcome
  /** Where open connections are left to it. */
  readonly handover: Handover
}

/** Starts the successor and waits for it. It is gone again if it is not ready. @throws Error if it cannot be started */
export async function startSuccessor(options: SuccessorOptions): Promise<Successor> {
  const { cwd, detached, sockets, env, patience, onStart } = options
  const data: StarterData = {
    kind: 'upgrade',
    detached,
    sockets: sockets.map((socket, at) => ({ ...socket, fd: STARTER_FD + 1 + at })),
  }
  const child = spawn(process.execPath, [...commandLine], {
    cwd,
    // A signal for the process group of this one is not meant for it.
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit', 'pipe', ...sockets.map(({ fd }) => fd), 'ipc'],
    env: { ...process.env, ...env, [STARTER_VARIABLE]: JSON.stringify(data) },
  })
  const failure = new Promise<never>((_, reject) => child.once('error', reject))
  if (child.pid === undefined) return failure
  onStart(child.pid)
  const handover = new Handover(child)
  const timer = setTimeout(() => child.kill('SIGKILL'), patience)
  try {
    const pipe = child.stdio[STARTER_FD] as NodeJS.ReadableStream & AsyncIterable<Buffer>
    return { outcome: await Promise.race([failure, readOutcome(pipe, () => {})]), handover }
  } finally {
    clearTimeout(timer)
    child.unref()
  }
}
