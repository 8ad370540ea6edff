/** USR2 and `runfcgi upgrade`: a new process takes the place of this one, or this one goes on. */

import { isatty } from 'node:tty'
import type { ServerLog } from '../../log.ts'
import type { Handover } from '../../process/daemon/handover.ts'
import { signalIfAlive } from '../../process/daemon/identity.ts'
import type { Notifier } from '../../process/daemon/notify.ts'
import type { HandedDown } from '../../process/daemon/starter.ts'
import { startSuccessor } from '../../process/daemon/successor.ts'
import { clearTemporaryOf } from '../../server/sockets/unix-socket.ts'
import { messageOf } from '../../server/thrown.ts'
import { CommandError } from '../errors.ts'
import type { Life } from './life.ts'
import { controlPath } from './place.ts'
import type { Plan } from './run.ts'

/** What a successor needs above the time that its application takes to load, in milliseconds. */
const START_MS = 10_000

export interface UpgradeInput {
  readonly plan: Plan
  /** What the engine listens on. */
  readonly sockets: () => readonly HandedDown[]
  readonly life: Life
  readonly log: ServerLog
  readonly notify: Notifier
}

/** Makes `life` able to be succeeded. */
export function enableUpgrade(input: UpgradeInput): void {
  const { plan, life, log, notify } = input
  let busy = false
  life.onUpgrade(async by => {
    refuseUnlessPossible(plan)
    if (busy) throw new CommandError('an upgrade is under way')
    busy = true
    log.info({}, `${by}: starting the new process`)
    try {
      const [pid, successor] = await succeed(input)
      await notify.succeededBy(pid)
      log.info({ successor: pid }, `process ${pid} serves now: finishing what runs here`)
      return successor
    } catch (error) {
      log.error({}, `upgrade failed, this process goes on: ${messageOf(error)}`)
      throw error
    } finally {
      busy = false
    }
  })
}

function refuseUnlessPossible({ inherited, command }: Plan): void {
  const why = inherited
    ? 'the web server that started it has to start it again'
    : command === 'serve'
      ? 'its own web server cannot be handed down: restart it'
      : process.pid === 1
        ? 'with process 1 the container would end: start a new one'
        : isatty(0)
          ? 'it belongs to a terminal: restart it there'
          : undefined
  if (why !== undefined) throw new CommandError(why)
}

/** Resolves to the new process, and its id. @throws Error with the reason why it does not serve */
async function succeed({ plan, sockets, life, notify }: UpgradeInput): Promise<[number, Handover]> {
  const { config } = plan.resolved
  const control = controlPath(config)
  let done = false
  const end = (pid: number): void => {
    if (done) return
    signalIfAlive(pid, 'SIGKILL')
    if (control !== undefined) clearTemporaryOf(pid, control)
  }
  const { outcome, handover } = await startSuccessor({
    cwd: plan.cwd,
    detached: plan.detached,
    sockets: sockets(),
    env: notify.successor,
    patience: config.startTimeout + START_MS,
    onStart: pid => life.atExit(() => end(pid)),
  })
  if (outcome.ready) {
    done = true
    return [outcome.pid, handover]
  }
  const text = outcome.failure?.text ?? 'the new process ended before it served'
  throw new Error(text.replace(/^runfcgi: /, '').trimEnd())
}
