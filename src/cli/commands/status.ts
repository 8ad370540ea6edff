/** `status`: what the daemon tells about itself, once or again and again. */

import { setTimeout as delay } from 'node:timers/promises'
import { UsageError } from '../../config/errors.ts'
import type { Resolved } from '../../config/resolve.ts'
import { DaemonError } from '../../process/daemon/daemon-error.ts'
import type { Status } from '../../process/status.ts'
import type { Invocation } from '../commands.ts'
import { CommandError, EXIT_FAILED, EXIT_OK } from '../errors.ts'
import { settingsFor } from '../settings.ts'
import { statusText } from './status-text.ts'
import { ask, find, findHearing, type Target, targetOf } from './target.ts'

/** Resolves to the exit code: 0 if it runs, 1 if it does not. `--watch` ends with Ctrl-C. */
export async function status(invocation: Invocation): Promise<number> {
  const resolved = await settingsFor(invocation)
  const target = targetOf(resolved)
  const { json } = resolved.config
  // `status … | head`: whoever reads has seen enough.
  process.stdout.once('error', () => process.exit(EXIT_OK))
  if (isWatched(resolved)) return watch(target, json)
  return json ? await printJson(target) : await print(target)
}

/** `watch` in a configuration file is about source files. */
const isWatched = ({ config, given }: Resolved): boolean =>
  config.watch && given.get('watch')?.origin.kind === 'command line'

async function print(target: Target): Promise<number> {
  const found = await findHearing(target)
  if (found.hears === 'everything') process.stdout.write(`${statusText(await statusOf(target))}\n`)
  else process.stdout.write(`process ${found.pid} runs, and cannot tell more: ${found.why}\n`)
  return EXIT_OK
}

const NOT_RUNNING = { state: 'not running' } as const

/** For programs: they read the state, whatever it is. */
async function printJson(target: Target): Promise<number> {
  const found = await find(target)
  const told =
    found === undefined ? NOT_RUNNING : found.hears === 'everything' ? await statusOf(target) : { pid: found.pid }
  process.stdout.write(`${JSON.stringify(told, null, 2)}\n`)
  return found === undefined ? EXIT_FAILED : EXIT_OK
}

async function statusOf(target: Target): Promise<Status> {
  const found = await findHearing(target)
  return (await ask(target, found, { command: 'status' })) as Status
}

const WATCH_MS = 1_000

/** Ends with the process: by Ctrl-C, or when nobody reads any more. */
async function watch(target: Target, json: boolean): Promise<never> {
  if (!json && !process.stdout.isTTY) throw new UsageError("'status --watch' needs a terminal; with --json it does not")
  process.on('SIGINT', () => process.exit(EXIT_OK))
  for (;;) {
    const now = await look(target)
    process.stdout.write(
      json ? `${JSON.stringify(now)}\n` : screen(now.pid === undefined ? now.state : statusText(now)),
    )
    await delay(WATCH_MS)
  }
}

/** From the top of the terminal, as much as it holds: what is at the top matters most. */
function screen(text: string): string {
  const lines = text.split('\n')
  const rows = process.stdout.rows || lines.length + 1
  const shown = lines.length < rows ? lines : [...lines.slice(0, rows - 2), `… ${lines.length - rows + 2} lines more`]
  return `\x1b[H\x1b[J${shown.join('\n')}\n`
}

type Look = Status | { readonly state: string; readonly pid?: undefined }

/** It may end, and come again, while somebody watches. */
async function look(target: Target): Promise<Look> {
  try {
    return await statusOf(target)
  } catch (error) {
    if (error instanceof CommandError || error instanceof DaemonError) return { state: error.message }
    throw error
  }
}
