/**
 * What an engine is: it binds its sockets, loads the application and serves. How the process lives and dies is in
 * src/cli/serving/life.ts.
 */

import type { Log, ServerLog } from '../../log.ts'
import type { Account } from '../../process/daemon/account.ts'
import type { Passable } from '../../process/passing.ts'
import type { Loaded } from '../../process/pool/child.ts'
import type { LongRequest, PoolStatus, Queue, Traffic } from '../../process/status.ts'
import type { ChangeTimes } from '../../process/triggers.ts'
import type { Address } from '../../server/sockets/address.ts'
import { messageOf } from '../../server/thrown.ts'
import type { Life, Pool, Serving } from '../serving/life.ts'
import type { Place } from '../serving/place.ts'
import type { Plan } from '../serving/run.ts'

/** A running engine, what it loaded, and where it listens, with what the system filled in. */
export interface Engine extends Serving {
  readonly loaded: Loaded
  readonly addresses: readonly Address[]
  traffic(): Traffic
  /** Requests that have been running for a while. */
  running(): readonly LongRequest[]
  /** Only with a pool. */
  poolStatus?(): PoolStatus
  queue?(): Queue
  /** The same, with the descriptors that listen. */
  readonly sockets: readonly { readonly address: Address; readonly fd: number }[]
  /** Goes on with a connection of a predecessor. */
  take(connection: Passable): void
}

export interface EngineInput {
  readonly plan: Plan
  readonly addresses: readonly Address[]
  readonly log: ServerLog
  /** For what the responder has to say; the same as `log`, except in front of it stands our own web server. */
  readonly responderLog: Log
  readonly allowed: (remoteAddress: string | undefined) => boolean
  /** Whom the application is to run as; undefined: whoever started us. */
  readonly account: Account | undefined
  readonly place: Place
  readonly life: Life
  /** Of the files of `touch-reload`, before the application was loaded: a touch meanwhile may have come too late for it. */
  readonly touchTimes: ChangeTimes | undefined
}

export type EngineName = 'inline' | 'threaded' | 'prefork'

/** `touch-reload` and `watch`, until the process ends. */
export async function reloadOnChange({ plan, log, touchTimes }: EngineInput, pool: Pool): Promise<void> {
  const { resolved, cwd } = plan
  const { watch } = resolved.config
  if (touchTimes === undefined && !watch) return
  const { onSourceChange, onTouch } = await import('../../process/triggers.ts')
  // The outcome is in the log.
  const reload = (reason: string): void => void pool.reload(reason).catch(() => undefined)
  if (touchTimes !== undefined) onTouch(touchTimes, file => reload(`${file} was touched`))
  const failed = (error: unknown): void => log.warn({}, `watch does not see everything: ${messageOf(error)}`)
  if (watch) await onSourceChange(cwd, file => reload(`${file} has changed`), failed)
}
