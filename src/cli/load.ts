/** Loads the application that the settings name. */

import type { Concurrency } from '../app/exchange.ts'
import { LoadError, type LoadedApplication, loadApplication } from '../app/load.ts'
import { describeOrigin } from '../config/layers.ts'
import { nearest } from '../config/nearest.ts'
import type { Resolved } from '../config/resolve.ts'
import { commands } from './commands.ts'

/** One process, one thread, many requests at a time: what PEP 3333 asks is whether another thread or process may call. */
const IN_ONE_PROCESS: Concurrency = { multithread: false, multiprocess: false, runOnce: false }

/** @param cwd the directory where the command was typed. @throws LoadError */
export async function loadFor(resolved: Resolved, cwd: string, runOnce = false): Promise<LoadedApplication> {
  const { config, given } = resolved
  const app = given.get('app')
  const request = {
    app: config.app,
    origin: app === undefined || app.origin.kind === 'command line' ? undefined : describeOrigin(app.origin),
    interface: config.interface,
    cwd: app?.base ?? cwd,
  }
  try {
    return await loadApplication(request, { mount: config.mount, concurrency: { ...IN_ONE_PROCESS, runOnce } })
  } catch (error) {
    const word = app?.text ?? ''
    const meant =
      /^[a-z]+$/.test(word) &&
      nearest(
        word,
        commands.map(({ name }) => name),
      )
    if (!meant || !(error instanceof LoadError) || error.cause !== undefined) throw error
    throw new LoadError(`${error.message}; did you mean the command '${meant}'?`)
  }
}
