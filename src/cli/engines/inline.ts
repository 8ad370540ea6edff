/** One process does everything. */

import type { LoadedApplication } from '../../app/load/load.ts'
import { LoadError } from '../../app/load/load-error.ts'
import { starter } from '../../process/daemon/starter.ts'
import { report } from '../errors.ts'
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

async function load({ plan: { resolved, cwd, exported }, log, life }: EngineInput): Promise<LoadedApplication> {
  const timer = setTimeout(() => log.warn({}, 'the application is still loading: requests wait for it'), SLOW_LOAD)
  const onExit = (code: number): void => {
    if (!life.exiting) tellThatItExited(code)
  }
  process.once('exit', onExit)
  try {
    return await loadFor(resolved, cwd, { exported })
  } finally {
    clearTimeout(timer)
    process.off('exit', onExit)
  }
}

/** The application has called `process.exit` while it was loaded. */
function tellThatItExited(code: number): void {
  const failure = report(new LoadError(`cannot load the application: it ended the process: exit code ${code}`))
  starter.tellFailure(failure)
  process.exitCode = failure.code
}
