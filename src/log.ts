/**
 * The log. The only file that imports pino; everybody else is handed a `Log`.
 */

/** What the layers below use of a pino logger. */
export interface Log {
  debug(details: object, message: string): void
  info(details: object, message: string): void
  warn(details: object, message: string): void
  error(details: object, message: string): void
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }
