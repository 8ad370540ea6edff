/**
 * Who waits for this process to serve: the command that detached it, or the primary that it is to succeed. They are told
 * through a pipe, once, and then let go. Without them, a failure is for the terminal and success for the log.
 *
 * On the pipe stand lines of JSON: `{"pid": 1}` first, then `{"ready": "text"}` or `{"failed": {"code": 1, "text": "…"}}`.
 * The end of the pipe without either says that the process has ended.
 */

import { closeSync, writeSync } from 'node:fs'
import { DaemonError } from './daemon-error.ts'

/** What this process was started with: node's options, the program and its words. An application finds its own in process.argv. */
export const commandLine: readonly string[] = [...process.execArgv, ...process.argv.slice(1)]

/** Set in the environment of a process that somebody waits for. */
export const STARTER_VARIABLE = '_RUNFCGI_STARTER'

/** Set by daemonize-process in what it starts. */
const DETACHED_VARIABLE = '_DAEMONIZE_PROCESS'

/** Where such a process finds its pipe; what it inherits beside it follows. */
export const STARTER_FD = 3

/** A listening socket that is handed down. */
export interface HandedDown {
  /** As the settings of the process that hands it down spell it (`formatAddress`). */
  readonly address: string
  readonly fd: number
  /** The file of a Unix socket, which whoever serves it last removes. */
  readonly path?: string | undefined
}

/** What the one who waits says about itself, in the variable. */
export interface StarterData {
  readonly kind: 'detach' | 'upgrade'
  /** Standard input, output and error lead nowhere, or to the log files. */
  readonly detached: boolean
  readonly sockets: readonly HandedDown[]
}

interface Failure {
  readonly code: number
  readonly text: string
}

export type Outcome =
  | { readonly ready: true; readonly pid: number; readonly text: string }
  | { readonly ready: false; readonly failure: Failure | null }

class Starter {
  readonly #data: StarterData | null
  readonly #parent = process.ppid
  #told = false
  #ready = false
  /** Whoever waited was killed meanwhile. */
  #alone = false

  constructor(data: StarterData | null) {
    this.#data = data
    this.#tell({ pid: process.pid })
  }

  /** This process is a daemon, or becomes one: nobody reads what it writes to the terminal. */
  get detached(): boolean {
    return this.#data?.detached === true
  }

  /** Somebody waits. */
  get waits(): boolean {
    return this.#data !== null && !this.#told
  }

  /** This process is to succeed another one, which serves until this one can. */
  get upgrade(): boolean {
    return this.#data?.kind === 'upgrade'
  }

  /** The process to succeed, which goes on after that until its requests are done; undefined when it has ended. */
  get predecessor(): number | undefined {
    return this.upgrade && process.ppid === this.#parent ? this.#parent : undefined
  }

  /** It still does: it has not been told that this process can. What it listens on is not ours to remove. */
  get predecessorServes(): boolean {
    return this.upgrade && !this.#ready
  }

  /** What the predecessor listens on. */
  get sockets(): readonly HandedDown[] {
    return this.#data?.sockets ?? []
  }

  /**
   * A predecessor that was killed wanted this process to take its place, whatever happens to it. Whoever started a daemon
   * and was killed takes it for one that has not come to be, and will start another.
   * @throws DaemonError
   */
  tellReady(text: string): void {
    this.#tell({ ready: text })
    if (this.#alone && this.#data?.kind === 'detach')
      throw new DaemonError('ended', 'the command that started this process was killed before it served')
    this.#ready = true
    this.#letGo()
  }

  /** To be called right before the end: the pipe closes with the process, so that nothing of it is left when it is heard. */
  tellFailure(failure: Failure): void {
    if (this.#told) return
    process.stderr.write(failure.text)
    this.#tell({ failed: failure })
    this.#told = true
  }

  #tell(line: object): void {
    if (!this.waits || this.#alone) return
    try {
      writeSync(STARTER_FD, `${JSON.stringify(line)}\n`)
    } catch {
      this.#alone = true // There is nobody to tell.
    }
  }

  #letGo(): void {
    if (this.waits) closeSync(STARTER_FD)
    this.#told = true
  }
}

/** Reads what a process says to the one who waits for it, until it has let go. */
export async function readOutcome(pipe: AsyncIterable<Buffer>, onPid: (pid: number) => void): Promise<Outcome> {
  let text = ''
  let pid = 0
  for await (const chunk of pipe) {
    text += chunk.toString()
    if (pid === 0 && text.includes('\n')) {
      pid = (JSON.parse(text.slice(0, text.indexOf('\n'))) as { pid: number }).pid
      onPid(pid)
    }
  }
  const last = text.split('\n')[1]
  if (last === undefined || last === '') return { ready: false, failure: null }
  const { ready, failed } = JSON.parse(last) as { ready?: string; failed?: Failure }
  return ready === undefined ? { ready: false, failure: failed ?? null } : { ready: true, pid, text: ready }
}

function fromEnvironment(): StarterData | null {
  const text = process.env[STARTER_VARIABLE]
  if (text === undefined || isLauncher()) return null
  delete process.env[STARTER_VARIABLE]
  delete process.env[DETACHED_VARIABLE]
  return JSON.parse(text) as StarterData
}

/** This process is only there to start the daemon in a session of its own, and to end (detach.ts). */
export function isLauncher(): boolean {
  const text = process.env[STARTER_VARIABLE]
  return text !== undefined && process.env[DETACHED_VARIABLE] === undefined && text.includes('"detach"')
}

/** The one of this process. */
export const starter = new Starter(fromEnvironment())
