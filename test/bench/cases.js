/**
 * What is measured: the cases, and the comparisons with their targets. Both are tables: a new case or target is a line.
 */

const MEBIBYTE = 1024 * 1024

/** The peers every case is measured with. */
export const CORE = ['floor', 'http', 'node-fastcgi', 'wsgi', 'node', 'fetch', 'hono-http']
const FRAMEWORKS = ['express', 'express-http', 'koa', 'koa-http', 'fastify', 'fastify-http']

const HELLO = {
  method: 'GET',
  path: '/hello',
  reply: 'Hello, World!\n',
  body: 0,
  connections: 16,
  keepAlive: true,
  peers: CORE,
}

/**
 * `reply`: what a GET is answered with, as text or as a number of bytes. `body`: bytes uploaded (a POST is answered with
 * their number). `keepAlive`: the connection is kept, else each request has its own. `byNameOnly`: left out unless --cases
 * has it.
 */
export const CASES = {
  hello: { ...HELLO, title: 'small reply, keep-alive', peers: [...CORE, ...FRAMEWORKS] },
  connect: { ...HELLO, title: 'small reply, a connection per request', keepAlive: false },
  one: { ...HELLO, title: 'small reply, one connection', connections: 1, byNameOnly: true },
  many: { ...HELLO, title: 'small reply, many connections', connections: 256, byNameOnly: true },
  download: {
    title: '1 MiB reply, keep-alive',
    method: 'GET',
    path: '/download',
    reply: MEBIBYTE,
    body: 0,
    connections: 16,
    keepAlive: true,
    peers: CORE,
  },
  upload: {
    title: '1 MiB upload, keep-alive',
    method: 'POST',
    path: '/upload',
    reply: '',
    body: MEBIBYTE,
    connections: 16,
    keepAlive: true,
    peers: CORE,
  },
}

/** The bytes or text that answer a case's request. */
export function replyOf({ method, reply, body }) {
  if (method === 'POST') return String(body)
  return typeof reply === 'string' ? reply : Buffer.alloc(reply, 'x')
}

/**
 * Ratios of CPU per request, `peer` / `against`. `target`: at most this (issue of the first release); `goal`: what the
 * project is after.
 */
export const COMPARISONS = [
  { case: 'hello', peer: 'wsgi', against: 'floor', goal: 1.35 },
  { case: 'hello', peer: 'wsgi', against: 'http', target: 0.7, goal: 0.55 },
  { case: 'hello', peer: 'node', against: 'http', target: 0.82, goal: 0.68 },
  { case: 'hello', peer: 'fetch', against: 'hono-http', target: 0.9, goal: 0.8 },
  { case: 'hello', peer: 'express', against: 'express-http', goal: 0.88 },
  { case: 'hello', peer: 'koa', against: 'koa-http', goal: 0.88 },
  { case: 'hello', peer: 'fastify', against: 'fastify-http', goal: 0.88 },
  { case: 'hello', peer: 'wsgi', against: 'node-fastcgi', goal: 0.05 },
  { case: 'hello', peer: 'node', against: 'node-fastcgi' },
  { case: 'connect', peer: 'wsgi', against: 'floor', goal: 1.2 },
  { case: 'connect', peer: 'wsgi', against: 'http' },
  { case: 'connect', peer: 'node', against: 'http' },
  { case: 'connect', peer: 'fetch', against: 'hono-http' },
  { case: 'connect', peer: 'wsgi', against: 'node-fastcgi' },
  ...['one', 'many'].flatMap(name => [
    { case: name, peer: 'wsgi', against: 'floor' },
    { case: name, peer: 'wsgi', against: 'http' },
    { case: name, peer: 'node', against: 'http' },
    { case: name, peer: 'fetch', against: 'hono-http' },
  ]),
  ...['download', 'upload'].flatMap(name => [
    { case: name, peer: 'wsgi', against: 'http', goal: 1 },
    { case: name, peer: 'node', against: 'http', goal: 1 },
    { case: name, peer: 'fetch', against: 'hono-http', goal: 1 },
    { case: name, peer: 'wsgi', against: 'node-fastcgi' },
  ]),
]
