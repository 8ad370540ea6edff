/**
 * The processes that the bench starts. None outlives it, however it ends.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'

const STOP_DEADLINE_MS = 5_000

const running = new Set()

// TERM and not KILL: some have children of their own to end.
process.on('exit', () => {
  for (const child of running) child.kill('SIGTERM')
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(130))

/** As `spawn`. */
export function launch(file, args, options) {
  const child = spawn(file, args, options)
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/** True if it could not be started or has ended. */
export const hasEnded = ({ pid, exitCode, signalCode }) => pid === undefined || exitCode !== null || signalCode !== null

/** Asks it to end, and after a while makes it. */
export async function stop(child) {
  if (hasEnded(child)) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const killer = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS)
  await exited
  clearTimeout(killer)
}
