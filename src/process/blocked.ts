/**
 * What blocks an event loop, as a stack: asked of V8's debugger inside this process, which interrupts JavaScript wherever
 * it is. No port is opened. Code that is not JavaScript (a synchronous system call) cannot be interrupted: no stack then.
 */

import type { Debugger, NodeWorker, Session } from 'node:inspector'
import type { Worker } from 'node:worker_threads'
import { OWN_CODE } from '../app/own-code.ts'

/** How long the debugger of a blocked thread may take; it was at most 0.35 s on a busy machine. Its requests do not wait. */
const PATIENCE_MS = 5_000

/**
 * Where a worker thread of this process is now. It goes on afterwards, with code that is not optimised any more: for a
 * thread that is ended anyway. Resolves to undefined if it does not run JavaScript, or not within five seconds.
 */
export async function stackOf(worker: Worker): Promise<string[] | undefined> {
  // Node can be built without it.
  const inspector = await import('node:inspector').catch(() => undefined)
  if (inspector === undefined) return undefined
  const session = new inspector.Session()
  const attached: string[] = []
  // A thread that stands still in the debugger cannot even be terminated: not by the end of the process either.
  const release = (): void => {
    for (const sessionId of attached.splice(0)) session.post('NodeWorker.detach', { sessionId })
  }
  process.once('exit', release)
  session.connect()
  try {
    return await soon(whenPaused(session, worker.threadId, attached))
  } finally {
    release()
    session.disconnect()
    process.off('exit', release)
  }
}

function whenPaused(session: Session, threadId: number, attached: string[]): Promise<string[]> {
  const scripts: string[] = []
  return new Promise(resolve => {
    session.on('NodeWorker.attachedToWorker', ({ params: { sessionId, workerInfo } }) => {
      attached.push(sessionId)
      if (!isOf(workerInfo, threadId)) return
      for (const [id, method] of ['Debugger.enable', 'Debugger.pause'].entries())
        session.post('NodeWorker.sendMessageToWorker', { sessionId, message: JSON.stringify({ id, method }) })
    })
    session.on('NodeWorker.receivedMessageFromWorker', ({ params: { message } }) => {
      // There is one for each script of the thread: most of them are not worth parsing.
      if (message.startsWith(SCRIPT_PARSED)) scripts.push(message)
      else if (message.startsWith('{"method":"Debugger.paused"')) resolve(readStack(message, scripts))
    })
    session.post('NodeWorker.enable', { waitForDebuggerOnStart: false })
  })
}

const SCRIPT_PARSED = '{"method":"Debugger.scriptParsed","params":{"scriptId":'

function readStack(paused: string, scripts: readonly string[]): string[] {
  const { callFrames }: Debugger.PausedEventDataType = JSON.parse(paused).params
  return stackLines(callFrames, scriptId => {
    const announced = scripts.find(message => message.startsWith(`${SCRIPT_PARSED}"${scriptId}"`))
    return announced === undefined ? '' : JSON.parse(announced).params.url
  })
}

/** Its title is `[worker 3] name`. */
const isOf = ({ title }: NodeWorker.WorkerInfo, threadId: number): boolean => title.startsWith(`[worker ${threadId}]`)

/** Innermost first, down to where the application was called. `urlOf` is asked for the place of a script. */
export function stackLines(frames: readonly Debugger.CallFrame[], urlOf: (scriptId: string) => string): string[] {
  const urls = frames.map(({ location }) => urlOf(location.scriptId))
  const depth = urls.findIndex(url => url.startsWith(OWN_CODE))
  return frames.slice(0, depth > 0 ? depth : undefined).map(({ functionName, location }, at) => {
    const { lineNumber, columnNumber = 0 } = location
    const place = `${urls[at] || '<anonymous>'}:${lineNumber + 1}:${columnNumber + 1}`
    return functionName === '' ? place : `${functionName} (${place})`
  })
}

/** Undefined if it takes longer than `ms` milliseconds. */
export async function soon<T>(promise: Promise<T>, ms = PATIENCE_MS): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const patience = new Promise<undefined>(resolve => {
    timer = setTimeout(resolve, ms, undefined)
  })
  return Promise.race([promise, patience]).finally(() => clearTimeout(timer))
}
