/** What one connection allows (src/fcgi/connection.ts); some of it is told to the peer (src/fcgi/management.ts). */
export interface ConnectionLimits {
  /** Bytes of PARAMS a request may have in all before it is refused with 431. */
  readonly maxParamsSize: number
  /** Requests in flight on one connection before the next is refused with 503; also the answer to FCGI_MAX_REQS. */
  readonly maxInflight: number
  /** Requests whose PARAMS have not ended, before the connection is given up. */
  readonly maxIncomplete: number
  /** The answer to FCGI_MAX_CONNS. */
  readonly maxConnections: number
  /** Whether requests of the role Authorizer are served (§6.3). Asked for each; without it they get UNKNOWN_ROLE. */
  readonly authorizer: boolean
  /** Whether PARAMS are decoded only when somebody asks for them (`LateParams`). */
  readonly late?: boolean
}
