/**
 * The end of a process with a thread in it that does not end. `worker.terminate()` takes effect where JavaScript looks
 * whether it is to go on: not in a system call or an add-on, and from Node 24 on (V8's Turboshaft) not in a loop either
 * that calls nothing but functions which are part of V8: `for (;;) new Array(9).fill(0)`. Node waits for its threads when
 * it ends, and then it would wait for ever.
 */

/** A thread from when it is started until it has ended. */
export interface Lasting {
  /** It has a request, or its event loop stands still. */
  readonly busy: boolean
  /** It was told to end by force, and runs on. */
  readonly lost: boolean
}

const threads = new Set<Lasting>()

export function outlasts(thread: Lasting): void {
  // Behind those who have something to clear away.
  if (threads.size === 0) process.on('exit', leave)
  threads.add(thread)
}

export function hasEnded(thread: Lasting): void {
  threads.delete(thread)
  if (threads.size === 0) process.off('exit', leave)
}

interface Replaceable {
  readonly execve?: (file: string, args: readonly string[], environment: object) => void
  readonly permission?: { has(scope: string): boolean }
}

function leave(code: number): void {
  const { execve, permission } = process as Replaceable
  // Node 22.15 and later, and not if it was told to allow no other program.
  const replaced = execve !== undefined && permission?.has('child') !== false
  // Whether one that is only busy would end cannot be known, but where the exit code stays it need not be.
  if (![...threads].some(({ lost, busy }) => lost || (busy && replaced))) return
  // Another program in place of this one: its threads are gone, and the exit code stays.
  if (replaced) execve(process.execPath, [process.execPath, '--eval', `process.exit(${code})`], {})
  process.kill(process.pid, 'SIGKILL')
}
