/**
 * The applications that are served: the same work for each kind of callable, and the very same code on both sides of a
 * comparison.
 */

import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'

/** A fixed amount of work for the processor, whatever else runs on the machine. */
export function burn(iterations) {
  let value = 1
  for (let left = iterations; left > 0; left -= 1) value = (Math.imul(value, 1_103_515_245) + 12_345) | 0
  return value
}

/** How many iterations take a number of milliseconds of an undisturbed processor. */
export function iterationsFor(milliseconds) {
  const trial = 2_000_000
  const times = Array.from({ length: 20 }, () => {
    const started = performance.now()
    if (burn(trial) === 0.5) throw new Error('not an integer')
    return performance.now() - started
  })
  return Math.round((trial * milliseconds) / Math.min(...times))
}

/**
 * From a case to the function that makes the body of a reply. The function gets the request's body, as an object with
 * the methods `count` and `json`; those that read it or wait are async.
 */
const ANSWERS = {
  reply: work => () => work.reply,
  json: work => () => JSON.stringify(work.document()),
  file: work => () => createReadStream(work.file),
  burn: work => () => (burn(work.iterations) === 0.5 ? '' : work.reply),
  wait: work => async () => {
    await delay(work.milliseconds)
    return work.reply
  },
  count: () => async body => String(await body.count()),
  echo: () => async body => JSON.stringify(await body.json()),
}

const isAsync = work => ['wait', 'count', 'echo'].includes(work.answer)

/** All text here is ASCII; a file tells its size beforehand. */
const lengthOf = (work, body) => work.size ?? body.length

/** Reads a Node stream. */
class StreamBody {
  constructor(stream) {
    this.stream = stream
  }

  #each(take) {
    return new Promise((resolve, reject) => {
      this.stream.on('data', take).on('end', resolve).on('error', reject)
    })
  }

  async count() {
    let received = 0
    await this.#each(chunk => {
      received += chunk.length
    })
    return received
  }

  async json() {
    const chunks = []
    await this.#each(chunk => chunks.push(chunk))
    return JSON.parse(Buffer.concat(chunks))
  }
}

/** A bare `(req, res)` listener: for node:http, node-fastcgi and runfcgi. */
function listener(work) {
  const answer = ANSWERS[work.answer](work)
  const send = (res, body) => {
    res.writeHead(200, { ...work.headers, 'Content-Length': lengthOf(work, body) })
    if (body instanceof Readable) body.pipe(res)
    else res.end(body)
  }
  if (isAsync(work)) return async (req, res) => send(res, await answer(new StreamBody(req)))
  return (_req, res) => send(res, answer())
}

function wsgi(work) {
  const answer = ANSWERS[work.answer](work)
  const headers = Object.entries(work.headers)
  const send = (startResponse, body) => {
    startResponse('200 OK', [...headers, ['Content-Length', String(lengthOf(work, body))]])
    return body instanceof Readable ? body : [body]
  }
  if (!isAsync(work)) return (_environ, startResponse) => send(startResponse, answer())
  return async (environ, startResponse) => send(startResponse, await answer(new StreamBody(environ['wsgi.input'])))
}

async function hono(work) {
  const { Hono } = await import('hono')
  const answer = ANSWERS[work.answer](work)
  const bodyOf = ({ req }) => ({ count: async () => (await req.arrayBuffer()).byteLength, json: () => req.json() })
  const plainText = Object.keys(work.headers).length === 1 && work.headers['Content-Type'].startsWith('text/plain')
  const send = (context, body) => {
    if (plainText) return context.text(body)
    if (!(body instanceof Readable)) return context.body(body, 200, work.headers)
    return context.body(Readable.toWeb(body), 200, { ...work.headers, 'Content-Length': String(work.size) })
  }
  const app = new Hono()
  const handler = isAsync(work)
    ? async context => send(context, await answer(bodyOf(context)))
    : context => send(context, answer())
  return app.on(work.method, work.path, handler)
}

async function express({ path, reply }) {
  const { default: create } = await import('express')
  return create().get(path, (_req, res) => res.type('text').send(reply))
}

async function koa({ path, reply }) {
  const { default: Koa } = await import('koa')
  const app = new Koa()
  app.use(context => {
    if (context.path === path) context.body = reply
  })
  return app.callback()
}

async function fastify({ path, reply }) {
  const { default: create } = await import('fastify')
  const app = create()
  app.get(path, async () => reply)
  await app.ready()
  return app.routing
}

export const APPLICATIONS = { listener, wsgi, hono, express, koa, fastify }
