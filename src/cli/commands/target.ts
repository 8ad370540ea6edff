/**
 * The daemon that the settings of a command name: asked through its control socket, or, where that is gone, found by its
 * pidfile and told by signals.
 */

import { setTimeout as delay } from 'node:timers/promises'
import { UsageError } from '../../config/errors.ts'
import type { Resolved } from '../../config/resolve.ts'
import { callControl } from '../../process/daemon/control-client.ts'
import { type ControlRequest, PING, type Pong } from '../../process/daemon/control-messages.ts'
import { DaemonError } from '../../process/daemon/daemon-error.ts'
import { isGone } from '../../process/daemon/identity.ts'
import { examinePidfile } from '../../process/daemon/pidfile.ts'
import { holderOf } from '../../server/sockets/socket-holder.ts'
import { errnoOf } from '../../server/thrown.ts'
import { CommandError } from '../errors.ts'
import { controlPath } from '../serving/place.ts'

export interface Target {
  readonly control: string
  readonly pidfile: string | undefined
  /** For messages: `pidfile /tmp/site.pid`. */
  readonly name: string
  /** How long it may go on when it is to stop, in milliseconds; as far as these settings know. */
  readonly graceMs: number
}

/** A daemon that lives. */
export interface Found {
  readonly pid: number
  /** It answers; its control socket is gone, and it hears signals only; its event loop stands still. */
  readonly hears: 'everything' | 'signals' | 'nothing'
  /** Why it cannot be asked, if it cannot. */
  readonly why: string
}

/** @throws UsageError if the settings name none */
export function targetOf({ config }: Resolved): Target {
  const control = controlPath(config)
  if (control === undefined) {
    throw new UsageError('which server? say pidfile=PATH or control=PATH, as when it was started')
  }
  const { pidfile, lameDuck, gracefulTimeout } = config
  const name = pidfile === undefined ? `control socket ${control}` : `pidfile ${pidfile}`
  return { control, pidfile, name, graceMs: lameDuck + gracefulTimeout }
}

/** Undefined if it does not run. `silenceMs`: how long it may take to answer. @throws DaemonError */
export async function find({ control, pidfile }: Target, silenceMs?: number): Promise<Found | undefined> {
  try {
    const { pid } = (await callControl(control, { command: PING }, { silenceMs })) as Pong
    return { pid, hears: 'everything', why: '' }
  } catch (error) {
    if (!(error instanceof DaemonError) || error.code === 'refused') throw error
    return findSilent(control, pidfile, error)
  }
}

/** It cannot be asked: does it run all the same? */
function findSilent(control: string, pidfile: string | undefined, error: DaemonError): Found | undefined {
  const hears = error.code === 'no-answer' ? 'nothing' : 'signals'
  const why = error.message
  const state = pidfile === undefined ? undefined : examinePidfile(pidfile)
  if (state?.kind === 'held') return { pid: state.pid, hears, why }
  const pid = hears === 'nothing' ? holderOf(control) : undefined
  if (pid !== undefined) return { pid, hears, why }
  if (hears === 'nothing') throw new CommandError(`control socket ${control}: who listens there ${why}`)
  if (/EACCES|EPERM/.test(why)) throw new CommandError(`control socket ${control} belongs to another user (${why})`)
  return undefined
}

/** @throws CommandError if it does not run, or does not hear anything */
export async function findHearing(target: Target): Promise<Found> {
  const found = await findRunning(target)
  if (found.hears === 'nothing') throw deaf(found)
  return found
}

/** @throws CommandError if it does not run */
export async function findRunning(target: Target, silenceMs?: number): Promise<Found> {
  const found = await find(target, silenceMs)
  if (found === undefined) throw new CommandError(`not running (${target.name})${whyStale(target)}`)
  return found
}

function whyStale({ pidfile }: Target): string {
  const state = pidfile === undefined ? undefined : examinePidfile(pidfile)
  return state?.kind === 'stale' ? `: the file is left over, ${state.why}` : ''
}

export const deaf = ({ pid }: Found, todo = ''): CommandError =>
  new CommandError(`process ${pid} does not answer: something keeps its event loop busy${todo}`)

/**
 * Asks it, with what it tells meanwhile.
 * @throws CommandError with its own words, or if it does not answer; DaemonError if it has ended
 */
export async function ask(
  { control }: Target,
  found: Found,
  request: ControlRequest,
  onProgress?: (text: string) => void,
): Promise<unknown> {
  try {
    return await callControl(control, request, { onProgress })
  } catch (error) {
    if (!(error instanceof DaemonError)) throw error
    if (error.code === 'no-answer') throw deaf(found)
    const message = `process ${found.pid}: ${error.message}`
    throw error.code === 'refused' ? new CommandError(message) : new DaemonError('ended', message)
  }
}

/** @throws CommandError if it is another user's, or has just ended */
export function signal({ pid }: Found, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    const code = errnoOf(error)
    const why = code === 'EPERM' ? 'it belongs to another user' : code
    throw new CommandError(`cannot send ${name} to process ${pid}: ${why}`)
  }
}

/** How often a process is looked at that is about to end, in milliseconds. */
const LOOK_MS = 20

/** Waits up to `ms` milliseconds until the process is gone; `onWait` is called with each look. False: it is still there. */
export async function untilGone(pid: number, ms: number, onWait: () => void = () => {}): Promise<boolean> {
  const end = performance.now() + ms
  while (!isGone(pid)) {
    if (performance.now() > end) return false
    onWait()
    await delay(LOOK_MS)
  }
  return true
}
