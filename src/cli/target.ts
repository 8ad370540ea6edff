/**
 * The daemon that the settings of a command name: asked through its control socket, or, where that is gone, found by its
 * pidfile and told by signals.
 */

import { setTimeout as delay } from 'node:timers/promises'
import { UsageError } from '../config/errors.ts'
import type { Resolved } from '../config/resolve.ts'
import { callControl } from '../process/control-client.ts'
import { type ControlRequest, PING, type Pong } from '../process/control-messages.ts'
import { DaemonError } from '../process/daemon-error.ts'
import { isGone } from '../process/identity.ts'
import { examinePidfile } from '../process/pidfile.ts'
import { CommandError } from './errors.ts'
import { controlPath } from './place.ts'

export interface Target {
  readonly control: string
  readonly pidfile: string | undefined
  /** For messages: `pidfile /tmp/site.pid`. */
  readonly name: string
}

/** A daemon that lives. */
export interface Found {
  readonly pid: number
  /** Its control socket answers; else it hears signals only. */
  readonly answers: boolean
}

/** @throws UsageError if the settings name none */
export function targetOf({ config }: Resolved): Target {
  const control = controlPath(config)
  if (control === undefined) {
    throw new UsageError('which server? say pidfile=PATH or control=PATH, as when it was started')
  }
  const { pidfile } = config
  return { control, pidfile, name: pidfile === undefined ? `control socket ${control}` : `pidfile ${pidfile}` }
}

/** Undefined if it does not run. @throws CommandError if there is one and it does not answer, DaemonError */
export async function find({ control, pidfile }: Target): Promise<Found | undefined> {
  try {
    const { pid } = (await callControl(control, { command: PING })) as Pong
    return { pid, answers: true }
  } catch (error) {
    if (!(error instanceof DaemonError) || !['unreachable', 'ended'].includes(error.code)) throw error
  }
  const state = pidfile === undefined ? undefined : examinePidfile(pidfile)
  return state?.kind === 'held' ? { pid: state.pid, answers: false } : undefined
}

/** @throws CommandError if it does not run */
export async function findRunning(target: Target): Promise<Found> {
  const found = await find(target)
  if (found === undefined) throw new CommandError(`not running (${target.name})${whyStale(target)}`)
  return found
}

function whyStale({ pidfile }: Target): string {
  const state = pidfile === undefined ? undefined : examinePidfile(pidfile)
  return state?.kind === 'stale' ? `: the file is left over, ${state.why}` : ''
}

/** Asks it, with what it tells meanwhile. @throws CommandError with its own words; DaemonError if it has ended */
export async function ask(
  { control }: Target,
  { pid }: Found,
  request: ControlRequest,
  onProgress?: (text: string) => void,
): Promise<unknown> {
  try {
    return await callControl(control, request, { onProgress })
  } catch (error) {
    if (!(error instanceof DaemonError)) throw error
    if (error.code === 'refused')
      throw new CommandError(`${request.command} of process ${pid} failed: ${error.message}`)
    const message = `process ${pid} ${error.message}`
    throw error.code === 'no-answer' ? new CommandError(message) : new DaemonError(error.code, message)
  }
}

/** @throws CommandError if it is another user's, or has just ended */
export function signal({ pid }: Found, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why = code === 'EPERM' ? 'it belongs to another user' : String(code)
    throw new CommandError(`cannot send ${name} to process ${pid}: ${why}`)
  }
}

/** How often a process is looked at that is about to end, in milliseconds. */
const LOOK_MS = 20

/** Waits until the process is gone; `onWait` is called with each look. */
export async function untilGone(pid: number, onWait: () => void = () => {}): Promise<void> {
  while (!isGone(pid)) {
    onWait()
    await delay(LOOK_MS)
  }
}
