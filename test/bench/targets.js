/**
 * What the figures must be: each target stands here, once. A target compares two peers of one case, round by round.
 */

const MEGABYTE = 1e6

/**
 * How two rounds are compared. `of`: the figure from the round of the peer and that of the one it is held against.
 * `margin`: a figure that is worse by less (a factor of a ratio, an amount of a difference) is never called a
 * regression: two runs of the same code differ so much.
 */
export const MEASURES = {
  cpu: { title: 'CPU per request', of: (a, b) => a.microseconds / b.microseconds, unit: '×', margin: 1.05 },
  'cpu-more': { title: 'CPU per request, more', of: (a, b) => a.microseconds - b.microseconds, unit: 'µs', margin: 1 },
  bytes: {
    title: 'MB per second of CPU',
    of: (a, b) => b.microseconds / a.microseconds,
    unit: '×',
    margin: 1.05,
    more: true,
  },
  rate: { title: 'requests per second', of: (a, b) => a.perSecond / b.perSecond, unit: '×', margin: 1.05, more: true },
  start: { title: 'time to the first reply', of: (a, b) => a.milliseconds / b.milliseconds, unit: '×', margin: 1.05 },
  memory: {
    title: 'RSS of the process with the application, more',
    of: (a, b) => (a.application - b.application) / MEGABYTE,
    unit: 'MB',
    margin: 0.5,
  },
  thread: { title: 'RSS of one thread more', of: (a, b) => (a.total - b.total) / MEGABYTE, unit: 'MB', margin: 0.5 },
}

