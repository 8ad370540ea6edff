/** A worker whose debugger its primary may open when it hangs (standstill.ts): what is to be found there, and by whom only. */

import type { RunningRequest } from '../../server/responder.ts'

/** For its command line. */
export const INSPECTABLE: readonly string[] = ['--inspect-port=127.0.0.1:0', '--inspect-publish-uid=stderr']

/** The debugger finds by this name what the process is busy with. */
const RUNNING = 'runfcgi.running'

/** What finds it: a list of `RunningRequest` as JSON. */
export const RUNNING_EXPRESSION = `process[Symbol.for('${RUNNING}')]()`

/** To be called in it. @param running what it is busy with; called while the event loop is blocked */
export function showRunning(running: () => readonly RunningRequest[]): void {
  // They are not for processes that the application starts; those of node:cluster would refuse them.
  process.execArgv = process.execArgv.filter(option => !INSPECTABLE.includes(option))
  Object.defineProperty(process, Symbol.for(RUNNING), { value: () => JSON.stringify(running()) })
}

/** Somebody has opened the debugger who is not to use it. */
export async function closeDebugger(): Promise<void> {
  const inspector = await import('node:inspector')
  inspector.close()
}
