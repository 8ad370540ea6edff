import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import busboy from 'busboy'
import compression from 'compression'
import connect from 'connect'
import serveStatic from 'serve-static'

const files = new URL('public/', import.meta.url).pathname
const app = connect()

const json = (res, value) => {
  res.setHeader('Content-Type', 'application/json')
  res.end(JSON.stringify(value))
}

async function text(req) {
  let body = ''
  for await (const chunk of req) body += chunk
  return body
}

app.use('/hello', (_req, res) => res.end('hello'))
app.use('/who', (req, res) => json(res, { ip: req.socket.remoteAddress, url: req.url, original: req.originalUrl }))
app.use('/json', (req, res, next) => {
  text(req)
    .then(body => json(res, { received: JSON.parse(body) }))
    .catch(next)
})
app.use('/form', async (req, res) => json(res, Object.fromEntries(new URLSearchParams(await text(req)))))
app.use('/upload', (req, res) => {
  const found = {}
  const form = busboy({ headers: req.headers })
  form.on('field', (name, value) => {
    found[name] = value
  })
  form.on('file', (_name, file, { filename }) => {
    const hash = createHash('sha256')
    file
      .on('data', chunk => hash.update(chunk))
      .on('end', () => Object.assign(found, { filename, hash: hash.digest('hex') }))
  })
  form.on('close', () => json(res, found))
  req.pipe(form)
})
app.use('/cookies', (req, res) => {
  res.setHeader('Set-Cookie', ['a=1', 'b=two%20words; HttpOnly', 'c=; Max-Age=0'])
  json(res, { sent: req.headers.cookie ?? '' })
})
app.use('/redirect', (_req, res) => {
  res.writeHead(302, { Location: '/hello?a=1' })
  res.end()
})
app.use('/stream', (_req, res) => Readable.from(['one ', 'two ', 'three']).pipe(res))
app.use('/static', serveStatic(files))
app.use('/compressed', compression({ threshold: 0 }))
app.use('/compressed', (_req, res) => {
  res.setHeader('Content-Type', 'text/plain')
  res.end('text '.repeat(1000))
})
app.use('/throws', () => {
  throw new Error('thrown')
})
app.use((error, _req, res, _next) => {
  res.statusCode = 500
  json(res, { error: error.message })
})

export default app
