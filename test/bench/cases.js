/**
 * What is measured: each case is a request, its reply, and how the load asks for it. What the results must be stands in
 * targets.js, who is measured in peers.js.
 */

const MEBIBYTE = 1024 * 1024
const TEXT = { 'Content-Type': 'text/plain; charset=utf-8' }
const JSON_TYPE = 'application/json; charset=utf-8'

/** The values that are known only when the bench runs; the servers get them in their environment. */
export const RUN_TIME = { iterations: 'BENCH_ITERATIONS', file: 'BENCH_FILE' }

/** With Content-Length ten headers, as an API behind a few middlewares sends them. */
const API_HEADERS = {
  'Content-Type': JSON_TYPE,
  'Cache-Control': 'private, max-age=0, must-revalidate',
  ETag: 'W/"7d1-bWFkZSB1cCBieSBoYW5k"',
  Vary: 'Accept-Encoding',
  'X-Request-Id': '0f8e5a1c-6f0b-4c62-9f6a-2f5f0f6d9e11',
  'Strict-Transport-Security': 'max-age=31536000; includeSubDomains',
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Access-Control-Allow-Origin': 'https://www.example.org',
}

const person = id => ({
  id,
  name: `Person Number ${id}`,
  email: `person${id}@example.org`,
  active: id % 2 === 0,
  tags: ['a', 'b'],
})
const people = Array.from({ length: 20 }, (_, index) => person(1000 + index))
/** As JSON about 2,000 bytes. */
const document = () => ({ page: 1, total: people.length, people })
/** As JSON about 1,000 bytes. */
const ORDER = JSON.stringify({ order: 4711, note: 'x'.repeat(80), lines: people.slice(0, 9) })
const PARAGRAPH =
  '<p>It is a truth universally acknowledged, that a page must be in want of some text to fill it.</p>\n'
const PAGE = `<!doctype html>\n<title>A page</title>\n${PARAGRAPH.repeat(1000)}`.slice(0, 100 * 1024)

/** The peers that every kind of request is measured with, and those written in other languages. */
const CALLABLES = ['http', 'wsgi', 'node', 'fetch', 'hono-http']
const FOREIGN = ['libfcgi', 'go', 'php-fpm']
const FRAMEWORKS = ['express', 'express-http', 'koa', 'koa-http', 'fastify', 'fastify-http']

const HELLO = {
  method: 'GET',
  path: '/hello',
  headers: TEXT,
  answer: 'reply',
  reply: 'Hello, World!\n',
  connections: 16,
  keepAlive: true,
}

/** 10 MB each time: few connections, longer rounds. */
const BULK = { ...HELLO, connections: 4, seconds: 0.3, rounds: 9, warmUp: { seconds: 1 } }

/**
 * `answer`: which of the functions in applications.js makes the reply. `keepAlive`: the connection is kept, else each
 * request has its own. `front`: the web server before it. `settle`: seconds of load before those that count for requests
 * per second. `seconds`, `rounds`, `warmUp`: other than the usual ones, unless the command line has them. `kind`: not load but start-up or memory. `byNameOnly`: left out unless --cases has it.
 */
