/**
 * Watches the event loop of this process from a thread, and says where it stands when it has not turned for a while: the
 * thread asks V8's debugger (as blocked.ts does), which opens no port. Loop and thread share a number that grows.
 *
 * Such a thread costs 9 to 18 MB, and a loop that is blocked already cannot start one. So only those workers have one that
 * were started after another one has hung (prefork.ts).
 */

import { writeSync } from 'node:fs'
import type { Debugger } from 'node:inspector'
import { isMainThread, Worker, workerData } from 'node:worker_threads'
import type { RunningRequest } from '../server/responder.ts'
import { stackLines } from './blocked.ts'

/** What the thread writes, as a line of JSON. */
export interface Blocked {
  readonly stack: readonly string[]
  readonly running: readonly RunningRequest[]
}

export interface Watch {
  /** Where to write. */
  readonly fd: number
  /** After how many milliseconds without a turn. */
  readonly after: number
}

interface WatchData extends Watch {
  readonly turns: SharedArrayBuffer
}

const LOOK_MS = 250

/** The thread finds it by this name, through the debugger. */
const RUNNING = 'runfcgi.running'

/** @param running what this process is busy with; called while the loop is blocked */
export function watch(options: Watch, running: () => readonly RunningRequest[]): void {
  const turns = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  Object.defineProperty(process, Symbol.for(RUNNING), { value: () => JSON.stringify(running()) })
  setInterval(() => Atomics.add(turns, 0, 1), LOOK_MS).unref()
  const thread = new Worker(new URL('../process/watch.cjs', import.meta.url), {
    workerData: { ...options, turns: turns.buffer } satisfies WatchData,
  })
  thread.unref()
}

function watchFromThread({ fd, after, turns }: WatchData): void {
  const shared = new Int32Array(turns)
  let last = -1
  let since = performance.now()
  let told = false
  setInterval(() => {
    const turn = Atomics.load(shared, 0)
    if (turn !== last) {
      last = turn
      since = performance.now()
      told = false
    } else if (!told && performance.now() - since > after) {
      told = true
      void whereItStands(performance.now() - since).then(blocked => writeSync(fd, `${JSON.stringify(blocked)}\n`))
    }
  }, LOOK_MS)
}

/** The clock of the loop stands still as well: `blockedFor` is added to ages. Milliseconds. */
async function whereItStands(blockedFor: number): Promise<Blocked> {
  const { Session } = await import('node:inspector')
  const session = new Session()
  session.connectToMainThread()
  const urls = new Map<string, string>()
  session.on('Debugger.scriptParsed', ({ params }) => urls.set(params.scriptId, params.url))
  const paused = new Promise<readonly Debugger.CallFrame[]>(resolve =>
    session.once('Debugger.paused', ({ params }) => resolve(params.callFrames)),
  )
  session.post('Debugger.enable')
  session.post('Debugger.pause')
  const stack = stackLines(await paused, scriptId => urls.get(scriptId) ?? '')
  const running = await new Promise<string>(resolve =>
    session.post('Runtime.evaluate', { expression: `process[Symbol.for('${RUNNING}')]()` }, (_error, answer) =>
      resolve(String(answer?.result.value ?? '[]')),
    ),
  )
  session.post('Debugger.resume')
  session.disconnect()
  const requests: RunningRequest[] = JSON.parse(running)
  return { stack, running: requests.map(one => ({ ...one, age: Math.round(one.age + blockedFor) })) }
}

if (!isMainThread) watchFromThread(workerData as WatchData)
