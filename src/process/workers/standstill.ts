/**
 * Where a worker process stands whose event loop does not turn, asked of V8's debugger, which interrupts JavaScript wherever
 * it is. Node opens the debugger of a process that gets SIGUSR1, whatever it is doing, so nothing of it is there before.
 *
 * Nobody else can use it: it listens on 127.0.0.1, and its address has a random number in it that is written to standard
 * error of that process and nowhere else (`--inspect-publish-uid`), where we read it and keep it from the log. Should
 * anybody else send the signal, the worker closes it again at once.
 */

import type { ChildProcess } from 'node:child_process'
import type { Debugger, Runtime } from 'node:inspector'
import { isatty } from 'node:tty'
import type { RunningRequest } from '../../server/responder.ts'
import { soon, stackLines } from '../blocked.ts'
import { RUNNING_EXPRESSION } from './inspected.ts'
import { WorkerOutput } from './output.ts'

export interface Standstill {
  readonly stack: readonly string[]
  /** What it was busy with; ages by its own clock, which stands still as well. */
  readonly running: readonly RunningRequest[]
}

/**
 * From the signal to the answer; it was at most 0.6 s on a busy machine, and more than 2 s on one with twelve busy processes
 * for each core. A system call cannot be interrupted.
 */
const PATIENCE_MS = 5_000

const ADDRESS = /^Debugger listening on (ws:\/\/127\.0\.0\.1:\d+\/[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12})$/m
const LINES =
  /^(?:Debugger (?:listening|ending) on ws:.*|Debugger attached\.|For help, see: https:\/\/nodejs\.org\/.*)\n/gm

/**
 * Somebody may look at standard error for himself, and then nobody but him can read it.
 * @param isFile whether what a worker writes there goes to a file of ours
 */
export const canInspect = (isFile: boolean): boolean =>
  process.features.inspector && process.platform !== 'win32' && (isFile || !isatty(2))

/** Standard error of a process; `whereItStands` is for one that was started with `INSPECTABLE` (inspected.ts). */
export class StandardError {
  readonly #process: ChildProcess
  readonly #output: WorkerOutput | undefined
  #opened: ((address: string) => void) | null = null

  /** @param unasked somebody else has opened the debugger */
  constructor(process: ChildProcess, print: (text: string) => void, unasked: () => void) {
    this.#process = process
    if (process.stderr === null) return
    this.#output = new WorkerOutput(process.stderr, text => {
      const address = ADDRESS.exec(text)?.[1]
      if (address !== undefined) (this.#opened ?? unasked)(address)
      const rest = text.replaceAll(LINES, '')
      if (rest !== '') print(rest)
    })
  }

  /** Resolves when everything is printed that the process wrote; it has ended. */
  async drained(): Promise<void> {
    await this.#output?.drained()
  }

  /**
   * Where the process stands; it is to be killed afterwards. Undefined if it does not run JavaScript, if it takes SIGUSR1
   * for something else, or if it does not answer within five seconds.
   */
  whereItStands(): Promise<Standstill | undefined> {
    const address = new Promise<string>(resolve => {
      this.#opened = resolve
    })
    this.#process.kill('SIGUSR1')
    return soon(address.then(pausedAt), PATIENCE_MS)
  }
}

/** Of what the debugger says, what is of interest here. */
type Message =
  | { readonly id: number; readonly result: Partial<Runtime.EvaluateReturnType>; readonly method?: never }
  | { readonly method: 'Debugger.scriptParsed'; readonly params: Debugger.ScriptParsedEventDataType }
  | { readonly method: 'Debugger.paused'; readonly params: Debugger.PausedEventDataType }

async function pausedAt(address: string): Promise<Standstill> {
  const { WebSocket } = await import('ws')
  const socket = new WebSocket(address, { perMessageDeflate: false })
  const send = (id: number, method: string, params = {}): void => socket.send(JSON.stringify({ id, method, params }))
  const urls = new Map<string, string>()
  let stack: string[] = []
  socket.on('open', () => {
    send(1, 'Debugger.enable')
    send(2, 'Debugger.pause')
  })
  try {
    return await new Promise((resolve, reject) => {
      socket.on('error', reject)
      socket.on('message', data => {
        const message: Message = JSON.parse(String(data))
        if (message.method === 'Debugger.scriptParsed') urls.set(message.params.scriptId, message.params.url)
        else if (message.method === 'Debugger.paused') {
          stack = stackLines(message.params.callFrames, scriptId => urls.get(scriptId) ?? '')
          send(3, 'Runtime.evaluate', { expression: RUNNING_EXPRESSION })
        } else if (message.id === 3) resolve({ stack, running: JSON.parse(message.result.result?.value ?? '[]') })
      })
    })
  } finally {
    socket.terminate()
  }
}
