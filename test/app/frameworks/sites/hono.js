import { getRequestListener } from '@hono/node-server'
import { serveStatic } from '@hono/node-server/serve-static'
import { Hono } from 'hono'
import { deleteCookie, getCookie, setCookie } from 'hono/cookie'
import { HTTPException } from 'hono/http-exception'
import { streamText } from 'hono/streaming'

const app = new Hono()
app.get('/hello', c => c.text('hello'))
app.get('/who', c => c.json({ path: c.req.path, query: c.req.query(), host: c.req.header('host') }))
app.post('/json', async c => c.json({ received: await c.req.json() }))
app.post('/form', async c => c.json(await c.req.parseBody()))
app.post('/upload', async c => {
  const { note, file } = await c.req.parseBody()
  return c.json({ note, name: file.name, size: file.size })
})
app.get('/cookies', c => {
  setCookie(c, 'a', '1')
  setCookie(c, 'b', 'two words', { httpOnly: true })
  deleteCookie(c, 'c')
  return c.json(getCookie(c))
})
app.get('/redirect', c => c.redirect('/hello?a=1'))
app.get('/stream', c =>
  streamText(c, async stream => {
    for (const piece of ['one ', 'two ', 'three']) await stream.write(piece)
  }),
)
app.get(
  '/static/*',
  serveStatic({ root: new URL('public/', import.meta.url).pathname, rewriteRequestPath: path => path.slice(7) }),
)
app.get('/throws', () => {
  throw new Error('thrown')
})
app.get('/rejects', async () => {
  throw new HTTPException(418, { message: 'rejected' })
})
app.get('/empty', c => c.body(null, 204))
app.onError((error, c) =>
  error instanceof HTTPException ? error.getResponse() : c.json({ error: error.message }, 500),
)

export default getRequestListener(app.fetch)
