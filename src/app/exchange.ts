/**
 * One request and its reply, as the code that runs an application sees it: the port between the three callables (this
 * folder) and whoever carries bytes (src/server in the same process, the thread bridge across a MessagePort).
 *
 * No FastCGI here. STDIN is pushed to a handler and held back on request; STDOUT is a header block and bytes.
 */

import type { Params } from '../cgi/params.ts'

/** Why a request ended before its reply did. */
export type AbortReason =
  /** The web server closed the connection or sent FCGI_ABORT_REQUEST: nobody reads the reply any more. */
  | 'client-gone'
  /** `request-timeout` ran out. The exchange has already answered what could be answered, as in all cases below. */
  | 'timeout'
  /** The application waited longer than `stdin-timeout` for the next piece of the body. */
  | 'stdin-timeout'
  /** The body is larger than `max-body-size` or than what may be kept of it unread: 413 was answered. */
  | 'body-too-large'
  /** The server is being stopped and `graceful-timeout` has run out. */
  | 'shutdown'

/**
 * What an application runner hands back for each request. The exchange calls these; none is called before
 * `Application.handle` has returned, and none after the reply has ended, except that `onAbort` comes at most once.
 */
export interface RequestHandler {
  /** Body bytes, only while reading has been asked for. The chunk is the handler's to keep. False: stop, as `pauseStdin()`. */
  onStdin(chunk: Buffer): boolean
  /** The body is complete: everything before it has been handed over. Not called when `bodyless` was true from the start. */
  onStdinEnd(): void
  /** After `write()` returned false: the peer has taken what was waiting. */
  onDrain(): void
  /** The request is over before its reply was. Whatever is written from now on is dropped. */
  onAbort(reason: AbortReason): void
}

/**
 * What the web server asks for (FastCGI 1.0 §6): a reply, or whether the request may go on to what it is for. A reply of
 * 200 to the second question lets it: whoever does not know the question must not answer it.
 */
export type RequestRole = 'responder' | 'authorizer'

export interface Exchange {
  readonly role: RequestRole

  /** The CGI variables as the web server sent them, each character one byte (latin1). */
  readonly params: Params

  /** True when it is already known that there is no body: STDIN has ended and held nothing. */
  readonly bodyless: boolean

  /** True from the moment of `onAbort`. */
  readonly aborted: boolean

  /** True once a byte of STDOUT has been handed to the connection: it is too late for another status. */
  readonly headSent: boolean

  /** Let body bytes come. Starts out paused; what arrived meanwhile is buffered, within the server's limits. */
  resumeStdin(): void

  /** Hold body bytes back; the web server feels it. */
  pauseStdin(): void

  /**
   * The header block, one character a byte, with the empty line at its end and nothing after it: `Status: 200 OK\r\n…\r\n\r\n`.
   * It is kept until the next write(), flush() or end(), so that head and body share one record and one write. May be called
   * again (another status) as long as `headSent` is false.
   *
   * `contentLength` is the declared length of the body, or -1 if none is declared: a reply that ends short of it closes
   * the connection instead of leaving the client waiting. Pass -1 for a reply that must not have a body.
   */
  head(status: number, block: string, contentLength: number): void

  /** Send a header block that is still kept back now, without waiting for the body. */
  flush(): void

  /**
   * Body bytes. A string is UTF-8 unless `latin1` is set (then each character is one byte). Bytes are not copied: they
   * must not change until they were sent. False: the peer is slow, wait for `onDrain` (the bytes are accepted all the same).
   */
  write(chunk: string | Uint8Array, latin1?: boolean): boolean

  /** The last bytes, if any, and the end of the reply. Later calls are ignored. */
  end(chunk?: string | Uint8Array, latin1?: boolean): void

  /**
   * The application failed. Logs it with the request, writes the stack to FCGI_STDERR, and ends the reply: with a plain
   * 500 page if nothing was sent yet (details only with `debug`), else by cutting it off with appStatus 1.
   */
  fail(error: unknown): void

  /** Answers with a plain page of runfcgi's own (`503 Service Unavailable`), or cuts the reply off if it has begun. */
  refuse(status: number): void

  /**
   * Lets somebody else answer the request, as if it had never come here. True if they do: nothing of it is left. Absent
   * where there is nobody; in vain once the application has asked for a body or has answered.
   */
  handBack?(): boolean

  /** Text for the web server's error log (FCGI_STDERR). */
  stderr(chunk: string | Uint8Array): void
}

/** How requests are processed around one call: PEP 3333's `wsgi.multithread`, `wsgi.multiprocess`, `wsgi.run_once`. */
export interface Concurrency {
  readonly multithread: boolean
  readonly multiprocess: boolean
  readonly runOnce: boolean
}

export type InterfaceName = 'wsgi' | 'node' | 'fetch'

/** An application ready to serve: one of the three callables behind one function. */
export interface Application {
  readonly interface: InterfaceName
  /** It answers requests of the role Authorizer too. They are never given to an application that does not say so. */
  readonly authorizes?: boolean | undefined
  /** It passes requests on to be answered elsewhere, and seldom looks at their params. */
  readonly passesOn?: boolean
  /** Start one request. Must not throw: errors of the application go to `exchange.fail`. May answer before it returns. */
  handle(exchange: Exchange): RequestHandler
  /** Called once when no further request will come (Fastify's `close()`, for example). */
  close?(): Promise<void>
}

/** Files below a folder, and what tells the web server about one of them. */
export interface SendfileRule {
  readonly header: 'X-Sendfile' | 'X-Accel-Redirect'
  /** Absolute, with a slash at its end. */
  readonly folder: string
  /** What stands for the folder in the header. */
  readonly prefix: string
}

/** What the adapters need besides the exchange; filled in from the settings. */
export interface AdapterOptions {
  /** The mount point, `''` for the root, when the person said it; undefined: derived from each request (src/cgi/request.ts). */
  readonly mount?: string | undefined
  readonly concurrency: Concurrency
  /** Replies that are files are left to the web server. None: the application sends them. */
  readonly sendfile?: readonly SendfileRule[]
}
