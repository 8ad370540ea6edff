/**
 * The life of the one process that serves: what signals (signals.ts), commands of the control socket (control.ts), crashes
 * and the end do.
 *
 * An exception or a rejected promise that nobody caught leaves the application in an unknown state: it is logged, running
 * requests get `graceful-timeout` to finish, and the process ends with 1, so that whoever watches it starts another.
 */

import { isatty } from 'node:tty'
import type { ServerLog } from '../../log.ts'
import type { Handover } from '../../process/daemon/handover.ts'
import type { Notifier } from '../../process/daemon/notify.ts'
import { untilWritten } from '../../process/standard-streams.ts'
import { onUncaught } from '../../process/uncaught.ts'
import { messageOf } from '../../server/thrown.ts'
import { CommandError, EXIT_FAILED, EXIT_OK } from '../errors.ts'
import { untilPredecessorEnds } from './predecessor.ts'
import { exitCodeOf, SIGNALS, type SignalAction } from './signals.ts'

export interface DrainOptions {
  /** Another process serves the same sockets: their files and the open connections are left to it. */
  readonly successor?: Handover | undefined
}

/** What there is to end, from the moment that requests are served. */
export interface Serving {
  /** Takes no more requests, finishes what runs; after `graceMs` milliseconds it is cut off. May be called again, with less. */
  drain(graceMs: number, options?: DrainOptions): Promise<void>
  /** Tells health checks that it will stop, and goes on serving. */
  lameDuck(): void
  /** After the last request. */
  close(): Promise<void>
  /** The children, if there are any. */
  readonly pool?: Pool
}

/** What signals and commands do to a pool of children. */
export interface Pool {
  /** Replaces all children. Rejects if new ones cannot be loaded; the outcome is in the log. */
  reload(reason: string): Promise<void>
  /** Requests are served, or will be soon. */
  readonly healthy: boolean
  /** One child more or fewer. */
  hear(stimulus: { readonly type: 'more' | 'fewer' }): void
  /** Resolves to an exit code when there are no children any more. */
  readonly ended: Promise<number>
}

/** What a life has come to. */
type Stage = 'starting' | 'serving' | 'lame-duck' | 'stopping'

/** What a process that is to end does first, each for at most so many milliseconds: two of the settings. */
export interface EndTimes {
  /** It goes on serving, and health checks are told that it will stop. */
  readonly lameDuck: number
  /** It takes no more requests, and those that run may finish. */
  readonly gracefulTimeout: number
}

export interface Life {
  /** For when it ends; may be changed until then. */
  endTimes: EndTimes
  /** Rejects with what nobody caught before `serve` was called. */
  readonly crashedEarly: Promise<never>
  /** From now on the end is orderly. Resolves to the exit code when it is over. */
  serve(serving: Serving): Promise<number>
  /** Does something synchronous however the process ends, a KILL apart; the last added first. */
  atExit(cleanUp: () => void): void
  readonly stage: Stage
  /** The process is being ended by `exit` and by nobody else. */
  readonly exiting: boolean
  /** Milliseconds that are left: of serving while `stage` is 'lame-duck', for what runs once it is 'stopping'. */
  readonly timeLeft: number
  /**
   * What a signal, or a command on the control socket, asks for. `by` names it in the log. Each signal goes one step
   * further: lame duck, finishing what runs, now. A command says whether it means `now`.
   */
  stop(by: string, command?: { readonly now: boolean }): void
  /** Replaces the children. Rejects with the reason if there are none, or if new ones cannot be loaded. */
  reload(by: string): Promise<void>
  /** Opens the log files again. @throws CommandError with the reason if that failed; what it came to is in the log */
  reopen(by: string): void
  /** Puts a new process in the place of this one. Rejects with the reason if that failed, and this one goes on. */
  upgrade(by: string): Promise<void>
  /** Says how `upgrade` is done; until then it cannot be. */
  onUpgrade(action: (by: string) => Promise<Handover>): void
  /** Ends the process: an application may have left timers and sockets that would keep it. */
  exit(code: number): never
  /** The same, after what was printed has been written. */
  exitWhenWritten(code: number): Promise<never>
}

/** Takes over signals and crashes of this process. `notify` hears of each change. */
export const beginLife = (log: ServerLog, endTimes: EndTimes, notify: Notifier): Life =>
  new ProcessLife(log, endTimes, notify)

/** How long an application's own `close()`, and the last word to the service manager, may take. In milliseconds. */
const CLOSE_TIMEOUT = 5_000

