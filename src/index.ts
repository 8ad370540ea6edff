/** The public names of the package. The command is src/cli.ts. */

export type { Authorizer, Decision, Grant, Refusal } from './app/authorizer.ts'
export type { InterfaceName } from './app/exchange.ts'
export type { FetchContext, FetchFunction, FetchHandler } from './app/fetch/fetch.ts'
export { fileBody } from './app/file-body.ts'
export type { NodeListener, NodeRequest } from './app/node/node.ts'
export type { StartResponse, WsgiCallable, WsgiEnviron } from './app/wsgi/wsgi.ts'
export { type ServeOptions, serve } from './cli/serve.ts'
export type { Log } from './log.ts'
export { createServer, type FastCgiServer, type ServerOptions } from './server/create-server.ts'
export { DEFAULT_LIMITS, type Limits } from './server/limits.ts'

/**
 * Replaces the global Request, Response and fetch by lighter ones, for a process whose only business is a fetch handler;
 * the command does it for such applications by itself. Resolves to what undoes it.
 *
 * Loaded when it is called: Node needs 40 ms for the global ones alone, which many programs never touch.
 */
export async function installLightGlobals(): Promise<() => void> {
  return (await import('./app/fetch/light-globals.ts')).installLightGlobals()
}
