// npm install hono.  runfcgi serve deploy/examples/hono.js
import { Hono } from 'hono'
import { streamText } from 'hono/streaming'

const app = new Hono()
app.get('/', c => c.text('Hono over FastCGI'))
app.get('/hello/:name', c => c.json({ hello: c.req.param('name'), server: c.env.env.SERVER_SOFTWARE }))
app.post('/echo', async c => c.json(await c.req.json(), 201))
app.get('/count', c =>
  streamText(c, async stream => {
    for (let count = 1; count <= 3; count++) await stream.writeln(String(count))
  }),
)

export default app
