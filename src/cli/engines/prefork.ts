/** method=prefork: this process holds the sockets, worker processes listen on them and serve. */

import type { Account } from '../../process/daemon/account.ts'
import { starter } from '../../process/daemon/starter.ts'
import { poolSettings } from '../../process/pool/settings.ts'
import { Supervisor } from '../../process/pool/supervisor.ts'
import type { WorkerData } from '../../process/workers/messages.ts'
import { type PreforkOptions, ProcessPool } from '../../process/workers/prefork.ts'
import { type Reserved, reserveAll } from '../../server/sockets/reserve.ts'
import { clientsOf } from '../addresses.ts'
import { loadRequestFor, unloadable } from '../load.ts'
import { redirected } from '../serving/logs.ts'
import type { Plan } from '../serving/run.ts'
import { type Engine, type EngineInput, reloadOnChange } from './engine.ts'
import { ReloadingPool } from './reloading.ts'

/** @throws ListenError, LoadError */
export async function openPrefork(input: EngineInput): Promise<Engine> {
  const { plan, addresses, log, responderLog, account, life } = input
  const { config } = plan.resolved
  const sockets = await reserveAll(addresses)
  for (const socket of sockets) life.atExit(() => void socket.close({ leaveFile: starter.predecessorServes }))
  const kind = new ProcessPool({
    worker: workerData(plan, account),
    sockets,
    balance: balanceOf(plan),
    hangTimeout: config.hangTimeout,
    log: {
      debug: (details, message) => responderLog.debug(details, message),
      info: (details, message) => responderLog.info(details, message),
      warn: (details, message) => responderLog.warn(details, message),
      error: (details, message) => responderLog.error(details, message),
      print: (channel, text) => log.print(channel, text),
    },
  })
  const supervisor = new Supervisor({ kind, settings: poolSettings(config), log, noun: 'worker' })
  life.atExit(() => kind.killAll())
  const loaded = await supervisor.start()
  if (loaded === null) throw unloadable(supervisor.loadError, plan.resolved)
  await kind.listen()
  for (const socket of sockets) await socket.publish()
  const pool = new ReloadingPool({
    plan,
    log,
    life,
    supervisor,
    apply: next =>
      kind.configure({
        worker: workerData(next, account),
        hangTimeout: next.resolved.config.hangTimeout,
        balance: balanceOf(next),
      }),
  })
  await reloadOnChange(input, pool)
  return {
    loaded,
    addresses: sockets.map(({ address }) => address),
    sockets,
    pool,
    poolStatus: () => supervisor.status(),
    running: () => supervisor.running(),
    traffic: () => kind.traffic(),
    queue: () => ({ waiting: kind.waiting, limit: config.queue }),
    take: connection => kind.take(connection),
    drain: (graceMs, { successor } = {}) => {
      if (successor !== undefined) kind.leaveTo(connection => successor.leave(connection))
      return stop(supervisor, sockets, graceMs, successor !== undefined)
    },
    lameDuck: () => kind.lameDuck(),
    close: async () => kind.close(),
  }
}

/** A worker that accepts by itself would take connections while it is at its limit: then they are handed out. */
const balanceOf = ({ resolved: { config } }: Plan): PreforkOptions['balance'] =>
  config.concurrency > 0 ? 'round-robin' : config.balance

async function stop(
  supervisor: Supervisor,
  sockets: readonly Reserved[],
  graceMs: number,
  leaveFile: boolean,
): Promise<void> {
  await Promise.all(sockets.map(socket => socket.close({ leaveFile, now: leaveFile || graceMs === 0 })))
  supervisor.hear({ type: graceMs > 0 ? 'stop' : 'stop-now', reason: 'told to stop' })
  await supervisor.ended
}

function workerData(plan: Plan, account: Account | undefined): WorkerData {
  const { config } = plan.resolved
  return {
    request: loadRequestFor(plan.resolved, plan.cwd),
    workdir: config.workdir,
    adapter: {
      mount: config.mount,
      sendfile: config.sendfile,
      concurrency: { multithread: false, multiprocess: true, runOnce: false },
    },
    limits: config,
    limit: config,
    debug: config.debug,
    ping: config.ping,
    allowedClients: clientsOf(plan),
    accessLog: config.accessLog !== 'off',
    account,
    redirect: redirected(plan),
    logDebug: config.logLevel === 'debug',
    backlog: config.backlog,
    maxRequests: config.maxrequests,
    gracefulTimeout: config.gracefulTimeout,
  }
}
