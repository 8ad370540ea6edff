/**
 * The fetch callable: `(Request, { env, errors }) => Response | Promise<Response>`, or an object with such a method `fetch`
 * (Hono). One request of the exchange becomes one Request, what is returned becomes the reply.
 *
 * Request URLs are those below the mount point, as for the other callables, so that an application need not know where it
 * is mounted; `env` (the CGI variables) has SCRIPT_NAME and REQUEST_URI. Fetch standard §5.
 */

import type { Writable } from 'node:stream'
import { planFor } from '../../cgi/plan.ts'
import { type RequestFacts, requestFacts } from '../../cgi/request.ts'
import { LazySignal, signalReason } from '../abort.ts'
import type { AbortReason, AdapterOptions, Application, Exchange, RequestHandler } from '../exchange.ts'
import { type Incoming, incomingOf } from '../incoming.ts'
import type { FileReplies } from '../sendfile.ts'
import { errorStream } from '../streams.ts'
import { isThenable } from '../thenable.ts'
import { lightGlobalsInstalled } from './light-globals.ts'
import { genuineRequest, LightRequest, type RequestSource } from './light-request.ts'
import { discardResponse, type Sending, sendResponse } from './reply.ts'
import { RequestBody } from './request-body.ts'
import { requestMethod, requestUrl } from './request-line.ts'

/** The second argument of a fetch handler. */
export interface FetchContext {
  /** The CGI variables, a plain object. */
  readonly env: Record<string, string>
  /** The web server's error log. */
  readonly errors: Writable
  /** The client's address, where `getConnInfo` of @hono/node-server looks for it. */
  readonly incoming: Incoming
}

export type FetchFunction = (request: Request, context: FetchContext) => Response | Promise<Response>
export type FetchHandler = FetchFunction | { readonly fetch: FetchFunction }

/** Runs a fetch handler. Light requests are handed out if `installLightGlobals` was called before the first request. */
export function fetchApplication(handler: FetchHandler, options: AdapterOptions, files?: FileReplies): Application {
  const call: FetchFunction =
    typeof handler === 'function' ? handler : (request, context) => handler.fetch(request, context)
  return { interface: 'fetch', handle: exchange => handle(call, exchange, options.mount, files) }
}

function handle(
  call: FetchFunction,
  exchange: Exchange,
  mount: string | undefined,
  files: FileReplies | undefined,
): RequestHandler {
  const facts = requestFacts(exchange.params, mount)
  const method = requestMethod(facts.method)
  const url = requestUrl(facts.https, facts.host, facts.url)
  const run = new FetchRun(exchange, facts, method ?? '', url ?? '', files)
  // No Request can be made of these, so no handler can be asked.
  if (method === undefined) exchange.refuse(501)
  else if (url === undefined) exchange.refuse(400)
  else run.start(call)
  return run
}

class FetchRun implements RequestHandler, RequestSource {
  readonly method: string
  readonly url: string
  readonly #exchange: Exchange
  readonly #facts: RequestFacts
  #body: RequestBody | undefined
  readonly #signal = new LazySignal()
  #sending: Sending | undefined
  readonly #files: FileReplies | undefined

  constructor(exchange: Exchange, facts: RequestFacts, method: string, url: string, files: FileReplies | undefined) {
    this.#exchange = exchange
    this.#facts = facts
    this.method = method
    this.url = url
    this.#files = files
  }

  start(call: FetchFunction): void {
    let returned: Response | Promise<Response>
    try {
      const request = lightGlobalsInstalled() ? (new LightRequest(this) as unknown as Request) : genuineRequest(this)
      returned = call(request, new Context(this.#exchange, this.#facts))
    } catch (error) {
      this.#exchange.fail(error)
      return
    }
    if (isThenable(returned)) {
      returned.then(
        response => this.#reply(response),
        error => this.#exchange.fail(error),
      )
    } else this.#reply(returned)
  }

  // The exchange's side.

  onStdin(chunk: Buffer): boolean {
    return this.body().receive(chunk)
  }

  onStdinEnd(): void {
    this.#body?.receiveEnd()
  }

  onDrain(): void {
    this.#sending?.drained()
  }

  onAbort(reason: AbortReason): void {
    this.#signal.abort(reason)
    this.#body?.receiveAbort(reason)
    this.#sending?.cancel(signalReason(reason))
  }

  // The request's side.

  get hasBody(): boolean {
    return !this.#exchange.bodyless && this.method !== 'GET' && this.method !== 'HEAD'
  }

  get signal(): AbortSignal {
    return this.#signal.signal
  }

  headerRecord(): Record<string, string> {
    const { names, values } = this.#exchange.params
    return planFor(names).headers(values)
  }

  body(): RequestBody {
    if (this.#body === undefined) {
      this.#body = new RequestBody(this.#exchange)
      if (this.#signal.reason !== undefined) this.#body.receiveAbort(this.#signal.reason)
    }
    return this.#body
  }

  #reply(response: Response): void {
    const { reason } = this.#signal
    if (reason === undefined) this.#sending = sendResponse(this.#exchange, this.method, response, this.#files)
    else discardResponse(response, signalReason(reason))
  }
}

class Context implements FetchContext {
  readonly #exchange: Exchange
  readonly #facts: RequestFacts
  #env: Record<string, string> | undefined
  #errors: Writable | undefined

  constructor(exchange: Exchange, facts: RequestFacts) {
    this.#exchange = exchange
    this.#facts = facts
  }

  get env(): Record<string, string> {
    this.#env ??= this.#facts.environ()
    return this.#env
  }

  get errors(): Writable {
    this.#errors ??= errorStream(this.#exchange)
    return this.#errors
  }

  get incoming(): Incoming {
    return incomingOf(this.#facts)
  }
}
