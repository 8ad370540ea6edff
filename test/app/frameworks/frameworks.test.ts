/**
 * One site in each framework (sites/), asked the same questions three times: under node:http, over FastCGI at the root, and
 * over FastCGI below a mount point. The answers must be the same but for the mount point in redirects.
 */

import { createServer, type RequestListener } from 'node:http'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { toListener } from '../../../src/app/load/frameworks.ts'
import { loadApplication } from '../../../src/app/load/load.ts'
import type { NodeListener } from '../../../src/app/node/node.ts'
import { options } from '../../support/adapter-options.ts'
import { fetchWhole, type Reply, type RequestOptions } from '../../support/http-client.ts'
import { applicationOverFastCgi, overHttp, type Site } from '../../support/listeners.ts'

const MOUNT = '/my%20site'
const cwd = fileURLToPath(new URL('sites', import.meta.url))

/** What differs between any two replies, or is added by the server in front. */
const NOT_COMPARED = ['date', 'connection', 'keep-alive', 'transfer-encoding']

const boundary = 'a-boundary'
const part = (disposition: string, content: string): string =>
  `--${boundary}\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n${content}\r\n`
const multipart = [
  part('name="note"', 'a note'),
  `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="x.bin"\r\n`,
  `Content-Type: application/octet-stream\r\n\r\n${'z'.repeat(200_000)}\r\n--${boundary}--\r\n`,
].join('')

const posted = (type: string, text: string): RequestOptions => ({
  method: 'POST',
  headers: { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text) },
  body: [Buffer.from(text)],
})

/** The same without a length: it goes out chunked. */
const chunked = (type: string, text: string): RequestOptions => ({
  method: 'POST',
  headers: { 'Content-Type': type },
  body: [Buffer.from(text.slice(0, 5)), Buffer.from(text.slice(5))],
})

interface Question {
  readonly path: string
  readonly options?: RequestOptions
  readonly status: number
  /** A piece of the body, so that two failures are not taken for agreement. */
  readonly holds?: string
}

const json = '{"a":[1,"ä"]}'
const common: Readonly<Record<string, Question>> = {
  'plain text': { path: '/hello', status: 200, holds: 'hello' },
  HEAD: { path: '/hello', options: { method: 'HEAD' }, status: 200 },
  'who asks': { path: '/who?a=%20b', options: { headers: { host: 'site.test' } }, status: 200, holds: '{' },
  JSON: { path: '/json', options: posted('application/json', json), status: 200, holds: `{"received":${json}}` },
  'JSON without a length': { path: '/json', options: chunked('application/json', json), status: 200, holds: json },
  'a form': {
    path: '/form',
    options: posted('application/x-www-form-urlencoded', 'a=1&b=%C3%A4+x'),
    status: 200,
    holds: '"b":"ä x"',
  },
  'an upload': {
    path: '/upload',
    options: posted(`multipart/form-data; boundary=${boundary}`, multipart),
    status: 200,
    holds: 'x.bin',
  },
  'an upload without a length': {
    path: '/upload',
    options: chunked(`multipart/form-data; boundary=${boundary}`, multipart),
    status: 200,
    holds: 'a note',
  },
  cookies: { path: '/cookies', options: { headers: { cookie: 'x=y; z=1' } }, status: 200 },
  'a redirect': { path: '/redirect', status: 302 },
  'a stream': { path: '/stream', status: 200, holds: 'one two three' },
  'nothing there': { path: '/nothing/here', status: 404 },
}
const throws = { throws: { path: '/throws', status: 500, holds: 'thrown' } }
const empty = { 'no content': { path: '/empty', status: 204 } }

const files = (path: string): Record<string, Question> => ({
  'a file': { path, status: 200, holds: 'abcdefghijklmnopqrstuvwxyz' },
  'a range of a file': { path, options: { headers: { range: 'bytes=3-6' } }, status: 206, holds: 'defg' },
  'the head of a file': { path, options: { method: 'HEAD' }, status: 200 },
})
const folders = {
  'a folder without a slash': { path: '/static/folder', status: 301 },
  'the index of a folder': { path: '/static/folder/', status: 200, holds: '<p>index</p>' },
}
const compressed = {
  'a compressed reply': { path: '/compressed', options: { headers: { 'accept-encoding': 'gzip' } }, status: 200 },
}
const cached = (etag: string): Record<string, Question> => ({
  'a fresh copy': { path: '/cached', options: { headers: { 'if-none-match': etag } }, status: 304 },
})

