/** A place that is taken (place.ts): who may have it, and what is written there when. */

import { setTimeout as delay } from 'node:timers/promises'
import type { Resolved } from '../../config/resolve.ts'
import type { ServerLog } from '../../log.ts'
import { type Control, openControl, whoHolds } from '../../process/daemon/control.ts'
import { DaemonError } from '../../process/daemon/daemon-error.ts'
import {
  examinePidfile,
  type Pidfile,
  refuseIfHeld,
  removeLeftover,
  writePidfile,
} from '../../process/daemon/pidfile.ts'
import { starter } from '../../process/daemon/starter.ts'
import type { Engine, EngineName } from '../engines/engine.ts'
import { CommandError } from '../errors.ts'
import { controlHandlers } from './control.ts'
import type { Life } from './life.ts'
import type { Place } from './place.ts'
import type { Plan } from './run.ts'

/** @throws CommandError, DaemonError */
export async function takeAt(path: string, plan: Plan, life: Life, log: ServerLog): Promise<Place> {
  const { resolved } = plan
  const { pidfile } = resolved.config
  const slot: EngineSlot = { engine: undefined, name: undefined }
  refuseIfRunning(resolved)
  try {
    // The settings may name another's place by now.
    const takeOver = starter.upgrade && (await whoHolds(path)) === starter.predecessor
    const control = await openControl(path, controlHandlers(plan, life, slot), { takeOver })
    life.atExit(() => control.close())
    if (pidfile !== undefined) tellStale(pidfile, log)
    return new TakenPlace(slot, control, pidfile, life)
  } catch (error) {
    throw explain(error, resolved)
  }
}

/** What `takeAt` would throw because of the pidfile; takes and writes nothing. @throws CommandError, DaemonError */
export function refuseIfRunning(resolved: Resolved): void {
  const { pidfile } = resolved.config
  try {
    if (pidfile !== undefined) refuseIfHeld(pidfile, starter.predecessor)
  } catch (error) {
    throw explain(error, resolved)
  }
}

/** What `takeAt` would throw; takes it for a moment only. @throws CommandError, DaemonError */
export async function refuseIfTaken(path: string, resolved: Resolved): Promise<void> {
  refuseIfRunning(resolved)
  try {
    const control = await openControl(path, new Map())
    control.close()
  } catch (error) {
    throw explain(error, resolved)
  }
}

/** How long the kernel may take to clear a process away: threads of it may be ending while the process counts as gone. */
const MOMENT_MS = 2_000
const LOOK_MS = 20

/** Removes what a process has left that was killed, unless somebody else is taking its place. */
export async function clearAfter(pid: number, path: string, pidfile: string | undefined): Promise<void> {
  const control = await placeOfDead(path, performance.now() + MOMENT_MS)
  try {
    if (control !== undefined && pidfile !== undefined) removeLeftover(pidfile, pid)
  } catch (error) {
    // It has ended, which is what was asked for. The next start will say what is in the way.
    if (!(error instanceof DaemonError)) throw error
  } finally {
    control?.close()
  }
}

/** Whoever has it is alone, and a dead one goes with it. Undefined if it cannot be had. */
async function placeOfDead(path: string, deadline: number): Promise<Control | undefined> {
  for (;;) {
    try {
      return await openControl(path, new Map())
    } catch (error) {
      if (!(error instanceof DaemonError)) throw error
      if (error.code !== 'already-running' || performance.now() > deadline) return undefined
      await delay(LOOK_MS)
    }
  }
}

/** What the commands see of the engine, once there is one. */
export interface EngineSlot {
  engine: Engine | undefined
  name: EngineName | undefined
}

class TakenPlace implements Place {
  readonly #slot: EngineSlot
  readonly #control: Control
  readonly #path: string | undefined
  readonly #life: Life
  #pidfile: Pidfile | undefined

  constructor(slot: EngineSlot, control: Control, path: string | undefined, life: Life) {
    this.#slot = slot
    this.#control = control
    this.#path = path
    this.#life = life
  }

  claim(): void {
    if (this.#path === undefined || this.#pidfile !== undefined) return
    // Another daemon may have the same pidfile and a control socket of its own.
    refuseIfHeld(this.#path, starter.predecessor)
    const pidfile = writePidfile(this.#path)
    this.#pidfile = pidfile
    this.#life.atExit(() => pidfile.release())
  }

  async arrive(name: EngineName, engine: Engine): Promise<void> {
    this.#slot.name = name
    this.#slot.engine = engine
    this.claim()
    await this.#control.publish()
  }
}

function tellStale(pidfile: string, log: ServerLog): void {
  const state = examinePidfile(pidfile)
  if (state.kind === 'stale') log.warn({}, `pidfile ${pidfile} is left over and will be replaced: ${state.why}`)
}

function explain(error: unknown, { config: { pidfile, control } }: Resolved): unknown {
  if (!(error instanceof DaemonError) || error.code !== 'already-running') return error
  const [name, path] = pidfile === undefined ? ['control', control] : ['pidfile', pidfile]
  return new CommandError(`${error.message} (${name} ${path}): stop it first, or choose another ${name}`)
}
