import { Readable } from 'node:stream'
import cookie from '@fastify/cookie'
import formbody from '@fastify/formbody'
import multipart from '@fastify/multipart'
import serveStatic from '@fastify/static'
import fastify from 'fastify'

const app = fastify()
app.register(cookie)
app.register(formbody)
app.register(multipart)
app.register(serveStatic, { root: new URL('public/', import.meta.url).pathname, prefix: '/static/' })

app.get('/hello', async () => 'hello')
app.get('/who', async req => ({ ip: req.ip, protocol: req.protocol, host: req.host, url: req.url }))
app.post('/json', async req => ({ received: req.body }))
app.post('/form', async req => req.body)
app.post('/upload', async req => {
  const file = await req.file()
  const { length } = await file.toBuffer()
  return { note: file.fields.note.value, name: file.filename, length }
})
app.get('/cookies', async (req, reply) => {
  reply.setCookie('a', '1').setCookie('b', 'two words', { path: '/' }).clearCookie('c')
  return req.cookies
})
app.get('/redirect', (_req, reply) => reply.redirect('/hello?a=1'))
app.get('/stream', (_req, reply) => reply.type('text/plain').send(Readable.from(['one ', 'two ', 'three'])))
app.get('/web-stream', (_req, reply) => reply.send(new Response('from a Response', { headers: { 'x-web': '1' } })))
app.get('/letters', (_req, reply) => reply.sendFile('letters.txt'))
app.get('/hijacked', (_req, reply) => {
  reply.hijack()
  reply.raw.writeHead(200, { 'Content-Type': 'text/plain' })
  reply.raw.end('by hand')
})
app.get('/throws', () => {
  throw new Error('thrown')
})
app.get('/rejects', async () => {
  throw Object.assign(new Error('rejected'), { statusCode: 409 })
})
app.get('/empty', (_req, reply) => reply.code(204).send())
app.delete('/thing', async () => ({ deleted: true }))
app.post('/checked', { schema: { body: { type: 'object', required: ['a'] } } }, async () => 'fine')

export default app
