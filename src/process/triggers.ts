/**
 * Reasons to reload that are not signals: a file was touched (`touch-reload`), or source files changed (`watch`, for
 * development).
 */

import { statSync } from 'node:fs'
import { relative, sep } from 'node:path'

/** Ends the looking. */
export type Stop = () => void

/** How often the modification time of a file is looked at: a file that is replaced, or made later, must count as well. */
const LOOK_MS = 500

/** After a change, others may follow at once (a build, a checkout): they are one reload. */
const SETTLE_MS = 150

const SOURCE = /\.([cm]?[jt]s|jsx|tsx|json)$/

const SKIPPED = new Set(['node_modules'])

/** 0: it is not there, or nobody knows (a folder that may not be entered, a link to itself, a file server that is gone). */
function modified(file: string): number {
  try {
    return statSync(file).mtimeMs
  } catch {
    return 0
  }
}

/** When each file was last changed; 0: it is not there. */
export type ChangeTimes = ReadonlyMap<string, number>

export const changeTimes = (files: readonly string[]): ChangeTimes => new Map(files.map(file => [file, modified(file)]))

/** Calls `touched` with the file when its modification time is no longer the one in `since`; not when it goes away. */
export function onTouch(since: ChangeTimes, touched: (file: string) => void): Stop {
  const times = new Map(since)
  const timer = setInterval(() => {
    for (const [file, before] of times) {
      const time = modified(file)
      if (time === before) continue
      times.set(file, time)
      if (time !== 0) touched(file)
    }
  }, LOOK_MS).unref()
  return () => clearInterval(timer)
}

/**
 * Calls `changed` with the path of a source file below `folder` that was changed, made or removed, and `failed` with why some
 * cannot be watched (the system watches only so many).
 */
export async function onSourceChange(
  folder: string,
  changed: (file: string) => void,
  failed: (error: unknown) => void,
): Promise<Stop> {
  const { watch } = await import('chokidar')
  let timer: NodeJS.Timeout | undefined
  const watcher = watch(folder, {
    ignoreInitial: true,
    ignored: (path, stats) => isSkipped(relative(folder, path)) || (stats?.isFile() === true && !SOURCE.test(path)),
  })
  watcher.on('all', (_event, path) => {
    if (!SOURCE.test(path)) return
    clearTimeout(timer)
    timer = setTimeout(() => changed(relative(folder, path)), SETTLE_MS)
  })
  watcher.on('error', failed)
  await new Promise<void>(resolve => watcher.once('ready', resolve))
  return () => {
    clearTimeout(timer)
    void watcher.close()
  }
}

const isSkipped = (path: string): boolean =>
  path.split(sep).some(part => SKIPPED.has(part) || (part.startsWith('.') && part !== '.' && part !== '..'))