export const CASES = {
  hello: {
    ...HELLO,
    title: 'small reply, keep-alive',
    peers: ['floor', 'wsgi', 'libfcgi', 'http', 'node', 'hono-http', 'fetch', 'node-fastcgi', 'php-fpm', 'go'],
    rounds: 25,
  },
  frameworks: { ...HELLO, title: 'small reply by a framework', peers: FRAMEWORKS, rounds: 25 },
  methods: {
    ...HELLO,
    title: 'small reply, by method',
    peers: [
      'wsgi',
      'wsgi-threaded',
      'wsgi-prefork',
      'node',
      'node-threaded',
      'node-prefork',
      'fetch',
      'fetch-threaded',
      'fetch-prefork',
    ],
  },
  json: {
    ...HELLO,
    title: '2 KB of JSON with 10 headers',
    path: '/api',
    headers: API_HEADERS,
    answer: 'json',
    document,
    peers: CALLABLES,
  },
  echo: {
    ...HELLO,
    title: '1 KB of JSON posted, parsed and sent back',
    method: 'POST',
    path: '/api',
    headers: { 'Content-Type': JSON_TYPE },
    answer: 'echo',
    body: ORDER,
    bodyType: 'application/json',
    peers: CALLABLES,
  },
  html: {
    ...HELLO,
    title: '100 KB of HTML',
    path: '/page',
    headers: { 'Content-Type': 'text/html; charset=utf-8' },
    reply: PAGE,
    peers: ['floor', ...CALLABLES, 'wsgi-threaded', ...FOREIGN],
  },
  file: {
    ...BULK,
    title: 'a file of 10 MB',
    path: '/file',
    headers: { 'Content-Type': 'application/octet-stream' },
    answer: 'file',
    reply: 10 * MEBIBYTE,
    peers: CALLABLES,
  },
  download: {
    ...BULK,
    title: '10 MB from memory',
    path: '/download',
    headers: { 'Content-Type': 'application/octet-stream' },
    reply: 10 * MEBIBYTE,
    peers: [...CALLABLES, 'wsgi-threaded'],
    byNameOnly: true,
  },
  upload: {
    ...BULK,
    title: 'an upload of 10 MB',
    method: 'POST',
    path: '/upload',
    answer: 'count',
    body: 10 * MEBIBYTE,
    bodyType: 'application/octet-stream',
    peers: ['floor', ...CALLABLES, 'wsgi-threaded', ...FOREIGN],
  },
  connect: {
    ...HELLO,
    title: 'small reply, a connection per request',
    keepAlive: false,
    peers: ['floor', ...CALLABLES, ...FOREIGN, 'node-fastcgi'],
  },
  one: {
    ...HELLO,
    title: 'small reply, one connection',
    connections: 1,
    peers: ['floor', 'http', 'wsgi', 'node', 'wsgi-threaded'],
  },
  many: {
    ...HELLO,
    title: 'small reply, 256 connections',
    connections: 256,
    peers: ['floor', 'http', 'wsgi', 'node', 'libfcgi', 'go'],
  },
  multiplex: {
    ...HELLO,
    title: '32 requests at once',
    connections: 32,
    peers: ['wsgi', 'wsgi-multiplexed', 'node', 'node-multiplexed'],
  },
  idle: {
    ...HELLO,
    title: 'small reply, 10,000 idle connections besides',
    peers: ['floor', 'floor-idle', 'wsgi', 'wsgi-idle', 'node', 'node-idle', 'wsgi-threaded', 'wsgi-threaded-idle'],
  },
  burn: {
    ...HELLO,
    title: '5 ms of processor time in each request',
    answer: 'burn',
    milliseconds: 5,
    peers: ['http', 'wsgi', 'prefork-1', 'prefork-2', 'threaded-1', 'threaded-2'],
    settle: 1,
    seconds: 0.6,
    rounds: 7,
    warmUp: { seconds: 0.5 },
  },
  spread: {
    ...HELLO,
    title: '5 ms of processor time in each request, a connection per request',
    answer: 'burn',
    milliseconds: 5,
    keepAlive: false,
    peers: ['prefork-1', 'prefork-2'],
    seconds: 0.6,
    rounds: 7,
    warmUp: { seconds: 0.5 },
  },
  wait: {
    ...HELLO,
    title: '10 ms of waiting in each request',
    answer: 'wait',
    milliseconds: 10,
    connections: 256,
    peers: ['http', 'wsgi', 'node', 'wsgi-threaded', 'wsgi-prefork'],
  },
  balance: {
    ...HELLO,
    title: 'small reply, a connection per request, prefork with two workers',
    keepAlive: false,
    peers: ['prefork-2', 'prefork-2-round-robin'],
  },
  nginx: {
    ...HELLO,
    title: 'small reply, behind nginx with keep-alive to the application',
    front: 'nginx',
    peers: ['http', 'node', 'wsgi', 'express-http', 'express', 'hono-http', 'fetch', 'php-fpm'],
    seconds: 0.3,
  },
  apache: {
    ...HELLO,
    title: 'small reply, behind Apache with keep-alive to the application',
    front: 'apache',
    peers: ['http', 'node', 'wsgi'],
    seconds: 0.3,
    rounds: 9,
  },
  lighttpd: {
    ...HELLO,
    title: 'small reply, behind lighttpd (a connection per request to the application)',
    front: 'lighttpd',
    peers: ['http', 'node', 'wsgi'],
    seconds: 0.3,
    rounds: 9,
  },
  start: {
    ...HELLO,
    title: 'from the command to the first reply',
    kind: 'start',
    connections: 1,
    peers: [
      'alone',
      'alone-inline',
      'alone-threaded-1',
      'alone-prefork',
      'alone-express',
      'alone-express-threaded-1',
      'php-fpm',
      'go',
    ],
    rounds: 11,
  },
  memory: {
    ...HELLO,
    title: 'resident memory',
    kind: 'memory',
    warmUp: { requests: 20_000, seconds: 1 },
    peers: [
      'alone',
      'alone-inline',
      'alone-prefork',
      'alone-threaded-1',
      'alone-threaded-2',
      'alone-express',
      'alone-express-prefork',
    ],
    rounds: 5,
  },
}

const bytesOf = content => (typeof content === 'number' ? Buffer.alloc(content, 'x') : Buffer.from(content ?? ''))

/**
 * A case as servers and load need it: the request's body and the whole reply as bytes.
 */
export function workOf(caseName) {
  const found = CASES[caseName]
  const body = bytesOf(found.body)
  const reply = typeof found.reply === 'number' ? bytesOf(found.reply) : found.reply
  const whole = { count: () => String(body.length), echo: () => body, json: () => JSON.stringify(document()) }
  return {
    ...found,
    body,
    reply,
    expectedBody: Buffer.from(whole[found.answer]?.() ?? reply),
    iterations: Number(process.env[RUN_TIME.iterations] ?? 1000),
    ...(found.answer === 'file' && { file: process.env[RUN_TIME.file], size: found.reply }),
  }
}
