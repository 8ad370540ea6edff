/** method=threaded: this process owns the sockets, threads run the application. */

import type { Loaded } from '../../process/child.ts'
import { poolSettings } from '../../process/pool-settings.ts'
import { Supervisor } from '../../process/supervisor.ts'
import { ThreadPool } from '../../process/threaded.ts'
import { loadRequestFor, unloadable } from '../load.ts'
import type { Plan } from '../run.ts'
import { type Engine, type EngineInput, reloadOnChange } from './engine.ts'
import { bindAndLoad, respond } from './respond.ts'

/** @throws ListenError, LoadError */
export async function openThreaded(input: EngineInput): Promise<Engine> {
  const { plan, log } = input
  const { config } = plan.resolved
  const kind = new ThreadPool({
    ...config,
    request: loadRequestFor(plan.resolved, plan.cwd),
    adapter: {
      mount: config.mount,
      sendfile: config.sendfile,
      concurrency: { multithread: true, multiprocess: false, runOnce: false },
    },
    maxRequests: config.maxrequests,
    log,
  })
  const supervisor = new Supervisor({ kind, settings: poolSettings(config), log, noun: 'thread' })
  const [bounds, loaded] = await bindAndLoad(input, () => begin(supervisor, plan))
  await reloadOnChange(plan, supervisor)
  return {
    // The pool counts the time of a request from when a thread begins it.
    ...respond(input, bounds, kind, { ...config, requestTimeout: 0 }),
    loaded,
    addresses: bounds.map(({ address }) => address),
    sockets: bounds,
    pool: supervisor,
    poolStatus: () => supervisor.status(),
    queue: () => ({ waiting: kind.waiting, limit: config.queue }),
    async close() {
      supervisor.hear({ type: 'stop', reason: 'no requests are left' })
      await supervisor.ended
    },
  }
}

async function begin(supervisor: Supervisor, { resolved }: Plan): Promise<Loaded> {
  const loaded = await supervisor.start()
  if (loaded === null) throw unloadable(supervisor.loadError, resolved)
  return loaded
}
