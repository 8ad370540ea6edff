/**
 * The environ of a WSGI-style application: a plain object with the CGI variables, what PEP 3333 adds to them under `wsgi.`,
 * and `runfcgi.signal`.
 */

import type { Readable, Writable } from 'node:stream'
import type { RequestFacts } from '../../cgi/request.ts'

/** CGI variables are one character a byte (latin1), as PEP 3333 has them; PATH_INFO is percent-decoded. */
export interface WsgiEnviron {
  [variable: Uppercase<string>]: string | undefined
  [extension: `${string}.${string}`]: unknown

  GATEWAY_INTERFACE: string
  REQUEST_METHOD: string
  /** Where the application is mounted: '' at the root, never with a slash at its end. */
  SCRIPT_NAME: string
  /** The path below that: '' or starting with a slash. */
  PATH_INFO: string
  QUERY_STRING: string
  SERVER_NAME: string
  SERVER_PORT: string
  SERVER_PROTOCOL: string
  REMOTE_ADDR: string

  'wsgi.version': readonly [1, 0]
  'wsgi.url_scheme': 'http' | 'https'
  /** The request body. */
  'wsgi.input': Readable
  /** The web server's error log (FCGI_STDERR). */
  'wsgi.errors': Writable
  'wsgi.multithread': boolean
  'wsgi.multiprocess': boolean
  'wsgi.run_once': boolean
  /** Aborted when the client has gone away or time is up. */
  'runfcgi.signal': AbortSignal
}

/** Where the values come from: the request. */
export interface EnvironSource {
  readonly version: WsgiEnviron['wsgi.version']
  readonly scheme: WsgiEnviron['wsgi.url_scheme']
  readonly input: Readable
  readonly errors: Writable
  readonly multithread: boolean
  readonly multiprocess: boolean
  readonly runOnce: boolean
  readonly signal: AbortSignal
}

const APPENDED: Readonly<Record<string, keyof EnvironSource>> = {
  'wsgi.version': 'version',
  'wsgi.url_scheme': 'scheme',
  'wsgi.input': 'input',
  'wsgi.errors': 'errors',
  'wsgi.multithread': 'multithread',
  'wsgi.multiprocess': 'multiprocess',
  'wsgi.run_once': 'runOnce',
}

/** A constructor that makes nothing: what it is called with is `this` for a class that extends it. */
const Given = function given(object: object): object {
  return object
} as unknown as new (
  object: object,
) => object

/** Hangs the source on the environ as a private field: nobody sees it, copying leaves it behind. */
class Origin extends Given {
  readonly #source: EnvironSource

  constructor(environ: object, source: EnvironSource) {
    super(environ)
    this.#source = source
  }

  /** The signal of `environ`, or of what it inherits from (`Object.create(environ)`). */
  static signal(environ: object): AbortSignal | undefined {
    for (let at: object | null = environ; at !== null; at = Object.getPrototypeOf(at)) {
      if (#source in at) return at.#source.signal
    }
    return undefined
  }
}

/**
 * `runfcgi.signal`, made when it is first read: an AbortSignal costs 3 µs, a quarter of a small request. Own and enumerable,
 * because middleware copies an environ (`{ ...environ }`, which reads it), and writable, because middleware may put another
 * one there. A getter in the literal would take six times as long (a function and a hidden class for each object), a WeakMap
 * instead of the private field twice. It must be one and the same descriptor for all objects: with another one they lose
 * their common hidden class.
 */
const SIGNAL: PropertyDescriptor & ThisType<object> = {
  get() {
    return Origin.signal(this)
  },
  set(value: unknown) {
    Object.defineProperty(this, 'runfcgi.signal', { value, writable: true, enumerable: true, configurable: true })
  },
  enumerable: true,
  configurable: true,
}

/** A fresh environ. */
export function wsgiEnviron(facts: RequestFacts, source: EnvironSource): WsgiEnviron {
  const environ = facts.environWith<WsgiEnviron>(APPENDED, source)
  new Origin(environ, source)
  return Object.defineProperty(environ, 'runfcgi.signal', SIGNAL)
}
