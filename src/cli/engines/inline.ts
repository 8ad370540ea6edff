/** One process does everything. */

import type { LoadedApplication } from '../../app/load.ts'
import { loadFor } from '../load.ts'
import type { Engine, EngineInput } from './engine.ts'
import { bindAndLoad, respond } from './respond.ts'

/** @throws ListenError, LoadError */
export async function openInline(input: EngineInput): Promise<Engine> {
  const [bounds, app] = await bindAndLoad(input, () => load(input))
  return {
    ...respond(input, bounds, app, input.plan.resolved.config),
    loaded: app,
    addresses: bounds.map(({ address }) => address),
    sockets: bounds,
    close: async () => app.close?.(),
  }
}

/** How long an application may load before the log says what everybody is waiting for. */
const SLOW_LOAD = 10_000

async function load({ plan: { resolved, cwd, exported }, log }: EngineInput): Promise<LoadedApplication> {
  const timer = setTimeout(() => log.warn({}, 'the application is still loading: requests wait for it'), SLOW_LOAD)
  try {
    return await loadFor(resolved, cwd, { exported })
  } finally {
    clearTimeout(timer)
  }
}