const sites: Readonly<Record<string, Readonly<Record<string, Question>>>> = {
  express: {
    ...common,
    ...throws,
    ...empty,
    ...files('/static/letters.txt'),
    ...folders,
    ...compressed,
    'a range that is not there': {
      path: '/letters',
      options: { headers: { range: 'bytes=900-' } },
      status: 416,
    },
    ...cached('"same"'),
    'sendFile()': { path: '/letters', options: { headers: { range: 'bytes=-4' } }, status: 206, holds: 'xyz' },
    'download()': { path: '/download', status: 200, holds: 'abc' },
    'a rejected handler': { path: '/rejects', status: 500, holds: 'rejected' },
    'a body that is no JSON': { path: '/json', options: posted('application/json', '{'), status: 400, holds: 'error' },
    'a nested router': { path: '/nested/deep?q=1', status: 200, holds: '"url":"/deep?q=1"' },
  },
  connect: {
    ...common,
    ...throws,
    ...files('/static/letters.txt'),
    ...folders,
    ...compressed,
  },
  koa: {
    ...common,
    ...empty,
    ...cached('"same"'),
    throws: { path: '/throws', status: 418, holds: 'thrown' },
    'ctx.throw()': { path: '/rejects', status: 400, holds: 'rejected' },
    'an attachment': { path: '/download', status: 200, holds: 'abc' },
  },
  fastify: {
    ...common,
    ...throws,
    ...empty,
    ...files('/static/letters.txt'),
    'sendFile()': { path: '/letters', status: 200, holds: 'abc' },
    'a rejected handler': { path: '/rejects', status: 409, holds: 'rejected' },
    'a Response': { path: '/web-stream', status: 200, holds: 'from a Response' },
    'a hijacked reply': { path: '/hijacked', status: 200, holds: 'by hand' },
    'DELETE without a body': { path: '/thing', options: { method: 'DELETE' }, status: 200, holds: 'deleted' },
    'a body that the schema refuses': { path: '/checked', options: posted('application/json', '{}'), status: 400 },
    'a media type nobody parses': { path: '/json', options: posted('text/odd', 'x'), status: 415 },
  },
  hono: {
    ...common,
    ...throws,
    ...empty,
    ...files('/static/letters.txt'),
    'an HTTPException': { path: '/rejects', status: 418, holds: 'rejected' },
  },
  plain: { ...common, ...empty, ...files('/letters') },
}

const servers = ['http', 'root', 'mounted'] as const

async function start(name: string, how: (typeof servers)[number]): Promise<Site> {
  if (how === 'http') {
    const { default: exported } = await import(new URL(`sites/${name}.js`, import.meta.url).href)
    const found = await toListener(exported)
    return overHttp(found?.listener as NodeListener)
  }
  const app = await loadApplication({ app: `./${name}.js`, interface: 'auto', cwd }, options)
  return how === 'root' ? applicationOverFastCgi(app) : applicationOverFastCgi(app, decodeURIComponent(MOUNT))
}

interface Comparable {
  readonly status: number
  readonly headers: Reply['headers']
  readonly body: string
}

function comparable({ status, headers, body }: Reply): Comparable {
  for (const name of NOT_COMPARED) delete headers[name]
  return { status, headers, body: body.toString('latin1') }
}

/** Without the mount point and what follows from its length. */
function atRoot({ status, headers, body }: Comparable): Comparable {
  const { location, etag, 'content-length': length, ...rest } = headers
  return { status, headers: { ...rest, location: location?.replace(MOUNT, '') }, body: body.replaceAll(MOUNT, '') }
}

/** The gateway tells the length of a short reply that it has whole, though nobody declared it. */
function withoutGuessedLength(reply: Comparable, original: Comparable): Comparable {
  if (original.headers['content-length'] === undefined) delete reply.headers['content-length']
  return reply
}

describe.each(Object.entries(sites))('%s', (name, questions) => {
  const running: Partial<Record<(typeof servers)[number], Site>> = {}
  beforeAll(async () => {
    for (const how of servers) running[how] = await start(name, how)
  })
  afterAll(async () => {
    for (const how of servers) await running[how]?.close()
  })
  const port = (how: (typeof servers)[number]): number => running[how]?.port ?? 0

  test.each(Object.entries(questions))('%s', async (_title, { path, options, status, holds = '' }) => {
    const original = comparable(await fetchWhole(port('http'), path, options))
    expect(original).toMatchObject({ status, body: expect.stringContaining(Buffer.from(holds).toString('latin1')) })
    const overFastCgi = comparable(await fetchWhole(port('root'), path, options))
    expect(withoutGuessedLength(overFastCgi, original)).toEqual(original)
    const mounted = comparable(await fetchWhole(port('mounted'), MOUNT + path, options))
    const tellsMount = mounted.body.includes(MOUNT) || mounted.headers.location?.startsWith(MOUNT)
    if (tellsMount) expect(atRoot(mounted)).toEqual(atRoot(original))
    else expect(withoutGuessedLength(mounted, original)).toEqual(original)
  })
})

test('an http.Server is served through all its request listeners', async () => {
  const heard: string[] = []
  const server = createServer(((_req, res) => res.end('first')) as RequestListener)
  server.on('request', () => heard.push('second'))
  const found = await toListener(server)
  const site = await overHttp(found?.listener as NodeListener)
  expect(String((await fetchWhole(site.port, '/')).body)).toBe('first')
  expect(heard).toEqual(['second'])
  await site.close()
})

test('what is no application has no listener', async () => {
  for (const nothing of [null, undefined, 1, 'text', {}, { fetch: () => {} }]) {
    expect(await toListener(nothing)).toBeUndefined()
  }
})
