/** The part that inline and threaded have in common: this process owns the sockets and speaks FastCGI. */

import type { Application } from '../../app/exchange.ts'
import type { ServerLog } from '../../log.ts'
import { become } from '../../process/account.ts'
import { accessLine } from '../../server/access-log.ts'
import type { Limits } from '../../server/limits.ts'
import { type Bound, bindAll } from '../../server/listen.ts'
import { type AccessRecord, createResponder } from '../../server/responder.ts'
import type { Serving } from '../life.ts'
import { giveLogs } from '../logs.ts'
import type { EngineInput } from './engine.ts'

/** Sockets that listen; they are closed however the process ends. @throws ListenError */
export async function bindFor({ plan, addresses, life }: EngineInput): Promise<Bound[]> {
  const bounds = await bindAll(addresses, { backlog: plan.resolved.config.backlog })
  for (const bound of bounds) life.atExit(() => void bound.close())
  return bounds
}

/** From here on this process has the rights of the account, and no way back. */
export function dropRights({ plan, account }: EngineInput): void {
  if (account === undefined) return
  giveLogs(plan.resolved, account)
  become(account)
}

/** Serves the application on the sockets. */
export function respond(
  { plan, log, responderLog, allowed }: EngineInput,
  bounds: readonly Bound[],
  app: Application,
  limits: Limits,
): Pick<Serving, 'drain'> {
  const { config } = plan.resolved
  const onRequestEnd = config.accessLog === 'off' ? undefined : writeAccess(log)
  const responder = createResponder({ app, log: responderLog, limits, debug: config.debug, allowed, onRequestEnd })
  for (const { server } of bounds) responder.attach(server)
  return {
    async drain(graceMs) {
      for (const bound of bounds) await bound.close()
      await responder.drain(graceMs)
    },
  }
}

const writeAccess =
  (log: ServerLog) =>
  (record: AccessRecord): void =>
    log.print('access', accessLine(record, Date.now()))
