// Serves one of the three callables on a socket: bodies are read slowly, replies are as long as asked for.
//   memory.js wsgi|node|fetch /path/to/socket
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createServer } from '../../../src/index.ts'

const [kind, path] = process.argv.slice(2)
const PIECE = Buffer.alloc(64 * 1024, 'x')
const progress = { read: 0, produced: 0 }
let release
const released = new Promise(resolve => {
  release = resolve
})

/** One chunk for each turn of the event loop. */
async function readSlowly(body) {
  for await (const chunk of body) {
    progress.read += chunk.length
    await new Promise(setImmediate)
  }
}

async function* produce(length) {
  for (let left = length; left > 0; left -= PIECE.length) {
    progress.produced += Math.min(left, PIECE.length)
    yield PIECE.subarray(0, Math.min(left, PIECE.length))
  }
}

/** What there is to say for a path, the body read before if it is an upload. */
async function answer(target, body) {
  const url = new URL(target, 'http://localhost')
  if (url.pathname === '/download') return produce(Number(url.searchParams.get('bytes')))
  if (url.searchParams.has('wait')) await released
  if (url.pathname === '/upload') await readSlowly(body)
  if (url.pathname === '/go') release()
  return [Buffer.from(JSON.stringify(progress))]
}

const applications = {
  async wsgi(environ, startResponse) {
    const reply = await answer(`${environ.PATH_INFO}?${environ.QUERY_STRING}`, environ['wsgi.input'])
    startResponse('200 OK', [['Content-Type', 'text/plain']])
    return reply
  },
  async node(request, response) {
    response.setHeader('Content-Type', 'text/plain')
    await pipeline(Readable.from(await answer(request.url, request)), response).catch(() => response.destroy())
  },
  fetch: {
    async fetch(request) {
      return new Response(ReadableStream.from(await answer(request.url, request.body)))
    },
  },
}

createServer(applications[kind], { interface: kind }).listen(path, () => console.log('ready'))
