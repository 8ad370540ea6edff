/**
 * What one responder allows. The settings table (src/config) has an entry for each; these are the library's defaults.
 */
export interface Limits {
  /** Bytes of PARAMS per request; above: 431. nginx and Apache stop at 64 KiB, h2o does not. */
  readonly maxParamsSize: number
  /** Requests in flight per connection; above: 503. HAProxy's `max-reqs` goes up to what FCGI_MAX_REQS says. */
  readonly maxInflight: number
  /** Open connections; above: closed at once. */
  readonly maxConnections: number
  /** Bytes of body per request; above: 413. 0: no limit (the web server has one). */
  readonly maxBodySize: number
  /** Bytes of unread body kept in memory per request before a temporary file is used. */
  readonly bodyBuffer: number
  /** Bytes of unread body kept in all per request; above: 413. */
  readonly maxSpool: number
  /** Milliseconds a request may take in all; then 504, or the reply is cut off. 0: no limit. */
  readonly requestTimeout: number
  /** Milliseconds between two pieces of a body the application waits for; then 408, or the reply is cut off. 0: no limit. */
  readonly stdinTimeout: number
  /** Milliseconds from BEGIN_REQUEST to the end of PARAMS; then 408. */
  readonly paramsTimeout: number
}

/** Those of the command, whose settings have the same names. */
export const DEFAULT_LIMITS: Limits = {
  maxParamsSize: 256 * 1024,
  maxInflight: 128,
  maxConnections: 16_384,
  maxBodySize: 0,
  bodyBuffer: 256 * 1024,
  maxSpool: 1024 * 1024 * 1024,
  requestTimeout: 0,
  stdinTimeout: 60_000,
  paramsTimeout: 10_000,
}

/** Requests per connection whose PARAMS have not ended; above: the connection is closed (golang/go#81548). */
export const MAX_INCOMPLETE = 64

/** How much of a body that nobody wants any more is read, and for how long, before the connection is closed. */
export const DRAIN_BYTES = 64 * 1024 * 1024
export const DRAIN_MS = 30_000

/** How long a new connection may take to its first request when the server is being stopped. */
export const FIRST_REQUEST_MS = 1_000

/** How long the last bytes of a reply wait for a peer that does not take them when the server is being stopped. */
export const LINGER_MS = 1_000

/** Reply bytes waiting for the peer before the application is asked to wait. */
export const OUTPUT_HIGH_WATER = 64 * 1024

/** Replies up to this many bytes are written together with those of other connections (src/server/connections/turn.ts). */
export const SHARED_WRITE = 16 * 1024

/** Unread body of the only request on a connection before the socket is not read any more. */
export const STDIN_HIGH_WATER = 64 * 1024

/** How often timeouts are looked at, in milliseconds: one coarse clock for all requests of a process. */
export const TICK_MS = 250

/** How much of the time between two ticks counts against peers, at most: in a longer one nobody has listened to them. */
export const LONGEST_STEP_MS = 2 * TICK_MS

/** How long connections that others are to take wait for a moment without a request, in milliseconds. */
export const SHED_MS = 1_000
