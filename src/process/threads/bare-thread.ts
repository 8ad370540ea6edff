/**
 * Threads that know nothing yet: what they are to run is the first message that they get (thread.ts). Node needs as long
 * to boot a thread as a start needs for everything else, so that one can be had in advance and boots meanwhile.
 */

import { Worker } from 'node:worker_threads'

interface BareThread {
  readonly worker: Worker
  readonly maxMemory: number
}

let ahead: BareThread | undefined

/** A thread to run something. `maxMemory`: bytes of heap at which it is to be replaced; with twice as many it ends. */
export function bareThread(maxMemory: number): Worker {
  const booted = ahead?.maxMemory === maxMemory ? ahead.worker : undefined
  if (booted === undefined) return boot(maxMemory)
  forget()
  booted.ref()
  return booted
}

/** Lets a thread boot for the next caller of `bareThread`, unless one does already. It keeps no process alive. */
export function bootAhead(maxMemory = 0): void {
  if (ahead?.maxMemory === maxMemory) return
  dropAhead()
  const worker = boot(maxMemory)
  worker.unref()
  // Whoever then wants one starts another, and hears why that one ends.
  worker.once('error', forget).once('exit', forget)
  ahead = { worker, maxMemory }
}

/** It is not wanted after all. */
export function dropAhead(): void {
  const worker = ahead?.worker
  forget()
  void worker?.terminate()
}

function forget(): void {
  ahead?.worker.off('error', forget).off('exit', forget)
  ahead = undefined
}

/**
 * The default up to Node 22, in mebibytes. From Node 24 on it is four times as much, and what is new may go so far beyond
 * the limit at once that V8 ends the process instead of the thread.
 */
const YOUNG_MB = 48

function boot(maxMemory: number): Worker {
  const limits = { maxOldGenerationSizeMb: Math.ceil((2 * maxMemory) / 1_048_576), maxYoungGenerationSizeMb: YOUNG_MB }
  return new Worker(new URL('../process/thread.cjs', import.meta.url), maxMemory > 0 ? { resourceLimits: limits } : {})
}
