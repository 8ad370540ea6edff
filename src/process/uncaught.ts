/**
 * Exceptions and rejected promises that nobody caught, of the application as of runfcgi. An application that has a listener
 * of its own for 'uncaughtException' decides itself what becomes of the process, as under node.
 */

type Hear = (error: unknown, origin: NodeJS.UncaughtExceptionOrigin) => void

/** Calls `hear` with each that the application has no listener for. */
export function onUncaught(hear: Hear): void {
  const listener: Hear = (error, origin) => {
    if (!process.listeners('uncaughtException').some(other => other !== listener && decides(other))) hear(error, origin)
  }
  process.on('uncaughtException', listener)
}

/**
 * Not that of Sentry, which marks it so, reports, and leaves the process to any other listener; nor that of node:domain, which
 * cleans up.
 */
const decides = (listener: { readonly name: string; readonly _errorHandler?: unknown }): boolean =>
  listener._errorHandler !== true && listener.name !== 'domainUncaughtExceptionClear'
