/**
 * Exceptions and rejected promises that nobody caught, of the application as of runfcgi. An application that has a listener
 * of its own for 'uncaughtException' decides itself what becomes of the process, as under node.
 */

type Hear = (error: unknown, origin: NodeJS.UncaughtExceptionOrigin) => void

/** How soon after an exception an application begins to close that closes because of it. */
const SOON_MS = 1_000

/**
 * Calls `hear` with each that the application has no listener for, and with the last one when it closes its server because
 * of it, which `closed` tells: it will serve nothing more.
 */
export function onUncaught(hear: Hear, closed?: () => Promise<void> | undefined): void {
  let last: Parameters<Hear> | undefined
  let at = 0
  let isWaiting = false
  const conclude = (): void => {
    if (last !== undefined && performance.now() - at < SOON_MS) hear(...last)
  }
  const listener: Hear = (error, origin) => {
    if (!process.listeners('uncaughtException').some(other => other !== listener && decides(other))) {
      hear(error, origin)
      return
    }
    last = [error, origin]
    at = performance.now()
    const end = isWaiting ? undefined : closed?.()
    if (end === undefined) return
    isWaiting = true
    void end.then(conclude)
  }
  process.on('uncaughtException', listener)
}

/**
 * Not that of Sentry, which marks it so, reports, and leaves the process to any other listener; nor that of node:domain, which
 * cleans up.
 */
const decides = (listener: { readonly name: string; readonly _errorHandler?: unknown }): boolean =>
  listener._errorHandler !== true && listener.name !== 'domainUncaughtExceptionClear'
