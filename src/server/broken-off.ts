/**
 * How a reply that breaks off is ended: the application failed after the head, time ran out, bytes of its Content-Length are
 * missing. What END_REQUEST ends is whole to nginx, Apache, lighttpd and HAProxy alike, whatever appStatus says, and they
 * tell the client so: the last chunk is sent. A connection that ends in its place is what they pass on, if need be with a
 * hint (`Connection.breakOff`). Caddy 2.6 and h2o 2.2 take a reply of unknown length for whole either way.
 */

import type { Params } from '../cgi/params.ts'
import { planFor, requestLine } from '../cgi/plan.ts'
import { hasNoBody } from '../cgi/reply.ts'

export interface Reply {
  readonly params: Params
  readonly status: number
  readonly headSent: boolean
  /** Bytes of body so far. */
  readonly sent: number
}

/** Whether it is the connection that has to end. `declared`: the Content-Length, -1 if there is none. */
export function endsWithConnection(reply: Reply, declared: number, appStatus: number): boolean {
  const incomplete = declared > reply.sent || (declared < 0 && appStatus !== 0 && isEndless(reply))
  return incomplete && !isProcessManager(reply.params)
}

/** Where the reply ends nothing but its end tells. */
const isEndless = ({ headSent, params, status }: Reply): boolean =>
  headSent && !hasNoBody(requestLine(params).method, status)

/** mod_fcgid puts an error page behind what it has sent, and ends the process. mod_fastcgi insists on END_REQUEST. */
function isProcessManager({ names, values }: Params): boolean {
  const plan = planFor(names)
  const isApache = plan.get(values, 'SERVER_SOFTWARE')?.startsWith('Apache') === true
  return isApache && plan.get(values, 'SCRIPT_FILENAME')?.startsWith('proxy:') !== true
}
