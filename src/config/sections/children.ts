/** Settings: processes and threads: how many, how long, how chosen. What follows from them is in src/process/pool/policy.ts. */

import { bool, bytes, duration, int, list, oneOf, path } from '../kinds.ts'
import { setting } from '../setting.ts'

export const childrenSettings = {
  method: setting({
    kind: oneOf(['prefork', 'threaded', 'inline'], { fork: 'prefork', thread: 'threaded' }),
    default: 'prefork',
    defaultText: 'prefork; inline if a web server starts the program',
    section: 'Children',
    help: 'run the application in processes (prefork), in threads of one process (threaded), or in this process alone (inline): for a debugger, since nobody replaces it when it crashes',
  }),
  maxchildren: setting({
    kind: int(1, 10_000),
    default: facts => facts.cores,
    defaultText: 'the number of processors',
    section: 'Children',
    help: 'children at most',
    reloadable: true,
  }),
  minspare: setting({
    kind: int(0, 10_000),
    default: facts => Math.min(2, facts.maxspare),
    defaultText: '2, or maxspare if less',
    section: 'Children',
    help: 'idle children to keep ready at least',
    reloadable: true,
  }),
  maxspare: setting({
    kind: int(1, 10_000),
    default: facts => facts.maxchildren,
    defaultText: 'maxchildren',
    section: 'Children',
    help: 'idle children to keep at most',
    reloadable: true,
  }),
  maxrequests: setting({
    kind: int(0),
    default: 0,
    section: 'Children',
    help: 'requests after which a child is replaced; 0: never',
    reloadable: true,
  }),
  'maxrequests-jitter': setting({
    kind: int(0),
    default: 0,
    section: 'Children',
    help: 'up to so many requests more than maxrequests, so that children are not all replaced at once',
    reloadable: true,
  }),
  'max-lifetime': setting({
    kind: duration(),
    default: 0,
    section: 'Children',
    help: 'age at which a child is replaced; 0: never',
    reloadable: true,
  }),
  'max-memory': setting({
    kind: bytes,
    default: 0,
    section: 'Children',
    help: 'memory at which a child is replaced: of a process all of it, of a thread its heap; 0: never',
    reloadable: true,
  }),
  concurrency: setting({
    kind: int(0),
    default: 0,
    section: 'Children',
    help: 'requests that one child runs at once; 0: no limit; 1: like PHP-FPM',
    reloadable: true,
  }),
  'idle-timeout': setting({
    kind: duration(),
    default: 10_000,
    section: 'Children',
    help: 'time after which an idle child above maxspare is ended',
    reloadable: true,
  }),
  'start-timeout': setting({
    kind: duration(1),
    default: 60_000,
    section: 'Children',
    help: 'time a child may take to load the application',
    reloadable: true,
  }),
  balance: setting({
    kind: oneOf(['shared', 'round-robin']),
    default: 'shared',
    section: 'Children',
    help: 'prefork: workers accept connections themselves (shared), or are handed them in turn (round-robin)',
  }),
  'touch-reload': setting({
    kind: list(path()),
    default: [],
    defaultText: 'none',
    section: 'Children',
    help: 'reload when one of these files is touched',
  }),
  watch: setting({
    kind: bool,
    default: false,
    section: 'Children',
    help: 'reload when a source file below the current folder changes: for development',
  }),
}
