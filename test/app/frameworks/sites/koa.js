import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import busboy from 'busboy'
import Koa from 'koa'

const files = new URL('public/', import.meta.url).pathname
const app = new Koa()
app.silent = true

async function text(req) {
  let body = ''
  for await (const chunk of req) body += chunk
  return body
}

function uploaded(req) {
  return new Promise((resolve, reject) => {
    const found = {}
    const form = busboy({ headers: req.headers })
    form.on('field', (name, value) => {
      found[name] = value
    })
    form.on('file', (_name, file, { filename }) => {
      let size = 0
      file.on('data', chunk => {
        size += chunk.length
      })
      file.on('end', () => Object.assign(found, { filename, size }))
    })
    form.on('close', () => resolve(found)).on('error', reject)
    req.pipe(form)
  })
}

const routes = {
  'GET /hello': ctx => {
    ctx.body = 'hello'
  },
  'GET /who': ctx => {
    ctx.body = { ip: ctx.ip, secure: ctx.secure, host: ctx.host, path: ctx.path, query: ctx.query }
  },
  'POST /json': async ctx => {
    ctx.body = { received: JSON.parse(await text(ctx.req)) }
  },
  'POST /form': async ctx => {
    ctx.body = Object.fromEntries(new URLSearchParams(await text(ctx.req)))
  },
  'POST /upload': async ctx => {
    ctx.body = await uploaded(ctx.req)
  },
  'GET /cookies': ctx => {
    ctx.cookies.set('a', '1')
    ctx.cookies.set('b', 'two', { httpOnly: false })
    ctx.cookies.set('c', null)
    ctx.body = { a: ctx.cookies.get('x') ?? '' }
  },
  'GET /redirect': ctx => ctx.redirect('/hello?a=1'),
  'GET /stream': ctx => {
    ctx.type = 'text'
    ctx.body = Readable.from(['one ', 'two ', 'three'])
  },
  'GET /download': ctx => {
    ctx.attachment('letters é.txt')
    ctx.body = createReadStream(`${files}letters.txt`)
  },
  'GET /throws': () => {
    throw Object.assign(new Error('thrown'), { status: 418, expose: true })
  },
  'GET /rejects': async ctx => ctx.throw(400, 'rejected'),
  'GET /cached': ctx => {
    ctx.body = 'cached'
    ctx.etag = 'same'
    if (ctx.fresh) ctx.status = 304
  },
  'GET /empty': ctx => {
    ctx.status = 204
  },
}

app.use((ctx, next) => {
  const route = routes[`${ctx.method === 'HEAD' ? 'GET' : ctx.method} ${ctx.path}`]
  return route === undefined ? next() : route(ctx)
})

export default app
