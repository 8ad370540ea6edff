/** Settings: what one request may take, in time and bytes. */

import { bytes, duration, int } from '../kinds.ts'
import { setting } from '../setting.ts'

export const limitsSettings = {
  'request-timeout': setting({
    kind: duration(),
    default: 0,
    section: 'Limits',
    help: 'time a request may take before it is answered with 504; 0: no limit',
    reloadable: true,
  }),
  'hang-timeout': setting({
    kind: duration(),
    default: 60_000,
    section: 'Limits',
    help: 'time that the event loop of a child may stand still before the child is replaced; 0: no limit',
    reloadable: true,
  }),
  queue: setting({
    kind: int(0),
    default: 1_024,
    section: 'Limits',
    help: 'requests that may wait when every child is busy; above: 503',
    reloadable: true,
  }),
  'queue-timeout': setting({
    kind: duration(),
    default: 30_000,
    section: 'Limits',
    help: 'time that a request may wait for a child; then 503; 0: no limit',
    reloadable: true,
  }),
  'stdin-timeout': setting({
    kind: duration(),
    default: 60_000,
    section: 'Limits',
    help: 'time that the application may wait for the next piece of a request body; then 408; 0: no limit',
    reloadable: true,
  }),
  'params-timeout': setting({
    kind: duration(1),
    default: 10_000,
    section: 'Limits',
    help: 'time that the CGI variables of a request may take to arrive; then 408',
    reloadable: true,
  }),
  'max-params-size': setting({
    kind: bytes,
    default: 256 * 1024,
    section: 'Limits',
    help: 'bytes of CGI variables (request headers among them) in one request; above: 431',
    reloadable: true,
  }),
  'max-inflight': setting({
    kind: int(1, 65_535),
    default: 128,
    section: 'Limits',
    help: 'requests at once on one connection; above: 503',
    reloadable: true,
  }),
  'max-connections': setting({
    kind: int(1),
    default: 16_384,
    section: 'Limits',
    help: 'open connections; above: closed at once',
    reloadable: true,
  }),
  'max-body-size': setting({
    kind: bytes,
    default: 0,
    section: 'Limits',
    help: 'bytes of one request body; above: 413; 0: no limit',
    reloadable: true,
  }),
  'body-buffer': setting({
    kind: bytes,
    default: 256 * 1024,
    section: 'Limits',
    help: 'bytes of a request body kept in memory before a temporary file is used',
    reloadable: true,
  }),
  'max-spool': setting({
    kind: bytes,
    default: 1024 ** 3,
    section: 'Limits',
    help: 'bytes of a request body in a temporary file; above: 413',
    reloadable: true,
  }),
  'lame-duck': setting({
    kind: duration(),
    default: 0,
    section: 'Limits',
    help: 'time that a server goes on serving after it was told to stop; ping says 503, so that health checks take it out',
    reloadable: true,
  }),
  'graceful-timeout': setting({
    kind: duration(),
    default: 30_000,
    section: 'Limits',
    help: 'time that running requests get to finish when the server stops',
    reloadable: true,
  }),
}