/** `atMost` or `atLeast`: the target; without one the figure is only shown. `pairs`: peer and whom it is held against. */
const TARGETS = [
  { case: 'hello', measure: 'cpu', pairs: [['wsgi', 'floor']], atMost: 1.35 },
  { case: 'hello', measure: 'cpu', pairs: [['wsgi', 'libfcgi']], atMost: 1.15 },
  { case: 'hello', measure: 'cpu', pairs: [['wsgi', 'http']], atMost: 0.55 },
  { case: 'hello', measure: 'cpu', pairs: [['node', 'http']], atMost: 0.68 },
  { case: 'hello', measure: 'cpu', pairs: [['fetch', 'hono-http']], atMost: 0.8 },
  {
    case: 'frameworks',
    measure: 'cpu',
    pairs: ['express', 'koa', 'fastify'].map(name => [name, `${name}-http`]),
    atMost: 0.88,
  },
  { case: 'nginx', measure: 'cpu', pairs: [['node', 'http']], atMost: 0.75 },
  { case: 'nginx', measure: 'rate', pairs: [['express', 'express-http']], atLeast: 1.05 },
  {
    case: 'methods',
    measure: 'cpu-more',
    pairs: [
      ['wsgi-threaded', 'wsgi'],
      ['node-threaded', 'node'],
      ['fetch-threaded', 'fetch'],
    ],
    atMost: 10,
  },
  { case: 'hello', measure: 'cpu', pairs: [['wsgi', 'php-fpm']], atMost: 0.33 },
  { case: 'hello', measure: 'cpu', pairs: [['wsgi', 'go']], atMost: 0.25 },
  { case: 'hello', measure: 'cpu', pairs: [['wsgi', 'node-fastcgi']], atMost: 0.05 },
  { case: 'connect', measure: 'cpu', pairs: [['wsgi', 'floor']], atMost: 1.2 },
  ...['file', 'download', 'upload'].map(name => ({
    case: name,
    measure: 'bytes',
    pairs: [
      ['wsgi', 'http'],
      ['node', 'http'],
    ],
    atLeast: 1,
  })),
  { case: 'start', measure: 'start', pairs: [['alone-threaded-1', 'alone']], atMost: 1.5 },
  {
    case: 'memory',
    measure: 'memory',
    pairs: [
      ['alone-prefork', 'alone'],
      ['alone-express-prefork', 'alone-express'],
    ],
    atMost: 6,
  },
  {
    case: 'idle',
    measure: 'cpu',
    pairs: [
      ['wsgi-idle', 'wsgi'],
      ['node-idle', 'node'],
      ['wsgi-threaded-idle', 'wsgi-threaded'],
    ],
    atMost: 1.05,
  },
  {
    case: 'burn',
    measure: 'rate',
    pairs: [
      ['prefork-2', 'prefork-1'],
      ['threaded-2', 'threaded-1'],
    ],
    atLeast: 1.8,
  },
  { case: 'spread', measure: 'rate', pairs: [['prefork-2', 'prefork-1']], atLeast: 1.8 },
  { case: 'balance', measure: 'rate', pairs: [['prefork-2', 'prefork-2-round-robin']], atLeast: 3 },

  {
    case: 'methods',
    measure: 'cpu-more',
    pairs: [
      ['wsgi-prefork', 'wsgi'],
      ['node-prefork', 'node'],
      ['fetch-prefork', 'fetch'],
    ],
  },
  ...['json', 'echo', 'html', 'connect', 'one', 'many', 'wait', 'apache', 'lighttpd'].map(name => ({
    case: name,
    measure: 'cpu',
    pairs: [
      ['wsgi', 'http'],
      ['node', 'http'],
      ['fetch', 'hono-http'],
    ],
  })),
  ...['html', 'one'].map(name => ({ case: name, measure: 'cpu-more', pairs: [['wsgi-threaded', 'wsgi']] })),
  ...['upload', 'download'].map(name => ({ case: name, measure: 'bytes', pairs: [['wsgi-threaded', 'wsgi']] })),
  { case: 'upload', measure: 'bytes', pairs: [['fetch', 'hono-http']] },
  { case: 'file', measure: 'bytes', pairs: [['fetch', 'hono-http']] },
  { case: 'one', measure: 'cpu', pairs: [['wsgi', 'floor']] },
  {
    case: 'many',
    measure: 'cpu',
    pairs: [
      ['wsgi', 'floor'],
      ['wsgi', 'libfcgi'],
    ],
  },
  { case: 'idle', measure: 'cpu', pairs: [['floor-idle', 'floor']] },
  {
    case: 'multiplex',
    measure: 'cpu',
    pairs: [
      ['wsgi-multiplexed', 'wsgi'],
      ['node-multiplexed', 'node'],
    ],
  },
  {
    case: 'nginx',
    measure: 'cpu',
    pairs: [
      ['wsgi', 'http'],
      ['express', 'express-http'],
      ['fetch', 'hono-http'],
      ['wsgi', 'php-fpm'],
    ],
  },
  {
    case: 'nginx',
    measure: 'rate',
    pairs: [
      ['wsgi', 'http'],
      ['node', 'http'],
      ['fetch', 'hono-http'],
    ],
  },
  {
    case: 'start',
    measure: 'start',
    pairs: [
      ['alone-inline', 'alone'],
      ['alone-prefork', 'alone'],
      ['alone-express-threaded-1', 'alone-express'],
    ],
  },
  { case: 'memory', measure: 'memory', pairs: [['alone-inline', 'alone']] },
  { case: 'memory', measure: 'thread', pairs: [['alone-threaded-2', 'alone-threaded-1']] },
]

/** One line for each pair. */
export const COMPARISONS = TARGETS.flatMap(({ pairs, ...target }) =>
  pairs.map(([peer, against]) => ({ ...target, peer, against })),
)

/** Whether a figure is what its target wants; undefined if it has none. */
export function isMet({ atMost, atLeast }, median) {
  if (atMost !== undefined) return median <= atMost
  return atLeast === undefined ? undefined : median >= atLeast
}

/** Whether a figure got worse than another one by more than the intervals of both and the margin. */
export function isWorse(measure, now, then) {
  const { more, margin, unit } = MEASURES[measure]
  const allowed = value => (unit === '×' ? (more ? value / margin : value * margin) : value + margin)
  return more ? now.high < allowed(then.low) : now.low > allowed(then.high)
}