class ProcessLife implements Life {
  readonly crashedEarly: Promise<never>
  readonly #log: ServerLog
  endTimes: EndTimes
  readonly #notify: Notifier
  readonly #hadTerminal = isatty(0)
  readonly #cleanUps: (() => void)[] = []
  #serving: Serving | null = null
  #exiting = false
  #stopping = false
  /** Told to stop now. */
  #hurried = false
  /** Only what was printed is still to be written. */
  #leaving = false
  #lameDuck: NodeJS.Timeout | null = null
  /** A HUP that came before there was anything to reload. */
  #early: NodeJS.Signals | null = null
  #timeEnds = 0
  #upgrade: ((by: string) => Promise<Handover>) | null = null
  #exitCode = EXIT_OK
  #crashEarly: (error: unknown) => void = () => {}
  #over: (code: number) => void = () => {}

  constructor(log: ServerLog, endTimes: EndTimes, notify: Notifier) {
    this.#log = log
    this.#notify = notify
    this.endTimes = endTimes
    this.crashedEarly = new Promise((_, reject) => {
      this.#crashEarly = reject
    })
    for (const { signals, action } of SIGNALS)
      for (const signal of signals) process.on(signal, () => this.#hear(action, signal))
    onUncaught((error, origin) => this.#onCrash(error, origin))
    process.on('exit', code => {
      if (this.stage === 'serving' && !this.#exiting)
        this.#log.error({}, `the application has ended the process: process.exit(${code})`)
      this.#leave()
    })
  }

  serve(serving: Serving): Promise<number> {
    this.#serving = serving
    if (this.#early !== null) this.#onHangup(this.#early)
    return new Promise(resolve => {
      this.#over = resolve
      void serving.pool?.ended.then(code => {
        if (!this.#stopping) resolve(code)
      })
    })
  }

  atExit(cleanUp: () => void): void {
    this.#cleanUps.unshift(cleanUp)
  }

  exit(code: number): never {
    this.#exiting = true
    if (this.#hadTerminal && !isatty(0)) this.#dieWithTerminal()
    process.exit(code)
  }

  async exitWhenWritten(code: number): Promise<never> {
    this.#leaving = true
    if (!this.#hurried) await untilWritten()
    return this.exit(code)
  }

  /** Node aborts in `process.exit` when the terminal that it wants to set back has gone (seen on Node 20). */
  #dieWithTerminal(): void {
    this.#leave()
    process.removeAllListeners('SIGHUP')
    process.kill(process.pid, 'SIGHUP')
  }

  get stage(): Stage {
    if (this.#serving === null) return 'starting'
    if (this.#stopping) return 'stopping'
    return this.#lameDuck === null ? 'serving' : 'lame-duck'
  }

  get exiting(): boolean {
    return this.#exiting
  }

  get timeLeft(): number {
    return Math.max(0, this.#timeEnds - performance.now())
  }

  stop(by: string, command?: { readonly now: boolean }): void {
    if (this.#serving === null) this.exit(exitCodeOf(by))
    const { lameDuck, gracefulTimeout } = this.endTimes
    const further = command === undefined || command.now
    if (command?.now || (further && this.#stopping)) {
      this.#log.info({}, `${by}: stopping now`)
      this.#hurried = true
      if (this.#leaving) this.exit(this.#exitCode)
      void this.#stop(this.#serving, 0)
    } else if (this.stage === 'serving' && lameDuck > 0) {
      this.#beLameDuck(by, this.#serving, lameDuck)
    } else if (this.stage === 'serving' || further) {
      this.#log.info({}, `${by}: finishing what runs`)
      void this.#stop(this.#serving, gracefulTimeout)
    } else {
      this.#log.info(
        {},
        `${by}: ${this.#stopping ? 'what runs is being finished' : 'it will stop when lame-duck is over'}`,
      )
    }
  }

  #beLameDuck(by: string, serving: Serving, ms: number): void {
    const what = `serving for ${ms / 1000} s more (lame-duck)`
    this.#log.info({}, `${by}: ${what}, while health checks hear that it will stop`)
    this.#timeEnds = performance.now() + ms
    this.#lameDuck = setTimeout(() => this.stop('lame-duck is over'), ms)
    this.#notify.stopping(what)
    serving.lameDuck()
  }

  async reload(by: string): Promise<void> {
    if (this.#isEnding) throw new CommandError('it is stopping')
    const { pool } = this.#served('it is still starting')
    this.#notify.reloading()
    try {
      if (pool === undefined) throw new CommandError('one process serves everything: restart it, or choose a method=')
      await pool.reload(by)
      this.#notify.reloaded()
    } catch (error) {
      this.#notify.reloaded(messageOf(error))
      throw error
    }
  }

  reopen(by: string): void {
    const errors = this.#log.reopen()
    if (errors.length > 0) throw new CommandError(`its log goes to the old files: ${errors.map(messageOf).join('; ')}`)
    this.#log.info({}, `${by}: log files opened again`)
  }

  onUpgrade(action: (by: string) => Promise<Handover>): void {
    this.#upgrade = action
  }

  async upgrade(by: string): Promise<void> {
    if (this.stage !== 'serving') throw new CommandError(`it is ${this.#isEnding ? 'stopping' : 'starting'}`)
    if (this.#upgrade === null) throw new CommandError('it cannot be replaced while it runs: restart it')
    const successor = await this.#upgrade(by)
    if (this.stage === 'serving') void this.#stop(this.#served(''), this.endTimes.gracefulTimeout, { successor })
  }

  get #isEnding(): boolean {
    return this.#stopping || this.#lameDuck !== null
  }

  #served(otherwise: string): Serving {
    if (this.#serving === null) throw new CommandError(otherwise)
    return this.#serving
  }

  #hear(action: SignalAction, signal: NodeJS.Signals): void {
    switch (action) {
      case 'stop':
        this.stop(signal)
        break
      case 'quit':
        this.exit(this.#serving === null ? exitCodeOf(signal) : EXIT_OK)
        break
      case 'hang-up':
        this.#onHangup(signal)
        break
      case 'reopen':
        this.#onReopen(signal)
        break
      case 'upgrade':
        void this.upgrade(signal).catch(error => this.#excuse(signal, error))
        break
      case 'more':
      case 'fewer':
        this.#onResize(signal, action)
        break
      default:
        action satisfies never
    }
  }

  /** A terminal that has gone answers nothing any more, not even what it is. */
  #onHangup(signal: NodeJS.Signals): void {
    if (this.#hadTerminal && !isatty(0)) this.stop(signal)
    // What it asks for may have come after the application was read.
    else if (this.stage === 'starting') {
      this.#early = signal
      this.#log.info({ signal }, `${signal}: will reload when it serves`)
    } else void this.reload(signal).catch(error => this.#excuse(signal, error))
  }

  /** What failed is in the log. */
  #onReopen(signal: NodeJS.Signals): void {
    try {
      this.reopen(signal)
    } catch (error) {
      if (!(error instanceof CommandError)) throw error
    }
  }

  #onResize(signal: NodeJS.Signals, type: 'more' | 'fewer'): void {
    const pool = this.#serving?.pool
    if (pool === undefined) this.#log.warn({ signal }, `${signal} does nothing: there are no children`)
    else pool.hear({ type })
  }

  /** What a pool cannot do, it has logged. */
  #excuse(signal: NodeJS.Signals, error: unknown): void {
    if (error instanceof CommandError) this.#log.warn({ signal }, `${signal} does nothing: ${error.message}`)
  }

  #onCrash(error: unknown, origin: string): void {
    if (this.#serving === null) {
      this.#crashEarly(error)
      return
    }
    const what = origin === 'unhandledRejection' ? 'a rejected promise' : 'an exception'
    this.#exitCode = EXIT_FAILED
    this.#log.error({ err: error }, `the application did not catch ${what}: finishing what runs, then exit 1`)
    if (!this.#stopping) this.#stop(this.#serving, this.endTimes.gracefulTimeout)
  }

  async #stop(serving: Serving, graceMs: number, options?: DrainOptions): Promise<void> {
    if (!this.#stopping && options?.successor === undefined) this.#notify.stopping('Finishing the requests that run')
    this.#stopping = true
    if (this.#lameDuck !== null) clearTimeout(this.#lameDuck)
    this.#timeEnds = performance.now() + graceMs
    try {
      await serving.drain(graceMs, options)
      await options?.successor?.settled()
      await untilPredecessorEnds(this.timeLeft)
      const closed = Promise.all([serving.close(), this.#notify.told()])
      await Promise.race([closed, new Promise(resolve => setTimeout(resolve, CLOSE_TIMEOUT).unref())])
    } catch (error) {
      this.#exitCode = EXIT_FAILED
      this.#log.error({ err: error }, 'the application could not be closed')
    }
    this.#over(this.#exitCode)
  }

  #leave(): void {
    for (const cleanUp of this.#cleanUps.splice(0)) cleanUp()
    this.#log.flush()
  }
}
