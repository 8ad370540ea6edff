/** Loads the application that the settings name. */

import type { AdapterOptions, Concurrency } from '../app/exchange.ts'
import { type LoadedApplication, type LoadRequest, loadApplication, toApplication } from '../app/load/load.ts'
import { LoadError } from '../app/load/load-error.ts'
import { describeOrigin } from '../config/layers.ts'
import { nearest } from '../config/nearest.ts'
import type { Resolved } from '../config/resolve.ts'
import { findSetting, settingOf } from '../config/settings.ts'
import { commands } from './commands.ts'

/** One process, one thread, many requests at a time: what PEP 3333 asks is whether another thread or process may call. */
const IN_ONE_PROCESS: Concurrency = { multithread: false, multiprocess: false, runOnce: false }

export interface LoadOptions {
  /** The process answers one request and ends. */
  readonly runOnce?: boolean
  /** The application itself, from a program that calls `serve`; nothing is looked for. */
  readonly exported?: unknown
}

/** What is to be loaded, by whoever loads it. */
export function loadRequestFor({ config, given }: Resolved, cwd: string): LoadRequest {
  const app = given.get('app')
  return {
    app: config.app,
    origin: app === undefined || app.origin.kind === 'command line' ? undefined : describeOrigin(app.origin),
    args: config.args,
    interface: config.interface,
    cwd: app?.base ?? cwd,
    // The pool, which gives up at start-timeout, would not say why.
    loadTimeout: config.startTimeout * 0.9,
  }
}

/** @param cwd the directory where the command was typed. @throws LoadError */
export async function loadFor(
  resolved: Resolved,
  cwd: string,
  { runOnce = false, exported }: LoadOptions = {},
): Promise<LoadedApplication> {
  const { config, given } = resolved
  const options = { mount: config.mount, sendfile: config.sendfile, concurrency: { ...IN_ONE_PROCESS, runOnce } }
  if (exported !== undefined) return takeOver(exported, resolved, options)
  const app = given.get('app')
  const request = loadRequestFor(resolved, cwd)
  try {
    return await loadApplication(request, options)
  } catch (error) {
    throw withWordMeant(error, app?.text)
  }
}

/** A child of the pool could not load the application; `message` is what it said. */
export const unloadable = (message: string, { given }: Resolved): unknown =>
  withWordMeant(new LoadError(message), message.startsWith('no application') ? given.get('app')?.text : undefined)

async function takeOver(exported: unknown, { config }: Resolved, options: AdapterOptions): Promise<LoadedApplication> {
  const application = await toApplication(exported, config.interface, options)
  // As with an application from a file: the process is there for it alone.
  if (application.interface === 'fetch') (await import('../app/fetch/light-globals.ts')).installLightGlobals()
  return Object.assign(application, { source: { file: '', rule: 'handed over', notListening: undefined } })
}

/** `runfcgi stnad` and `runfcgi socket` ask for an application of that name. */
function withWordMeant(error: unknown, word = ''): unknown {
  if (!(error instanceof LoadError) || error.cause !== undefined) return error
  const meant = wordMeant(word)
  return meant === undefined ? error : new LoadError(`${error.message}; did you mean ${meant}?`)
}

/** The setting or command that somebody has mistyped who named this application; undefined when it is like none. */
export function wordMeant(word: string): string | undefined {
  const setting = findSetting(word)
  if (setting !== undefined) return `${setting}=${settingOf(setting).kind.placeholder}`
  const names = commands.map(({ name }) => name)
  const command = /^[a-z]+$/.test(word) ? nearest(word, names) : undefined
  return command === undefined ? undefined : `the command '${command}'`
}
