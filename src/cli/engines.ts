/**
 * What runs the application below the settings: this process itself, threads, or worker processes. Each engine takes
 * bound sockets and serves on them; how the process lives and dies is in life.ts.
 */

import type { Application } from '../app/exchange.ts'
import type { LoadedApplication } from '../app/load.ts'
import { LoadError } from '../app/load-error.ts'
import type { Log, ServerLog } from '../log.ts'
import type { Loaded } from '../process/child.ts'
import { accessLine } from '../server/access-log.ts'
import type { Limits } from '../server/limits.ts'
import type { Bound } from '../server/listen.ts'
import { type AccessRecord, createResponder, type Responder } from '../server/responder.ts'
import type { Pool, Serving } from './life.ts'
import { loadFor, loadRequestFor } from './load.ts'
import type { Plan } from './run.ts'

/** A running engine, and what it loaded. */
export interface Engine extends Serving {
  readonly loaded: Loaded
}

export interface EngineInput {
  readonly plan: Plan
  readonly bounds: readonly Bound[]
  readonly log: ServerLog
  /** For what the responder has to say; the same as `log`, except in front of it stands our own web server. */
  readonly responderLog: Log
  readonly allowed: (remoteAddress: string | undefined) => boolean
}

export type EngineName = 'inline' | 'threaded'

/** Which engine a plan asks for. What a web server starts, and `serve`, is one process unless a method is asked for. */
export function engineFor({ command, inherited, exported, resolved }: Plan): EngineName {
  const { config, given } = resolved
  if (exported !== undefined || config.method !== 'threaded') return 'inline'
  return given.has('method') || (!inherited && command !== 'serve') ? 'threaded' : 'inline'
}

export const openEngine = (name: EngineName, input: EngineInput): Promise<Engine> =>
  name === 'inline' ? openInline(input) : openThreaded(input)

async function openInline(input: EngineInput): Promise<Engine> {
  const app = await load(input.plan, input.log)
  const responder = respond(input, app, input.plan.resolved.config)
  return { loaded: app, drain: drainOf(input, responder), close: async () => app.close?.() }
}

async function openThreaded(input: EngineInput): Promise<Engine> {
  const { plan, log } = input
  const { config } = plan.resolved
  const [{ ThreadPool }, { Supervisor }, { poolSettings }] = await Promise.all([
    import('../process/threaded.ts'),
    import('../process/supervisor.ts'),
    import('../process/pool-settings.ts'),
  ])
  const pool = new ThreadPool({
    ...config,
    request: loadRequestFor(plan.resolved, plan.cwd),
    adapter: { mount: config.mount, concurrency: { multithread: true, multiprocess: false, runOnce: false } },
    maxRequests: config.maxrequests,
    log,
  })
  const supervisor = new Supervisor({ kind: pool, settings: poolSettings(config), log, noun: 'thread' })
  const loaded = await supervisor.start()
  if (loaded === null) throw new LoadError(supervisor.loadError)
  await reloadOnChange(plan, supervisor)
  // The pool counts the time of a request from when a thread begins it.
  const responder = respond(input, pool, { ...config, requestTimeout: 0 })
  return {
    loaded,
    pool: supervisor,
    drain: drainOf(input, responder),
    async close() {
      supervisor.hear({ type: 'stop', reason: 'no requests are left' })
      await supervisor.ended
    },
  }
}

/** `touch-reload` and `watch`, until the process ends. */
async function reloadOnChange({ resolved: { config }, cwd }: Plan, pool: Pool): Promise<void> {
  if (config.touchReload.length === 0 && !config.watch) return
  const { onSourceChange, onTouch } = await import('../process/triggers.ts')
  // The outcome is in the log.
  const reload = (reason: string): void => void pool.reload(reason).catch(() => undefined)
  if (config.touchReload.length > 0) onTouch(config.touchReload, file => reload(`${file} was touched`))
  if (config.watch) await onSourceChange(cwd, file => reload(`${file} has changed`))
}

function respond(
  { plan, bounds, log, responderLog, allowed }: EngineInput,
  app: Application,
  limits: Limits,
): Responder {
  const { config } = plan.resolved
  const onRequestEnd = config.accessLog === 'off' ? undefined : writeAccess(log)
  const responder = createResponder({ app, log: responderLog, limits, debug: config.debug, allowed, onRequestEnd })
  for (const { server } of bounds) responder.attach(server)
  return responder
}

const writeAccess =
  (log: ServerLog) =>
  (record: AccessRecord): void =>
    log.print('access', accessLine(record, Date.now()))

const drainOf =
  ({ bounds }: EngineInput, responder: Responder): Serving['drain'] =>
  async graceMs => {
    for (const bound of bounds) await bound.close()
    await responder.drain(graceMs)
  }

/** How long an application may load before the log says what everybody is waiting for. */
const SLOW_LOAD = 10_000

async function load({ resolved, cwd, exported }: Plan, log: ServerLog): Promise<LoadedApplication> {
  const timer = setTimeout(() => log.warn({}, 'the application is still loading: requests wait for it'), SLOW_LOAD)
  try {
    return await loadFor(resolved, cwd, { exported })
  } finally {
    clearTimeout(timer)
  }
}
