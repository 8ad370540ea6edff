/**
 * The applications that are served: the same work for each kind of callable, and the very same code on both sides of a
 * comparison. A GET is answered with `reply`, a POST with the number of bytes that came.
 */

const TEXT = 'text/plain; charset=utf-8'

/** The number of bytes that come. */
function count(stream) {
  return new Promise((resolve, reject) => {
    let received = 0
    stream.on('data', chunk => {
      received += chunk.length
    })
    stream.on('end', () => resolve(received))
    stream.on('error', reject)
  })
}

/** A bare `(req, res)` listener: for node:http, node-fastcgi and runfcgi. */
function listener({ method, reply }) {
  const answer = (res, body) => {
    res.writeHead(200, { 'Content-Type': TEXT, 'Content-Length': body.length })
    res.end(body)
  }
  if (method === 'GET') return (_req, res) => answer(res, reply)
  return async (req, res) => answer(res, String(await count(req)))
}

function wsgi({ method, reply }) {
  const answer = (startResponse, body) => {
    startResponse('200 OK', [
      ['Content-Type', TEXT],
      ['Content-Length', String(body.length)],
    ])
    return [body]
  }
  if (method === 'GET') return (_environ, startResponse) => answer(startResponse, reply)
  return async (environ, startResponse) => answer(startResponse, String(await count(environ['wsgi.input'])))
}

async function hono({ path, reply }) {
  const { Hono } = await import('hono')
  const app = new Hono()
  app.get(path, context => (typeof reply === 'string' ? context.text(reply) : context.body(reply)))
  app.post(path, async context => context.text(String((await context.req.arrayBuffer()).byteLength)))
  return app
}

async function express({ path, reply }) {
  const { default: create } = await import('express')
  const app = create()
  app.get(path, (_req, res) => res.type('text').send(reply))
  return app
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
