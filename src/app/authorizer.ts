/**
 * The role Authorizer (FastCGI 1.0 §6.3): before a web server does what it was asked for, serving a file perhaps, it asks
 * whether it may. The answer is 200, with variables for whoever is asked next, or else a reply for the client.
 *
 * A function of one parameter is called as `authorizer(environ)` and returns its decision. One of two parameters is
 * WSGI-style and writes the reply itself, `Variable-…` headers and all: so `export { application as authorizer }` lets the
 * same callable do both, and `environ.FCGI_ROLE` tells it what it is asked.
 *
 * Whatever is no clear yes is a no: an exception, a promise that is rejected and a decision that is none of the four are
 * answered 500, which refuses.
 */

import { STATUS_CODES } from 'node:http'
import type { Header } from '../cgi/reply.ts'
import type { AdapterOptions, Application } from './exchange.ts'
import { type WsgiBody, type WsgiCallable, type WsgiEnviron, wsgiApplication } from './wsgi/wsgi.ts'

/** The request may go on. */
export interface Grant {
  /** For whoever is asked next: the web server adds them to the CGI variables. Each character one byte, as in `environ`. */
  readonly variables: Readonly<Record<string, string | number>>
}

/** The request may not go on: this is sent to the client. */
export interface Refusal {
  /** `401`, or with a reason of your own: `'401 Who are you?'`. Not 200. */
  readonly status: number | string
  readonly headers?: Iterable<Header>
  /** Default: the status, as text. */
  readonly body?: string | Uint8Array
}

/** True and false are a grant without variables and a refusal with 403. */
export type Decision = boolean | Grant | Refusal

/** `environ` is that of a WSGI-style application, and `FCGI_ROLE` is `'AUTHORIZER'`; there is no request body. */
export type Authorizer = (environ: WsgiEnviron) => Decision | Promise<Decision>

const TEXT: Header = ['Content-Type', 'text/plain; charset=utf-8']

/** `application`, and `authorizer` for requests of the role Authorizer. */
export function authorizing(
  application: Application,
  authorizer: Authorizer | WsgiCallable,
  options: AdapterOptions,
): Application {
  const callable = authorizer.length < 2 ? deciding(authorizer as Authorizer) : (authorizer as WsgiCallable)
  const gate = wsgiApplication((environ, startResponse) => {
    environ.FCGI_ROLE = 'AUTHORIZER'
    return callable(environ, startResponse)
  }, options)
  return {
    ...application,
    authorizes: true,
    handle: exchange => (exchange.role === 'authorizer' ? gate : application).handle(exchange),
  }
}

/** Stands for the application where there is only an authorizer. */
export const noApplication: WsgiCallable = (_environ, startResponse) => {
  startResponse('501 Not Implemented', [TEXT])
  return '501 Not Implemented\n\nThere is an authorizer here, and no application.\n'
}

function deciding(authorizer: Authorizer): WsgiCallable {
  return async (environ, startResponse): Promise<WsgiBody> => {
    const decision: unknown = await authorizer(environ)
    if (decision === true) return grant(startResponse, {})
    if (decision === false) return refuse(startResponse, { status: 403 })
    if (isObject(decision) && isObject(decision.variables) && decision.status === undefined)
      return grant(startResponse, decision.variables as Grant['variables'])
    if (isObject(decision) && decision.variables === undefined && isRefusal(decision.status))
      return refuse(startResponse, decision as unknown as Refusal)
    throw new TypeError('an authorizer returns true, false, { variables } or { status, headers, body } that refuses')
  }
}

type Start = Parameters<WsgiCallable>[1]

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

const isRefusal = (status: unknown): boolean => status !== undefined && Number.parseInt(String(status), 10) !== 200

function grant(start: Start, variables: Grant['variables']): WsgiBody {
  const headers = Object.entries(variables).map(([name, value]): Header => [`Variable-${name}`, value])
  start('200 OK', headers)
  return ''
}

function refuse(start: Start, { status, headers = [], body }: Refusal): WsgiBody {
  const line = typeof status === 'number' ? `${status} ${STATUS_CODES[status] ?? 'Refused'}` : status
  const given = [...headers]
  start(line, body === undefined ? [...given, TEXT] : given)
  return body ?? `${line}\n`
}
