/**
 * The promise of the Node callable is that a listener runs unchanged. So each listener here runs twice, once under node:http
 * and once over FastCGI, and what it noted and what its client received must be the same.
 */

import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { IncomingMessage, Server, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { finished, PassThrough, pipeline, Readable, Transform } from 'node:stream'
import { pipeline as pipelineDone } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { afterAll, expect, test } from 'vitest'
import type { NodeRequest } from '../../../src/app/node/node.ts'
import { fetchWhole, open, type Reply, type RequestOptions } from '../../support/http-client.ts'
import { overFastCgi, overHttp } from '../../support/listeners.ts'
import { until } from '../../support/until.ts'

type Note = (what: unknown) => void
type Listener = (req: NodeRequest, res: ServerResponse, note: Note) => unknown
type Client = (port: number, notes: readonly unknown[]) => Promise<unknown>

/** What the server in front or the HTTP library adds. */
const NOT_COMPARED = ['date', 'connection', 'keep-alive', 'transfer-encoding', 'server']

/** The server and what its `emit` was called with, within a call that monitoring has wrapped; otherwise undefined. */
const within = new AsyncLocalStorage<string>()

/** As OpenTelemetry and Datadog wrap it: that of the class. */
function wrapClass(): () => void {
  const { emit } = Server.prototype
  Server.prototype.emit = function (this: Server, ...args: unknown[]) {
    const call = (): boolean => Reflect.apply(emit, this, args)
    return args[0] === 'request' ? within.run('the class', call) : call()
  } as typeof emit
  return () => void Reflect.deleteProperty(Server.prototype, 'emit')
}

/** As Sentry does: that of the server which the channel names, when it names it first. */
function wrapNamedServers(): () => void {
  const wrap = (message: unknown): void => {
    const { server } = message as { server: Server }
    if (Object.hasOwn(server, 'emit')) return
    const { emit } = server
    server.emit = new Proxy(emit, {
      apply: (target, self, args) => within.run('the server', () => Reflect.apply(target, self, args)),
    })
  }
  subscribe('http.server.request.start', wrap)
  return () => void unsubscribe('http.server.request.start', wrap)
}

const announced = new WeakMap<object, unknown>()
const completed = new WeakSet<object>()
subscribe('http.server.request.start', message => {
  const { request, response } = message as { request: object; response: object }
  announced.set(response, request)
})
subscribe('http.server.response.finish', message => completed.add((message as { response: object }).response))

const folder = mkdtempSync(join(tmpdir(), 'parity-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** One request; the whole reply. */
const get =
  (path = '/', options: RequestOptions = {}): Client =>
  async port => {
    const { status, headers, body } = await fetchWhole(port, path, options)
    for (const name of NOT_COMPARED) delete headers[name]
    return { status, headers, body: body.length < 1000 ? body.toString('latin1') : body.length }
  }

const post = (...pieces: string[]): Client =>
  get('/', { method: 'POST', body: pieces.map(piece => Buffer.from(piece)) })

/** Bytes as they are, for what an HTTP library would not send or show. */
const raw =
  (text: string, enough: (received: string) => boolean): Client =>
  async port => {
    const socket = connect(port, '127.0.0.1')
    let received = ''
    socket.setEncoding('latin1').on('data', data => {
      received += data
    })
    socket.write(text)
    await until('the reply', () => enough(received))
    socket.destroy()
    return received.slice(received.indexOf('\r\n\r\n') + 4)
  }

/** A client that goes away when `note` was noted. */
const leaves =
  (when: string, options: RequestOptions = {}): Client =>
  async (port, notes) => {
    const { method = 'GET' } = options
    const socket = connect(port, '127.0.0.1')
    const length = method === 'GET' ? '' : 'Content-Length: 100\r\n'
    socket.write(`${method} / HTTP/1.1\r\nHost: x\r\n${length}\r\n${method === 'GET' ? '' : 'part of it'}`)
    socket.on('data', () => {})
    await until(`the note ${when}`, () => notes.includes(when))
    socket.destroy()
    return 'left'
  }

/** Runs the listener under both servers; `last` is the note after which nothing more is expected. */
function same(title: string, listener: Listener, client: Client = get(), last?: string): void {
  test(title, async () => {
    const outcomes = []
    for (const serve of [overHttp, overFastCgi]) {
      const notes: unknown[] = []
      const site = await serve((req, res) => listener(req, res, what => notes.push(what)))
      const received = await client(site.port, notes)
      if (last !== undefined) await until(`the note ${last} among ${notes}`, () => notes.includes(last))
      await new Promise(setImmediate)
      await site.close()
      outcomes.push({ received, notes })
    }
    forgive(outcomes)
    expect(outcomes[1]).toEqual(outcomes[0])
    if (last !== undefined) expect(outcomes[0]?.notes.filter(note => note === last)).toHaveLength(1)
  })
}

/** The gateway tells the length of a short reply that it has whole, though nobody declared it. */
function forgive(outcomes: readonly { received: unknown }[]): void {
  const [http, fastCgi] = outcomes.map(({ received }) => (received as { headers?: Reply['headers'] }).headers)
  if (http !== undefined && fastCgi !== undefined && http['content-length'] === undefined)
    delete fastCgi['content-length']
}

function noteEvents(emitter: NodeJS.EventEmitter, names: readonly string[], label: string, note: Note): void {
  for (const name of names) {
    emitter.on(name, argument => {
      const details = argument instanceof Error ? ` ${(argument as NodeJS.ErrnoException).code}` : ''
      note(`${label} ${name}${details}`)
    })
  }
}

const noteResponse = (res: ServerResponse, note: Note): void =>
  noteEvents(res, ['prefinish', 'finish', 'close', 'error', 'drain'], 'res', note)
const noteRequest = (req: IncomingMessage, note: Note): void =>
  noteEvents(req, ['end', 'close', 'aborted', 'error'], 'req', note)

const stateOf = (res: ServerResponse): object => ({
  headersSent: res.headersSent,
  writableEnded: res.writableEnded,
  writableFinished: res.writableFinished,
  finished: res.finished,
  destroyed: res.destroyed,
  closed: res.closed,
  writable: res.writable,
  errored: res.errored,
  socket: res.socket !== null,
  corked: res.writableCorked,
  needDrain: res.writableNeedDrain,
  highWaterMark: res.writableHighWaterMark,
})

const codeOf = (action: () => unknown): unknown => {
  try {
    action()
    return 'nothing thrown'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error)
  }
}

// Events and states.

same(
  'a small reply emits finish and close once, in that order, after the listener has returned',
  (_req, res, note) => {
    noteResponse(res, note)
    res.end('hello')
    note('returned')
  },
  get(),
  'res close',
)

same(
  'listeners that are added after end() hear of finish and close',
  (_req, res, note) => {
    res.end('hello')
    noteResponse(res, note)
  },
  get(),
  'res close',
)

same(
  'the state of the response at each step of its life',
  (_req, res, note) => {
    note(stateOf(res))
    res.write('one')
    note(stateOf(res))
    res.end('two')
    res.on('finish', () => note(stateOf(res)))
    res.on('close', () => note(stateOf(res)))
    res.on('close', () => note('closed'))
  },
  get(),
  'closed',
)

same(
  'callbacks of write() and end() come in the order of the calls and before finish is over',
  (_req, res, note) => {
    res.on('finish', () => note('finish'))
    res.write('a', () => note('a'))
    res.write('b', 'latin1', () => note('b'))
    res.end('c', () => note('end'))
    note('returned')
    res.on('close', () => note('close'))
  },
  get(),
  'close',
)

same(
  'a request whose body nobody reads is closed after the reply',
  (req, res, note) => {
    noteRequest(req, note)
    res.end('hello')
  },
  get(),
  'req close',
)

same(
  'an upload that nobody reads does not stand in the way of the reply',
  (req, res, note) => {
    noteRequest(req, note)
    res.end('not wanted')
  },
  post('a body', 'in two pieces'),
  'req close',
)

same(
  'a request that was read to its end is closed before the reply',
  async (req, res, note) => {
    noteRequest(req, note)
    for await (const chunk of req) note(String(chunk))
    note([req.complete, req.readableEnded, req.destroyed, req.aborted])
    res.end('thanks')
    res.on('close', () => note('res close'))
  },
  post('a body'),
  'res close',
)

same(
  'a listener that waits before it answers',
  async (_req, res, note) => {
    noteResponse(res, note)
    await new Promise(setImmediate)
    res.setHeader('X-Late', '1')
    res.end(Buffer.from('later'))
  },
  get(),
  'res close',
)

// Reading.

same(
  'data and end events of a body',
  (req, res) => {
    const chunks: Buffer[] = []
    req.on('data', chunk => chunks.push(chunk)).on('end', () => res.end(Buffer.concat(chunks)))
  },
  post('one ', 'two ', 'three'),
)

same(
  'readable events and read()',
  (req, res) => {
    let body = ''
    req.setEncoding('utf8')
    req.on('readable', () => {
      for (let chunk = req.read(); chunk !== null; chunk = req.read()) body += chunk
    })
    req.on('end', () => res.end(body))
  },
  post('ä', 'ö', 'ü'),
)

same('a request without body that is read all the same', async (req, res) => {
  let count = 0
  for await (const _chunk of req) count++
  res.end(`${count} chunks, complete: ${req.complete}`)
})

same(
  'a body piped through a transformation into the reply',
  (req, res) => {
    const upper = new Transform({ transform: (chunk, _encoding, done) => done(null, String(chunk).toUpperCase()) })
    req.pipe(upper).pipe(res)
  },
  post('quiet ', 'words'),
)

same(
  'a body of 2 MB echoed with back-pressure both ways',
  async (req, res, note) => {
    await pipelineDone(req, new PassThrough(), res)
    note('done')
  },
  get('/', { method: 'POST', body: Array.from({ length: 32 }, (_, i) => Buffer.alloc(65_536, i)) }),
  'done',
)

same(
  'a paused request can be resumed',
  (req, res, note) => {
    req.once('data', chunk => {
      note(String(chunk))
      req.pause()
      note(req.isPaused())
      setImmediate(() => req.resume())
      req.on('end', () => res.end('done'))
    })
  },
  post('only one'),
)

same(
  'stream.finished() of request and response',
  (req, res, note) => {
    finished(req, error => note(`req ${error?.code}`))
    finished(res, error => note(`res ${error?.code}`))
    req.resume()
    res.end('done')
    res.on('close', () => setImmediate(() => finished(res, error => note(`late ${error?.code}`))))
  },
  post('x'),
  'late undefined',
)

same(
  'headers, repeated and odd ones',
  (req, res) => {
    res.setHeader('Content-Type', 'application/json')
    const { headers, headersDistinct, trailers, rawTrailers, httpVersion, method, url } = req
    for (const all of [headers, headersDistinct]) delete all.connection
    res.end(
      JSON.stringify({ headers, distinct: { ...headersDistinct }, trailers, rawTrailers, httpVersion, method, url }),
    )
  },
  get('/a%20b/c?d=%20e&f', {
    headers: { host: 'x.test', cookie: ['a=1', 'b=2'], accept: '*/*', 'X-Upper-Case': 'é' },
  }),
)

same('the kinds of what the listener is given', (req, res, note) => {
  note([req instanceof IncomingMessage, req instanceof Readable, res.req === req, req.socket === res.socket])
  note([typeof req.socket.remoteAddress, typeof req.socket.remotePort, req.socket.remoteFamily])
  note(['encrypted' in req.socket, req.socket.destroyed, req.socket.writable])
  note([req.connection === req.socket, req.socket.readyState, typeof req.socket.address()])
  note([req.statusCode, req.aborted, req.readable, req.destroyed])
  res.end()
})

// Writing.

const encodings: readonly (readonly [BufferEncoding, string])[] = [
  ['utf8', 'é€'],
  ['latin1', 'é'],
  ['binary', 'é'],
  ['ascii', 'abc'],
  ['hex', 'c3a9'],
  ['base64', 'w6k='],
  ['utf16le', 'é'],
]

for (const [encoding, text] of encodings) {
  same(`a reply of text in ${encoding}`, (_req, res) => res.end(text, encoding))
  same(`pieces of text in ${encoding} between others`, (_req, res) => {
    res.write('a')
    res.write(text, encoding)
    res.write(Buffer.from('b'))
    res.end(new Uint8Array([99]))
  })
}

const heads: Readonly<Record<string, (res: ServerResponse) => unknown>> = {
  'an object': res => res.writeHead(201, { 'X-A': '1', 'Set-Cookie': ['a=1', 'b=2', 'c=3'] }),
  'a reason and an object': res => res.writeHead(404, 'Nowhere', { 'X-A': '1' }),
  'name and value by turns': res => res.writeHead(200, ['X-A', '1', 'X-B', '2', 'X-A', '3']),
  pairs: res =>
    res.writeHead(200, [
      ['X-A', '1'],
      ['X-B', ['2', '3']],
    ] as never),
  'setHeader before': res => res.setHeader('X-A', '0').setHeader('X-C', ['x', 'y']).writeHead(200, { 'X-A': '1' }),
  'setHeader before and name and value by turns': res =>
    res.setHeader('X-A', '0').writeHead(200, ['X-A', '1', 'X-B', '2']),
  'statusCode and statusMessage': res => {
    res.statusCode = 418
    res.statusMessage = 'Short and stout'
  },
  'an unknown status': res => res.writeHead(499),
  'appendHeader and setHeaders': res =>
    res
      .appendHeader('X-A', '1')
      .appendHeader('X-A', '2')
      .setHeaders(new Map([['x-b', '3']])),
  'a Date of its own': res => res.setHeader('X-Date', 'now').setHeader('Date', 'Thu, 01 Jan 1970 00:00:00 GMT'),
  'a latin1 value': res => res.setHeader('X-Name', 'caf\xe9'),
  'a number': res => res.setHeader('X-Number', 12),
  'nothing at all': () => {},
}

for (const [what, writeHead] of Object.entries(heads)) {
  same(`a head from ${what}`, (_req, res, note) => {
    writeHead(res)
    note(res.getHeaders())
    res.end(Buffer.from('body'))
    note([res.headersSent, res.statusCode, res.statusMessage])
  })
}

const hops: Readonly<Record<string, (res: ServerResponse) => unknown>> = {
  'Transfer-Encoding: chunked': res => res.setHeader('Transfer-Encoding', 'chunked'),
  'Transfer-Encoding in writeHead': res => res.writeHead(200, { 'transfer-encoding': 'chunked', 'x-a': '1' }),
  'Transfer-Encoding in a list': res => res.writeHead(200, ['TRANSFER-ENCODING', 'chunked', 'X-A', '1']),
  'Connection: close': res => res.setHeader('Connection', 'close'),
  'Keep-Alive': res =>
    res.writeHead(200, [
      ['Keep-Alive', 'timeout=5'],
      ['X-A', '1'],
    ] as never),
  'Trailer and trailers': res => {
    res.setHeader('Trailer', 'X-Sum')
    res.write('first ')
    res.addTrailers({ 'X-Sum': '1' })
  },
}

for (const [what, prepare] of Object.entries(hops)) {
  same(
    `an application that sends ${what} sends the same body`,
    (_req, res) => {
      prepare(res)
      res.write('one ')
      setImmediate(() => {
        res.write('two ')
        res.end('three')
      })
    },
    async port => {
      const { status, headers, body } = await fetchWhole(port, '/')
      return { status, body: String(body), a: headers['x-a'] }
    },
  )
}

for (const status of [204, 304]) {
  same(`a body with ${status} is not sent`, (_req, res) => {
    res.statusCode = status
    res.setHeader('ETag', '"x"')
    res.write('not ')
    res.end('sent')
  })
}

same(
  'the reply to HEAD has the headers of a body and no body',
  (_req, res) => {
    res.setHeader('Content-Length', 5)
    res.write('he')
    res.end('llo')
  },
  get('/', { method: 'HEAD' }),
)

same(
  'the length of a reply to HEAD that is written at once',
  (_req, res) => res.end('hello'),
  get('/', { method: 'HEAD' }),
)

same('an empty reply has length 0', (_req, res) => res.end())

for (const order of [
  ['Content-Length', 'Content-Disposition'],
  ['Content-Disposition', 'Content-Length'],
]) {
  same(`a file name in UTF-8, ${order.join(' before ')}`, (_req, res) => {
    const name = Buffer.from('Ωé.txt').toString('latin1')
    const values: Record<string, string> = { 'Content-Length': '4', 'Content-Disposition': `filename="${name}"` }
    for (const header of order) res.setHeader(header, values[header] as string)
    res.end('text')
  })
}

same('informational replies are not taken for the reply', (_req, res, note) => {
  res.writeContinue(() => note('continue'))
  res.writeProcessing(() => note('processing'))
  res.writeEarlyHints({ link: '</style.css>; rel=preload' }, () => note('hints'))
  res.end('the reply')
})

same(
  'flushHeaders() sends the head before there is a body',
  (_req, res, note) => {
    res.writeHead(200, { 'X-Early': '1' })
    res.flushHeaders()
    res.flushHeaders()
    const timer = setInterval(() => {
      if (headSeen) res.end('body')
      if (headSeen) clearInterval(timer)
    }, 1)
    res.on('close', () => note('close'))
  },
  async port => {
    headSeen = false
    const reply = await open(port, '/')
    headSeen = true
    let body = ''
    for await (const chunk of reply) body += chunk
    return [reply.headers['x-early'], body]
  },
  'close',
)
let headSeen = false

same(
  'each piece arrives when it is written',
  async (_req, res) => {
    for (const piece of ['one', 'two', 'three']) {
      res.write(piece)
      await until('the piece to arrive', () => arrived.at(-1) === piece)
    }
    res.end()
  },
  async port => {
    arrived.length = 0
    for await (const chunk of await open(port, '/')) arrived.push(String(chunk))
    return arrived.slice()
  },
)
const arrived: string[] = []

same(
  'cork() holds back until uncork()',
  (_req, res, note) => {
    res.write('a')
    res.cork()
    note(res.writableCorked > 0)
    res.write('b')
    setImmediate(() => {
      res.write('c')
      res.uncork()
      setImmediate(() => res.end('d'))
    })
    res.on('close', () => note('close'))
  },
  get(),
  'close',
)

same(
  'a writer that heeds back-pressure gets everything through',
  async (_req, res, note) => {
    const piece = Buffer.alloc(100_000, 'x')
    let left = 50
    let drains = 0
    const more = (): void => {
      while (left-- > 0) {
        if (res.write(piece)) continue
        if (!res.writableNeedDrain) note('told to wait, but writableNeedDrain is false')
        res.once('drain', () => {
          drains++
          if (res.writableNeedDrain) note('drained, but writableNeedDrain is true')
          more()
        })
        return
      }
      res.end()
      note(drains > 0)
    }
    more()
    res.on('close', () => note('close'))
  },
  get(),
  'close',
)

same(
  'two pipelines into one response, one after the other',
  async (_req, res, note) => {
    const big = (fill: string): Readable => Readable.from(Array.from({ length: 20 }, () => Buffer.alloc(70_000, fill)))
    await pipelineDone(big('a'), res, { end: false })
    await pipelineDone(big('b'), res)
    note('done')
  },
  get(),
  'done',
)

same(
  'one write of 8 MB',
  (_req, res, note) => {
    res.end(Buffer.alloc(8_000_000), () => note('flushed'))
    res.on('close', () => note('close'))
  },
  get(),
  'close',
)

same(
  'a compressed file',
  async (_req, res, note) => {
    const file = join(folder, 'file')
    writeFileSync(file, 'text '.repeat(100_000))
    res.setHeader('Content-Encoding', 'gzip')
    await pipelineDone(createReadStream(file), createGzip(), res)
    note('done')
  },
  get(),
  'done',
)

// Mistakes.

same('what is refused, and with which error', (_req, res, note) => {
  note(codeOf(() => res.setHeader('bad name', 'x')))
  note(codeOf(() => res.setHeader('X-A', 'line\r\nbreak')))
  note(codeOf(() => res.setHeader('X-A', 'nul\0')))
  note(codeOf(() => res.setHeader('X-A', '\u{1F600}')))
  note(codeOf(() => res.setHeader('X-A', undefined as unknown as string)))
  note(codeOf(() => res.writeHead(99)))
  note(codeOf(() => res.writeHead(200, { 'bad name': 'x' })))
  note(codeOf(() => res.write(null as unknown as string)))
  note(codeOf(() => res.write(12 as unknown as string)))
  res.writeHead(200)
  note(codeOf(() => res.writeHead(200)))
  note(codeOf(() => res.setHeader('X-A', '1')))
  note(codeOf(() => res.removeHeader('X-A')))
  note(codeOf(() => res.writeEarlyHints({ link: 'nonsense' })))
  res.end('ok')
})

same(
  'writing after the end is an error event',
  (_req, res, note) => {
    res.on('error', error => note((error as NodeJS.ErrnoException).code))
    res.end('done')
    res.end()
    note(res.write('more'))
    res.write('more', error => note(`callback ${(error as NodeJS.ErrnoException).code}`))
    res.end(() => note('end again'))
    res.on('close', () => setImmediate(() => note('over')))
  },
  get(),
  'over',
)

same(
  'writing in the very turn in which the reply was ended is an error event, too',
  (_req, res, note) => {
    res.on('error', (error: NodeJS.ErrnoException) => note(error.code))
    res.end('all')
    note(res.write('more'))
    res.end('still more')
    setTimeout(() => note('over'), 20)
  },
  get(),
  'over',
)

same(
  'diagnostics_channel tells of the request before the listener is called, and of the reply when it has finished',
  (req, res, note) => {
    note(announced.get(res) === req)
    res.on('finish', () => note('finish'))
    res.on('close', () => {
      note(completed.has(res))
      setImmediate(() => note('over'))
    })
    res.end('ok')
  },
  get(),
  'over',
)

for (const [name, wrap] of Object.entries({ wrapClass, wrapNamedServers })) {
  same(
    `monitoring wraps the event: ${name}`,
    async (req, res, note) => {
      note(within.getStore())
      for await (const chunk of req) note(String(chunk))
      note(within.getStore())
      res.on('finish', () => note(within.getStore()))
      res.on('close', () => note('over'))
      res.end('ok')
    },
    async (port, notes) => {
      const unwrap = wrap()
      try {
        return await post('body')(port, notes)
      } finally {
        unwrap()
      }
    },
    'over',
  )
}

same('a status message that cannot be sent', (_req, res, note) => {
  note(codeOf(() => res.writeHead(200, 'bad\nreason')))
  res.statusMessage = 'good'
  res.end('ok')
})

same('a body that does not fit strictContentLength', (_req, res, note) => {
  res.strictContentLength = true
  res.setHeader('Content-Length', 3)
  note(codeOf(() => res.write('four')))
  res.strictContentLength = false
  res.end('abc')
})

// Clients that go away, requests that are given up.

same(
  'the client goes away while it is being answered',
  (req, res, note) => {
    noteRequest(req, note)
    noteEvents(res, ['finish', 'close', 'error'], 'res', note)
    res.write('a beginning')
    note('started')
    res.on('close', () => {
      note([req.destroyed, req.aborted, res.destroyed, res.closed, res.writableEnded, res.writableFinished])
      note(res.write('to nobody'))
      res.end('to nobody')
      setImmediate(() => setImmediate(() => note('over')))
    })
  },
  leaves('started'),
  'over',
)

same(
  'the client goes away before it is answered',
  (req, res, note) => {
    noteRequest(req, note)
    noteEvents(res, ['finish', 'close', 'error'], 'res', note)
    note('waiting')
    res.on('close', () => setImmediate(() => setImmediate(() => note('over'))))
  },
  leaves('waiting'),
  'over',
)

same(
  'the client goes away in the middle of its upload',
  (req, res, note) => {
    noteRequest(req, note)
    noteEvents(res, ['finish', 'close', 'error'], 'res', note)
    req.on('data', () => note('reading'))
    res.on('close', () => setImmediate(() => setImmediate(() => note('over'))))
  },
  leaves('reading', { method: 'POST' }),
  'over',
)

same(
  'a pipeline into the reply fails when the client goes away',
  (_req, res, note) => {
    const endless = new Readable({ read: () => {} })
    pipeline(endless, res, error => note(`pipeline ${error?.code}`))
    endless.push('a beginning')
    note('started')
  },
  leaves('started'),
  'pipeline ERR_STREAM_PREMATURE_CLOSE',
)

same(
  'a for await over the body fails when the client goes away',
  async (req, _res, note) => {
    try {
      for await (const _chunk of req) note('reading')
      note('ended')
    } catch (error) {
      note(`failed ${(error as NodeJS.ErrnoException).code} ${(error as Error).message}`)
    }
  },
  leaves('reading', { method: 'POST' }),
  'failed ECONNRESET aborted',
)

same(
  'nothing is thrown when the client goes away and nobody listens',
  (_req, res, note) => {
    note('waiting')
    res.on('close', () => note('close'))
  },
  leaves('waiting', { method: 'POST' }),
  'close',
)

const broken: Client = async port => {
  try {
    const reply = await open(port, '/')
    for await (const _chunk of reply);
    return reply.statusCode === 200 ? 'whole' : 'broken'
  } catch {
    return 'broken'
  }
}

const destroyers: Readonly<Record<string, (req: NodeRequest, res: ServerResponse) => unknown>> = {
  'res.destroy()': (_req, res) => res.destroy(),
  'res.destroy(error)': (_req, res) => res.destroy(new Error('enough')),
  'req.destroy()': req => req.destroy(),
  'req.destroy(error)': req => req.destroy(new Error('enough')),
  'req.socket.destroy()': req => req.socket.destroy(),
}

for (const [how, destroy] of Object.entries(destroyers)) {
  for (const [when, begin] of [
    ['before the head', () => {}],
    ['in the middle of the body', (res: ServerResponse) => res.writeHead(200, { 'Content-Length': 100 }).write('some')],
  ] as const) {
    same(
      `${how} ${when} breaks the reply off`,
      (req, res, note) => {
        noteEvents(res, ['finish', 'close'], 'res', note)
        noteEvents(req, ['end', 'close', 'aborted'], 'req', note)
        begin(res)
        setImmediate(() => {
          destroy(req, res)
          note([req.destroyed, res.destroyed, req.socket.destroyed])
        })
        res.on('close', () => setImmediate(() => setImmediate(() => note('over'))))
      },
      broken,
      'over',
    )
  }
}

same(
  'a source that fails in mid-pipeline breaks the reply off',
  (_req, res, note) => {
    const source = new Readable({ read: () => {} })
    noteEvents(res, ['finish', 'close'], 'res', note)
    res.setHeader('Content-Length', 100)
    pipeline(source, res, error => note(`pipeline ${error?.message}`))
    source.push('some')
    setImmediate(() => source.destroy(new Error('source failed')))
  },
  broken,
  'res close',
)

// Timeouts.

same(
  'a timeout that somebody handles',
  (_req, res, note) => {
    res.setTimeout(20, () => {
      note('timeout')
      res.end('too late')
    })
  },
  get(),
  'timeout',
)

same(
  'a timeout that nobody handles breaks the request off',
  (req, res, note) => {
    noteEvents(res, ['finish', 'close'], 'res', note)
    req.socket.setTimeout(20)
  },
  broken,
  'res close',
)

same(
  'raw bytes of a reply that was declared in latin1',
  (_req, res) => res.end('é', 'latin1'),
  raw('GET / HTTP/1.1\r\nHost: x\r\n\r\n', text => text.endsWith('\xe9')),
)
