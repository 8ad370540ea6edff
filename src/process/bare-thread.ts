/**
 * Threads that know nothing yet: what they are to run is the first message that they get (thread.ts). Node needs as long
 * to boot a thread as a start needs for everything else, so that one can be had in advance and boots meanwhile.
 */

import { Worker } from 'node:worker_threads'

let ahead: { readonly worker: Worker; readonly maxMemory: number; readonly forget: () => void } | undefined

/** A thread of its own. `maxMemory`: bytes of heap at which it is to be replaced; it is ended by force at twice as many. */
export function bareThread(maxMemory: number): Worker {
  const { worker, forget } = ahead?.maxMemory === maxMemory ? ahead : { worker: boot(maxMemory), forget: undefined }
  forget?.()
  worker.ref()
  return worker
}

/** Lets a thread boot for the next caller of `bareThread`. It keeps no process alive. */
export function bootAhead(maxMemory: number): void {
  const worker = boot(maxMemory)
  worker.unref()
  const forget = (): void => {
    for (const event of ['error', 'exit']) worker.off(event, forget)
    if (ahead?.worker === worker) ahead = undefined
  }
  // Whoever then wants one starts another, and hears why that one ends.
  for (const event of ['error', 'exit']) worker.on(event, forget)
  ahead = { worker, maxMemory, forget }
}

const boot = (maxMemory: number): Worker =>
  new Worker(new URL('../process/thread.cjs', import.meta.url), {
    ...(maxMemory > 0 && { resourceLimits: { maxOldGenerationSizeMb: Math.ceil((2 * maxMemory) / 1_048_576) } }),
  })
