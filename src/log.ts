/**
 * The log, and the files that lines go to. The only file that loads pino; everybody else is handed a `Log`.
 *
 * pino takes about as long to load as the rest of the program (30 ms), so it is loaded a moment after the first line,
 * when the first requests have been answered; lines wait until then. `flush()` loads it at once: whoever ends the
 * process calls it.
 */

import { createRequire } from 'node:module'
import type { Logger } from 'pino'
import { LogFile } from './log/file.ts'

/** What the layers below use of a pino logger. */
export interface Log {
  debug(details: object, message: string): void
  info(details: object, message: string): void
  warn(details: object, message: string): void
  error(details: object, message: string): void
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface LogOptions {
  /** The least important messages to write. */
  readonly level: LogLevel | 'silent'
  /** Where the log goes: an absolute path or a descriptor. Default 2. */
  readonly err?: string | number | undefined
  /** Where `print('out', …)` goes. Default 1. */
  readonly out?: string | number | undefined
  /** Where `print('access', …)` goes; lines are collected for up to a second. Default: the same as `out`. */
  readonly access?: string | undefined
  /** Lines for people instead of JSON. */
  readonly pretty?: boolean | undefined
  readonly color?: boolean | undefined
  /**
   * Lines wait for `settle`, for some seconds at most: whoever reads the log reads the one-line error of a failed start as
   * well, and needs no more.
   */
  readonly hold?: boolean | undefined
}

export type Channel = 'out' | 'err' | 'access'

export interface ServerLog extends Log {
  /** Text that is not the log's own: what the application prints, lines of the access log. */
  print(channel: Channel, text: string): void
  /** From now on. */
  setLevel(level: LogLevel | 'silent'): void
  /**
   * Opens the files again under their names, after logrotate has moved them. Returns the errors of those that cannot be
   * opened, which are in the log as well: there the old ones go on.
   */
  reopen(): readonly unknown[]
  /** The start that lines were held back for has succeeded, or failed: then they are dropped, what was printed is not. */
  settle(started: boolean): void
  /** Returns when everything is written. */
  flush(): void
}

/** Creates a log. Files are opened with the first line; nothing here throws when one cannot be written. */
export const createLog = (options: LogOptions): ServerLog => new DeferredLog(options)

type Entry =
  | { readonly level: LogLevel; readonly details: object; readonly message: string; readonly time: number }
  | { readonly channel: Channel; readonly text: string }

const RANK: Readonly<Record<LogOptions['level'], number>> = { debug: 0, info: 1, warn: 2, error: 3, silent: 4 }

/** Milliseconds from the first line to the loading of pino. */
const LOAD_DELAY = 100

/** Milliseconds that lines are held back at most: whoever waits so long wants to know what is going on. */
const HOLD_MS = 5_000

class DeferredLog implements ServerLog {
  #options: LogOptions
  #held: boolean
  #waiting: Entry[] = []
  #loaded: Outputs | null = null

  constructor(options: LogOptions) {
    this.#options = options
    this.#held = options.hold === true
  }

  debug(details: object, message: string): void {
    this.#log('debug', details, message)
  }

  info(details: object, message: string): void {
    this.#log('info', details, message)
  }

  warn(details: object, message: string): void {
    this.#log('warn', details, message)
  }

  error(details: object, message: string): void {
    this.#log('error', details, message)
  }

