/**
 * Waiting for conditions. The limit is there to name what never came, not to measure anything: a machine that others use as
 * well may need half a minute for what takes a second.
 */

import { setTimeout as sleep } from 'node:timers/promises'

export const LIMIT_MS = 60_000

/** @param what it is, as it is or as it has become by the end */
export async function until(what: string | (() => string), condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + LIMIT_MS
  while (!(await condition())) {
    if (performance.now() > end) {
      throw new Error(`Waited ${LIMIT_MS} ms in vain: ${typeof what === 'string' ? what : what()}`)
    }
    await sleep(10)
  }
}

/** The outcome of the promise, or an error that names what was waited for. */
export async function soon<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`Waited ${LIMIT_MS} ms in vain: ${what}`)), LIMIT_MS)
  })
  try {
    return await Promise.race([promise, limit])
  } finally {
    clearTimeout(timer)
  }
}
