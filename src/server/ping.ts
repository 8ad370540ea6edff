/**
 * `ping`: a path that is answered here, before the application, for health checks: 200 as long as requests are welcome, 503
 * while the server stops. PHP-FPM's `ping.path`. Knows nothing of the application's health: it has pages of its own for that.
 */

import type { Application, Exchange, RequestHandler } from '../app/exchange.ts'
import type { Params } from '../cgi/params.ts'
import { planFor } from '../cgi/plan.ts'

const PONG = 'pong\n'
const HEAD =
  `Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${PONG.length}\r\n` +
  'Cache-Control: no-store\r\n\r\n'

const answered: RequestHandler = {
  onStdin: () => true,
  onStdinEnd() {},
  onDrain() {},
  onAbort() {},
}

/** `app`, except for what asks for `path`. */
export function pinging(app: Application, path: string, stopping: () => boolean): Application {
  return {
    interface: app.interface,
    handle(exchange) {
      if (exchange.role !== 'responder' || pathOf(exchange.params) !== path) return app.handle(exchange)
      answer(exchange, stopping())
      return answered
    },
  }
}

function answer(exchange: Exchange, stopping: boolean): void {
  if (stopping) {
    exchange.refuse(503)
    return
  }
  const { names, values } = exchange.params
  const isHead = planFor(names).get(values, 'REQUEST_METHOD') === 'HEAD'
  exchange.head(200, HEAD, isHead ? -1 : PONG.length)
  exchange.end(isHead ? '' : PONG)
}

/** As the client sent it, from the root on. */
function pathOf({ names, values }: Params): string {
  const plan = planFor(names)
  const uri = plan.get(values, 'REQUEST_URI')
  if (uri === undefined || uri === '')
    return `${plan.get(values, 'SCRIPT_NAME') ?? ''}${plan.get(values, 'PATH_INFO') ?? ''}`
  const end = uri.indexOf('?')
  return end < 0 ? uri : uri.slice(0, end)
}
