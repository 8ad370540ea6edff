/** method=threaded: this process owns the sockets, threads run the application. */

import type { Log } from '../../log.ts'
import type { Loaded } from '../../process/pool/child.ts'
import { poolSettings } from '../../process/pool/settings.ts'
import { Supervisor } from '../../process/pool/supervisor.ts'
import { type ThreadedOptions, ThreadPool } from '../../process/threads/threaded.ts'
import type { Limits } from '../../server/limits.ts'
import { allowedBy } from '../addresses.ts'
import { loadRequestFor, unloadable } from '../load.ts'
import type { Plan } from '../serving/run.ts'
import { type Engine, type EngineInput, reloadOnChange } from './engine.ts'
import { ReloadingPool } from './reloading.ts'
import { bindAndLoad, respond } from './respond.ts'

/** @throws ListenError, LoadError */
export async function openThreaded(input: EngineInput): Promise<Engine> {
  const { plan, log } = input
  const { config } = plan.resolved
  const kind = new ThreadPool(threadedOptions(plan, log))
  const supervisor = new Supervisor({ kind, settings: poolSettings(config), log, noun: 'thread' })
  const [bounds, loaded] = await bindAndLoad(input, () => begin(supervisor, plan))
  const { configure, ...responding } = respond(input, bounds, kind, limitsOf(plan))
  const pool = new ReloadingPool({
    ...input,
    supervisor,
    apply(next) {
      kind.configure(threadedOptions(next, log))
      configure({ limits: limitsOf(next), debug: next.resolved.config.debug, allowed: allowedBy(next) })
    },
  })
  await reloadOnChange(input, pool)
  return {
    ...responding,
    loaded,
    addresses: bounds.map(({ address }) => address),
    sockets: bounds,
    pool,
    poolStatus: () => supervisor.status(),
    running: () => supervisor.running(),
    queue: () => ({ waiting: kind.waiting, limit: kind.options.queue }),
    async close() {
      await kind.close()
      supervisor.hear({ type: 'stop', reason: 'no requests are left' })
      await supervisor.ended
    },
  }
}

/** The pool counts the time of a request from when a thread begins it. */
const limitsOf = ({ resolved: { config } }: Plan): Limits => ({ ...config, requestTimeout: 0 })

const threadedOptions = ({ resolved, cwd }: Plan, log: Log): ThreadedOptions => ({
  ...resolved.config,
  request: loadRequestFor(resolved, cwd),
  adapter: {
    mount: resolved.config.mount,
    sendfile: resolved.config.sendfile,
    concurrency: { multithread: true, multiprocess: false, runOnce: false },
  },
  maxRequests: resolved.config.maxrequests,
  log,
})

async function begin(supervisor: Supervisor, { resolved }: Plan): Promise<Loaded> {
  const loaded = await supervisor.start()
  if (loaded === null) throw unloadable(supervisor.loadError, resolved)
  return loaded
}
