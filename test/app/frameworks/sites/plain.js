import { createReadStream, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { pipeline } from 'node:stream'
import busboy from 'busboy'

const file = new URL('public/letters.txt', import.meta.url).pathname

const json = (res, value) => {
  res.writeHead(200, { 'content-type': 'application/json' })
  res.end(JSON.stringify(value))
}

async function text(req) {
  const chunks = []
  for await (const chunk of req) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

function range(req, size) {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '') ?? []
  return first === undefined ? undefined : { start: Number(first), end: last === '' ? size - 1 : Number(last) }
}

const routes = {
  'GET /hello': (_req, res) => res.end('hello'),
  'GET /who': (req, res) => json(res, { ip: req.socket.remoteAddress, host: req.headers.host, url: req.url }),
  'POST /json': async (req, res) => json(res, { received: JSON.parse(await text(req)) }),
  'POST /form': async (req, res) => json(res, Object.fromEntries(new URLSearchParams(await text(req)))),
  'POST /upload': (req, res) => {
    const found = {}
    const form = busboy({ headers: req.headers })
    form.on('field', (name, value) => {
      found[name] = value
    })
    form.on('file', (_name, stream, { filename }) => {
      found.filename = filename
      stream.resume()
    })
    pipeline(req, form, () => json(res, found))
  },
  'GET /cookies': (req, res) => {
    res.setHeader('Set-Cookie', ['a=1', 'b=2; HttpOnly', 'c=; Max-Age=0'])
    json(res, { sent: req.headers.cookie ?? '' })
  },
  'GET /redirect': (_req, res) => res.writeHead(302, { Location: '/hello?a=1' }).end(),
  'GET /stream': async (_req, res) => {
    for (const piece of ['one ', 'two ', 'three']) {
      res.write(piece)
      await new Promise(setImmediate)
    }
    res.end()
  },
  'GET /letters': (req, res) => {
    const { size } = statSync(file)
    const part = range(req, size)
    if (part === undefined) res.writeHead(200, { 'Content-Length': size, 'Accept-Ranges': 'bytes' })
    else {
      const { start, end } = part
      res.writeHead(206, { 'Content-Length': end - start + 1, 'Content-Range': `bytes ${start}-${end}/${size}` })
    }
    pipeline(createReadStream(file, part), res, () => {})
  },
  'GET /empty': (_req, res) => res.writeHead(204).end(),
}

export default createServer((req, res) => {
  const route = routes[`${req.method === 'HEAD' ? 'GET' : req.method} ${req.url.split('?')[0]}`]
  if (route !== undefined) return route(req, res)
  res.writeHead(404)
  res.end('nothing here')
})
