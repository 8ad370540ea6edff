/**
 * The life of the one process that serves: what signals, crashes and the end do.
 *
 * | signal           | does                                                                                  |
 * |------------------|---------------------------------------------------------------------------------------|
 * | TERM, INT        | stop: accept nothing more, finish what runs within graceful-timeout; a second one: now |
 * | QUIT             | stop at once                                                                          |
 * | USR1             | open the log files again                                                              |
 * | HUP              | stop if the terminal has gone; else reload: new children, then the old ones end       |
 * | TTIN, TTOU       | one child more, one child fewer                                                       |
 * | USR2             | nothing in this version                                                               |
 *
 * HUP, TTIN and TTOU do nothing while one process runs everything.
 *
 * An exception or a rejected promise that nobody caught leaves the application in an unknown state: it is logged, running
 * requests get `graceful-timeout` to finish, and the process ends with 1, so that whoever watches it starts another.
 */

import { isatty } from 'node:tty'
import type { ServerLog } from '../log.ts'
import { EXIT_FAILED, EXIT_OK } from './errors.ts'

/** What there is to end, from the moment that requests are served. */
export interface Serving {
  /** Takes no more requests, finishes what runs; after `graceMs` milliseconds it is cut off. May be called again, with less. */
  drain(graceMs: number): Promise<void>
  /** After the last request. */
  close(): Promise<void>
  /** The children, if there are any. */
  readonly pool?: Pool
}

/** What signals do to a pool of children. */
export interface Pool {
  /** Replaces all children; the outcome is in the log. */
  reload(reason: string): Promise<void>
  /** One child more or fewer. */
  hear(stimulus: { readonly type: 'more' | 'fewer' }): void
  /** Resolves to an exit code when there are no children any more. */
  readonly ended: Promise<number>
}

export interface Life {
  /** Rejects with what nobody caught before `serve` was called. */
  readonly stillbirth: Promise<never>
  /** From now on the end is orderly. Resolves to the exit code when it is over. */
  serve(serving: Serving): Promise<number>
  /** Does something synchronous however the process ends, a KILL apart; the last added first. */
  atExit(cleanUp: () => void): void
  /** Ends the process: an application may have left timers and sockets that would keep it. */
  exit(code: number): never
}

/** Takes over signals and crashes of this process. `gracefulTimeout` is milliseconds. */
export const beginLife = (log: ServerLog, gracefulTimeout: number): Life => new ProcessLife(log, gracefulTimeout)

/** How long an application's own `close()` may take. */
const CLOSE_TIMEOUT = 5_000

/** What a shell reports for a program that a signal ended. */
const SIGNAL_EXIT = { SIGINT: 130, SIGTERM: 143, SIGQUIT: 131 } as const

class ProcessLife implements Life {
  readonly stillbirth: Promise<never>
  readonly #log: ServerLog
  readonly #gracefulTimeout: number
  readonly #hadTerminal = isatty(0)
  readonly #cleanUps: (() => void)[] = []
  #serving: Serving | null = null
  #stopping = false
  #exitCode = EXIT_OK
  #miscarry: (error: unknown) => void = () => {}
  #over: (code: number) => void = () => {}

  constructor(log: ServerLog, gracefulTimeout: number) {
    this.#log = log
    this.#gracefulTimeout = gracefulTimeout
    this.stillbirth = new Promise((_, reject) => {
      this.#miscarry = reject
    })
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => this.#onStop(signal))
    process.on('SIGQUIT', () => this.exit(this.#serving === null ? SIGNAL_EXIT.SIGQUIT : EXIT_OK))
    process.on('SIGHUP', () => this.#onHangup())
    process.on('SIGUSR1', () => this.#onReopen())
    process.on('SIGTTIN', () => this.#onResize('SIGTTIN', 'more'))
    process.on('SIGTTOU', () => this.#onResize('SIGTTOU', 'fewer'))
    process.on('SIGUSR2', () => this.#ignore('SIGUSR2'))
    process.on('uncaughtException', (error, origin) => this.#onCrash(error, origin))
    process.on('exit', () => this.#leave())
  }

  serve(serving: Serving): Promise<number> {
    this.#serving = serving
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
    if (this.#hadTerminal && !isatty(0)) this.#dieWithTerminal()
    process.exit(code)
  }

  /** Node aborts in `process.exit` when the terminal that it wants to set back has gone (seen on Node 20). */
  #dieWithTerminal(): void {
    this.#leave()
    process.removeAllListeners('SIGHUP')
    process.kill(process.pid, 'SIGHUP')
  }

  #onStop(signal: 'SIGTERM' | 'SIGINT'): void {
    if (this.#serving === null) this.exit(SIGNAL_EXIT[signal])
    this.#log.info({ signal }, this.#stopping ? `${signal} again: stopping now` : `${signal}: finishing what runs`)
    this.#stop(this.#serving, this.#stopping ? 0 : this.#gracefulTimeout)
  }

  /** A terminal that has gone answers nothing any more, not even what it is. */
  #onHangup(): void {
    const pool = this.#serving?.pool
    if (this.#hadTerminal && !isatty(0)) this.#onStop('SIGTERM')
    else if (pool === undefined) this.#ignore('SIGHUP')
    else void pool.reload('SIGHUP').catch(error => this.#log.debug({ err: error }, 'reload failed'))
  }

  #onResize(signal: 'SIGTTIN' | 'SIGTTOU', type: 'more' | 'fewer'): void {
    const pool = this.#serving?.pool
    if (pool === undefined) this.#ignore(signal)
    else pool.hear({ type })
  }

  #onReopen(): void {
    this.#log.reopen()
    this.#log.info({ signal: 'SIGUSR1' }, 'log files opened again')
  }

  #ignore(signal: string): void {
    this.#log.warn({ signal }, `${signal} does nothing in this version`)
  }

  #onCrash(error: unknown, origin: string): void {
    if (this.#serving === null) {
      this.#miscarry(error)
      return
    }
    const what = origin === 'unhandledRejection' ? 'a rejected promise' : 'an exception'
    this.#exitCode = EXIT_FAILED
    this.#log.error({ err: error }, `the application did not catch ${what}: finishing what runs, then exit 1`)
    if (!this.#stopping) this.#stop(this.#serving, this.#gracefulTimeout)
  }

  async #stop(serving: Serving, graceMs: number): Promise<void> {
    this.#stopping = true
    try {
      await serving.drain(graceMs)
      await Promise.race([serving.close(), new Promise(resolve => setTimeout(resolve, CLOSE_TIMEOUT).unref())])
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
