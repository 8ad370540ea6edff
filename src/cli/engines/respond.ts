/** The part that inline and threaded have in common: this process owns the sockets and speaks FastCGI. */

import { setTimeout as delay } from 'node:timers/promises'
import type { Application } from '../../app/exchange.ts'
import type { ServerLog } from '../../log.ts'
import { become } from '../../process/daemon/account.ts'
import type { Handover } from '../../process/daemon/handover.ts'
import { starter } from '../../process/daemon/starter.ts'
import { passable, socketOf } from '../../process/passing.ts'
import { accessLine } from '../../server/access-log.ts'
import type { Limits } from '../../server/limits.ts'
import { type AccessRecord, createResponder, type Responder } from '../../server/responder.ts'
import { type Bound, bindAll } from '../../server/sockets/listen.ts'
import { giveLogs } from '../serving/logs.ts'
import type { Engine, EngineInput } from './engine.ts'

/**
 * Binds before the application is loaded, so that an address that is taken is told at once. But while a predecessor serves
 * the sockets, nothing is accepted that cannot be answered.
 * @throws ListenError, and what `load` throws
 */
export async function bindAndLoad<T>(input: EngineInput, load: () => Promise<T>): Promise<[Bound[], T]> {
  const early = starter.upgrade ? undefined : await bindFor(input)
  dropRights(input)
  const loaded = await load()
  return [early ?? (await bindFor(input)), loaded]
}

/** Sockets that listen; they are closed however the process ends. @throws ListenError */
async function bindFor({ plan, addresses, life }: EngineInput): Promise<Bound[]> {
  const bounds = await bindAll(addresses, { backlog: plan.resolved.config.backlog })
  for (const bound of bounds) life.atExit(() => void bound.close({ leaveFile: starter.predecessorServes }))
  return bounds
}

/** From here on this process has the rights of the account, and no way back. */
function dropRights({ plan, account, place }: EngineInput): void {
  if (account === undefined) return
  place.claim()
  giveLogs(plan.resolved, account)
  become(account)
}

/** Serves the application on the sockets. */
export function respond(
  { plan, log, responderLog, allowed }: EngineInput,
  bounds: readonly Bound[],
  app: Application,
  limits: Limits,
): Pick<Engine, 'drain' | 'lameDuck' | 'take' | 'traffic' | 'running'> & Pick<Responder, 'configure'> {
  const { config } = plan.resolved
  const onRequestEnd = config.accessLog === 'off' ? undefined : writeAccess(log)
  const responder = createResponder({
    app,
    log: responderLog,
    limits,
    debug: config.debug,
    allowed,
    ping: config.ping,
    onRequestEnd,
  })
  for (const { server } of bounds) responder.attach(server)
  return {
    traffic: () => responder.stats(),
    running: () => responder.running(),
    configure: options => responder.configure(options),
    take: connection => responder.accept(socketOf(connection)),
    lameDuck: () => responder.lameDuck(),
    async drain(graceMs, { successor } = {}) {
      const started = performance.now()
      const now = successor !== undefined || graceMs === 0
      const closing = bounds.map(bound => bound.close({ leaveFile: successor !== undefined, now }))
      if (successor !== undefined && graceMs > 0) {
        await Promise.all(closing)
        await leaveAll(responder, successor, graceMs)
      }
      await Promise.all([...closing, responder.drain(Math.max(0, graceMs - (performance.now() - started)))])
    },
  }
}

/** Resolves when no connection is left, or after `graceMs` milliseconds. */
async function leaveAll(responder: Responder, successor: Handover, graceMs: number): Promise<void> {
  const retired = responder.retire(socket => {
    const connection = passable(socket)
    if (connection !== undefined) successor.leave(connection)
  })
  await Promise.race([retired, delay(graceMs, undefined, { ref: false })])
}

const writeAccess =
  (log: ServerLog) =>
  (record: AccessRecord): void =>
    log.print('access', accessLine(record, Date.now()))
