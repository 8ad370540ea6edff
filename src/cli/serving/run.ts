/** Serves an application in this process until a signal or a crash ends it. */

import { loadFailure } from '../../app/load/load-error.ts'
import type { Resolved } from '../../config/resolve.ts'
import type { ServerLog } from '../../log.ts'
import { type Account, AccountError, accountFor } from '../../process/daemon/account.ts'
import { inherit } from '../../process/daemon/handover.ts'
import { type Notifier, notifier } from '../../process/daemon/notify.ts'
import { starter } from '../../process/daemon/starter.ts'
import type { ChangeTimes } from '../../process/triggers.ts'
import type { Address } from '../../server/sockets/address.ts'
import { allowedBy } from '../addresses.ts'
import { engineFor, openEngine } from '../engines/open.ts'
import { report } from '../errors.ts'
import { announce } from './announce.ts'
import { beginLife, type Life, type Serving } from './life.ts'
import { openLog } from './logs.ts'
import { takePlace } from './place.ts'
import { handDown, releaseOthers } from './predecessor.ts'
import { tellServiceManager } from './service-manager.ts'
import { enableUpgrade } from './upgrade.ts'
import { enterWorkplace } from './workplace.ts'

/** What is to be run, once nothing about it is in question any more. */
export interface Plan {
  readonly command: string
  readonly resolved: Resolved
  /** Reads the settings as they are now. @throws UsageError */
  readonly readAgain?: (() => Promise<Resolved>) | undefined
  readonly addresses: readonly Address[]
  /** Started by a web server, which has put the listening socket on descriptor 0. */
  readonly inherited: boolean
  /** A datagram socket to the service manager, if it has passed one. */
  readonly notify?: number | undefined
  /** There is no terminal: standard output and error lead nowhere, or to the log files. */
  readonly detached: boolean
  /** The directory where the command was typed. */
  readonly cwd: string
  /** The application itself, if a program handed it over (`serve` of src/index.ts). */
  readonly exported?: unknown
}

/** Serves, and ends the process; resolves to an exit code only if it could not even begin. */
export async function run(plan: Plan): Promise<number> {
  enterWorkplace(plan.resolved)
  const spawned = plan.inherited ? await import('./spawned.ts') : undefined
  spawned?.hideListener()
  const { log, release } = openLog(plan)
  const notify = notifier(process.env, log, plan.notify)
  const life = beginLife(log, plan.resolved.config, notify)
  try {
    const serving = await Promise.race([beginToServe(plan, { log, life, notify }), crashBeforeServing(plan, life)])
    return await life.exitWhenWritten(await life.serve(serving))
  } catch (error) {
    release()
    log.settle(false)
    const failure = report(error)
    starter.tellFailure(failure)
    return await life.exitWhenWritten(failure.code)
  }
}

/** What nobody caught while the application was loading is a failure to load, though the import did not throw it. */
async function crashBeforeServing({ resolved, cwd }: Plan, life: Life): Promise<never> {
  try {
    return await life.crashedEarly
  } catch (error) {
    throw loadFailure(error, resolved.config.app ?? cwd, cwd)
  }
}

/** Whom the application runs as, if that is to be somebody else. @throws UsageError, ListenError */
export function accountOf({ config: { user, group }, refuse }: Resolved): Account | undefined {
  try {
    return accountFor(user, group)
  } catch (error) {
    if (error instanceof AccountError) refuse(user === undefined ? 'group' : 'user', error.message)
    throw error
  }
}

interface Surroundings {
  readonly log: ServerLog
  readonly life: Life
  readonly notify: Notifier
}

async function beginToServe(plan: Plan, { log, life, notify }: Surroundings): Promise<Serving> {
  const allowed = allowedBy(plan)
  const account = accountOf(plan.resolved)
  const place = await takePlace(plan, life, log)
  const front = plan.command === 'serve' ? await import('./front.ts') : undefined
  const ends = front?.withoutEcho(log)
  const addresses = front !== undefined && plan.addresses.length === 0 ? [front.privateSocket(life)] : plan.addresses
  const name = engineFor(plan)
  const touchTimes = await touchTimesOf(plan)
  const engine = await openEngine(name, {
    plan,
    addresses,
    log,
    responderLog: ends?.log ?? log,
    allowed,
    account,
    place,
    life,
    touchTimes,
  })
  const open = front && ends && (await front.openFront(plan.resolved, engine.addresses, ends))
  inherit(connection => engine.take(connection))
  enableUpgrade({ plan, sockets: () => handDown(plan.addresses, engine.sockets), life, log, notify })
  await place.arrive(name, engine)
  announce(plan, { app: engine.loaded, engine: name, addresses: engine.addresses, url: open?.url }, log)
  tellServiceManager(notify, engine)
  if (plan.inherited) (await import('./spawned.ts')).followWebServer(touchTimes, engine, life, log)
  releaseOthers(plan.addresses)
  return open === undefined ? engine : behind(open.close, engine)
}

async function touchTimesOf({ resolved: { config } }: Plan): Promise<ChangeTimes | undefined> {
  if (config.touchReload.length === 0) return undefined
  return (await import('../../process/triggers.ts')).changeTimes(config.touchReload)
}

/** The HTTP server in front ends first: what it has sent on is still to be answered. */
const behind = (closeFront: (graceMs: number) => Promise<void>, serving: Serving): Serving => ({
  ...serving,
  async drain(graceMs, options) {
    await closeFront(graceMs)
    await serving.drain(graceMs, options)
  },
})
