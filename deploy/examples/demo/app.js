/**
 * The demo site: what `npm start` shows. One WSGI-style callable, no dependency.
 *
 *     runfcgi serve deploy/examples/demo/app.js
 */

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { environTable, escapeHtml, parseCookies, utf8 } from './html.js'

const file = name => readFileSync(new URL(name, import.meta.url), 'utf8')
const template = file('page.html')
const assets = new Map([
  ['/page.css', ['text/css; charset=utf-8', file('page.css')]],
  ['/page.js', ['text/javascript; charset=utf-8', file('page.js')]],
])

let served = 0
let streams = 0

/** Headers that no page of a demo should be without. */
const SAFE = [
  ['X-Content-Type-Options', 'nosniff'],
  ['Referrer-Policy', 'same-origin'],
  ['Content-Security-Policy', "default-src 'self'; img-src 'self' data:; base-uri 'self'; frame-ancestors 'none'"],
]

function send(startResponse, status, type, body, headers = []) {
  const length = String(Buffer.byteLength(body))
  startResponse(status, [['Content-Type', type], ['Content-Length', length], ...SAFE, ...headers])
  return [body]
}

const sendJson = (startResponse, value, headers = []) =>
  send(startResponse, '200 OK', 'application/json', `${JSON.stringify(value)}\n`, [
    ['Cache-Control', 'no-store'],
    ...headers,
  ])

function page(environ, startResponse) {
  const started = performance.now()
  const values = {
    base: `${environ.SCRIPT_NAME}/`,
    client: `${environ.REMOTE_ADDR ?? '?'}:${environ.REMOTE_PORT ?? '?'}`,
    protocol: environ.SERVER_PROTOCOL,
    software: environ.SERVER_SOFTWARE || 'a web server',
    server: `${environ.SERVER_NAME}:${environ.SERVER_PORT}`,
    gateway: environ.GATEWAY_INTERFACE,
    scheme: environ['wsgi.url_scheme'],
    pid: process.pid,
    node: process.version,
    served,
    uptime: `${Math.round(process.uptime())} s`,
    method: environ.REQUEST_METHOD,
    path: utf8(environ.PATH_INFO),
  }
  const filled = template.replace(/\{\{(\w+)\}\}/g, (_match, name) => escapeHtml(String(values[name])))
  const html = filled.replace('<!-- environ -->', () => environTable(environ))
  const took = (performance.now() - started).toFixed(2)
  return send(startResponse, '200 OK', 'text/html; charset=utf-8', html, [
    ['Cache-Control', 'no-store'],
    ['Server-Timing', `app;dur=${took}`],
  ])
}

/** Server-sent events: each `yield` is on the wire at once; a reader who leaves ends the loop. */
async function* events(environ, startResponse) {
  const signal = environ['runfcgi.signal']
  startResponse('200 OK', [
    ['Content-Type', 'text/event-stream'],
    ['Cache-Control', 'no-store'],
    ['X-Accel-Buffering', 'no'],
  ])
  streams++
  try {
    for (let count = 1; ; count++) {
      const memory = Math.round(process.memoryUsage.rss() / 2 ** 20)
      yield `data: ${JSON.stringify({ count, pid: process.pid, memory, streams })}\n\n`
      await sleep(250, undefined, { signal })
    }
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    streams--
  }
}

/** Hashes the body as it arrives: a file of any size passes through without being held. */
async function upload(environ, startResponse) {
  const started = performance.now()
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of environ['wsgi.input']) {
    hash.update(chunk)
    size += chunk.length
  }
  const seconds = (performance.now() - started) / 1000
  return sendJson(startResponse, { size, sha256: hash.digest('hex'), seconds: Number(seconds.toFixed(3)) })
}

async function slow(environ, startResponse) {
  const wanted = Number(new URLSearchParams(environ.QUERY_STRING).get('ms') ?? 1500)
  const ms = Math.min(Math.max(wanted || 0, 0), 10_000)
  await sleep(ms, undefined, { signal: environ['runfcgi.signal'] })
  return sendJson(startResponse, { slept: ms, pid: process.pid })
}

/** Counts visits in a cookie. */
function visits(environ, startResponse) {
  const before = Number(parseCookies(environ.HTTP_COOKIE ?? '').get('visits')) || 0
  const count = environ.REQUEST_METHOD === 'DELETE' ? 0 : before + 1
  const lasting = `Path=${environ.SCRIPT_NAME}/; SameSite=Lax; HttpOnly; Max-Age=${count === 0 ? 0 : 3600}`
  return sendJson(startResponse, { sent: utf8(environ.HTTP_COOKIE ?? ''), visits: count }, [
    ['Set-Cookie', `visits=${count}; ${lasting}`],
    ['Set-Cookie', `last=${new Date().toISOString()}; ${lasting}`],
  ])
}

/** An exception before the head is a 500. */
function fail() {
  throw new Error('the demo fails on purpose: before it has sent anything')
}

/** An exception in the middle of a reply cuts it off, so that nobody takes the half for the whole. */
async function* failLate(_environ, startResponse) {
  startResponse('200 OK', [['Content-Type', 'text/plain']])
  yield 'The first half of a sentence, and then'
  await sleep(300)
  throw new Error('the demo fails on purpose: in the middle of its reply')
}

function asset(environ, startResponse) {
  const [type, body] = assets.get(environ.PATH_INFO)
  return send(startResponse, '200 OK', type, body, [['Cache-Control', 'no-cache']])
}

const json = (environ, startResponse) =>
  sendJson(startResponse, Object.fromEntries(Object.entries(environ).filter(([, value]) => typeof value === 'string')))

function missing(environ, startResponse) {
  const here = `${escapeHtml(environ.SCRIPT_NAME)}/`
  const html = `<!doctype html><html lang="en"><meta charset="utf-8"><title>404 Not Found</title>
<link rel="stylesheet" href="${here}page.css"><main class="lost"><p class="number">404</p>
<h1>Nothing at <code>${escapeHtml(utf8(environ.PATH_INFO))}</code></h1>
<p>The application said so itself: the request came all the way here. <a href="${here}">Back to the demo</a></p></main></html>\n`
  return send(startResponse, '404 Not Found', 'text/html; charset=utf-8', html)
}

const routes = new Map([
  ['GET /', page],
  ['GET /events', events],
  ['POST /upload', upload],
  ['PUT /upload', upload],
  ['GET /slow', slow],
  ['GET /visits', visits],
  ['DELETE /visits', visits],
  ['GET /environ', json],
  ['GET /error', fail],
  ['GET /error-late', failLate],
  ...[...assets.keys()].map(path => [`GET ${path}`, asset]),
])

export function application(environ, startResponse) {
  served++
  const method = environ.REQUEST_METHOD === 'HEAD' ? 'GET' : environ.REQUEST_METHOD
  const route = routes.get(`${method} ${environ.PATH_INFO || '/'}`) ?? missing
  return route(environ, startResponse)
}