  print(channel: Channel, text: string): void {
    if (this.#loaded !== null) this.#loaded.print(channel, text)
    else this.#wait({ channel, text })
  }

  setLevel(level: LogLevel | 'silent'): void {
    this.#options = { ...this.#options, level }
    if (this.#loaded !== null) this.#loaded.logger.level = level
  }

  reopen(): readonly unknown[] {
    return this.#loaded?.reopen() ?? []
  }

  settle(started: boolean): void {
    this.#held = false
    if (this.#loaded !== null) return
    // People are greeted instead; that children were started is no news to them.
    const isNews = (entry: Entry): boolean => 'channel' in entry || (started && entry.level !== 'info')
    if (!started || this.#options.pretty) this.#waiting = this.#waiting.filter(isNews)
    if (started && this.#waiting.length > 0) this.#loadSoon()
  }

  flush(): void {
    if (this.#waiting.length > 0) this.#load()
    this.#loaded?.flush()
  }

  #log(level: LogLevel, details: object, message: string): void {
    if (this.#loaded !== null) this.#loaded.logger[level](details, message)
    else if (RANK[level] >= RANK[this.#options.level]) this.#wait({ level, details, message, time: Date.now() })
  }

  #wait(entry: Entry): void {
    if (this.#waiting.length === 0) this.#loadSoon()
    this.#waiting.push(entry)
  }

  #loadSoon(): void {
    const delay = this.#held ? HOLD_MS : this.#options.pretty ? 0 : LOAD_DELAY
    setTimeout(() => this.#load(), delay).unref()
  }

  #load(): Outputs {
    if (this.#loaded !== null) return this.#loaded
    const outputs = new Outputs(this.#options)
    this.#loaded = outputs
    for (const entry of this.#waiting.splice(0)) {
      if ('channel' in entry) outputs.print(entry.channel, entry.text)
      else outputs.replay(entry)
    }
    return outputs
  }
}

const require = createRequire(import.meta.url)

/** How much of the access log is written at a time. */
const COLLECT_BYTES = 8_192

/** What an application prints goes there as well, unless it is redirected. */
const streamOf = (name: string | number): NodeJS.WriteStream | undefined =>
  name === 1 ? process.stdout : name === 2 ? process.stderr : undefined

/** pino and the files, loaded. */
class Outputs {
  readonly logger: Logger
  readonly #files: Readonly<Record<Channel, LogFile>>
  /** When set, the time of the line that is being written. */
  #time: number | null = null

  constructor(options: LogOptions) {
    const { default: pino } = require('pino') as typeof import('pino')
    const unopened: unknown[] = []
    const { err: errName = 2, out: outName = 1, access: accessName = outName } = options
    const open = (name: string | number, collectBytes = 0): LogFile => {
      const onError = (error: unknown): void => this.#complain(error)
      try {
        return new LogFile(name, { collectBytes, onError, beside: streamOf(name) })
      } catch (error) {
        unopened.push(error)
        return new LogFile(2, { onError, beside: streamOf(2) })
      }
    }
    const err = open(errName)
    const out = outName === errName ? err : open(outName)
    const access = accessName === outName ? out : accessName === errName ? err : open(accessName, COLLECT_BYTES)
    this.#files = { err, out, access }
    const shape = options.pretty ? pretty(options.color ?? false) : (line: string) => line
    this.logger = pino(
      {
        level: options.level,
        base: { pid: process.pid },
        timestamp: () => `,"time":"${new Date(this.#time ?? Date.now()).toISOString()}"`,
        formatters: { level: label => ({ level: label }) },
      },
      { write: line => err.write(shape(line)) },
    )
    for (const error of unopened) this.#complain(error)
  }

  replay({ level, details, message, time }: Extract<Entry, { level: LogLevel }>): void {
    this.#time = time
    this.logger[level](details, message)
    this.#time = null
  }

  print(channel: Channel, text: string): void {
    this.#files[channel].write(text)
  }

  reopen(): unknown[] {
    const errors: unknown[] = []
    for (const file of this.#distinct()) {
      try {
        file.reopen()
      } catch (error) {
        errors.push(error)
      }
    }
    for (const error of errors) this.#complain(error)
    return errors
  }

  flush(): void {
    for (const file of this.#distinct()) file.flush()
  }

  #distinct(): Set<LogFile> {
    return new Set(Object.values(this.#files))
  }

  #complain(error: unknown): void {
    this.logger.error({ err: error }, 'cannot write a log file')
  }
}

function pretty(colorize: boolean): (line: string) => string {
  const { prettyFactory } = require('pino-pretty') as typeof import('pino-pretty')
  const format = prettyFactory({ colorize, ignore: 'pid,hostname,generation', translateTime: 'SYS:HH:MM:ss' })
  return line => format(line) ?? line
}
