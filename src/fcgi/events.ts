/** What a connection tells of the bytes that it received (src/fcgi/connection.ts). */

import type { ProtocolError } from './errors.ts'
import type { Params } from './pairs.ts'
import type { Request } from './request.ts'

/** Why a request is not given to the application. Whoever gets the event writes the reply and ends it. */
export type Refusal = 'params-too-large' | 'too-many-requests' | 'params-too-slow' | 'unknown-role'

export type ConnectionEvent =
  /** PARAMS are complete: start the application. */
  | { readonly type: 'request'; readonly request: Request; readonly params: Params }
  | { readonly type: 'refused'; readonly request: Request; readonly reason: Refusal }
  /** Body bytes of an announced request, which nobody else uses. */
  | { readonly type: 'stdin'; readonly request: Request; readonly chunk: Buffer }
  | { readonly type: 'stdinEnd'; readonly request: Request }
  /** FCGI_ABORT_REQUEST for an announced request; END_REQUEST has been written. */
  | { readonly type: 'abort'; readonly request: Request }
  /** The last event there will be: close the connection. */
  | { readonly type: 'violation'; readonly error: ProtocolError }
