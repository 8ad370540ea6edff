/** The Node adapter against an exchange in memory: what node:http cannot be compared with (test/app/node/parity.test.ts). */

import { once } from 'node:events'
import { Server, type ServerResponse } from 'node:http'
import { expect, test } from 'vitest'
import type { AbortReason, Application } from '../../../src/app/exchange.ts'
import { type NodeListener, type NodeRequest, nodeApplication } from '../../../src/app/node/node.ts'
import { options } from '../../support/adapter-options.ts'
import {
  type ExchangeInit,
  MemoryExchange,
  paramsFor,
  plainParams,
  type Reply,
  request,
} from '../../support/exchange.ts'
import { until } from '../../support/until.ts'

const app = (listener: NodeListener): Application => nodeApplication(listener, options)
const ask = (listener: NodeListener, init?: ExchangeInit): Promise<Reply> => request(app(listener), init)

/** Runs the listener and gives what it was called with. */
function run(init: ExchangeInit, listener: NodeListener = () => {}) {
  const exchange = new MemoryExchange(init)
  const called: { req?: NodeRequest; res?: ServerResponse } = {}
  exchange.run(app((req, res) => listener(Object.assign(called, { req, res }).req, res)))
  return { exchange, req: called.req as NodeRequest, res: called.res as ServerResponse }
}

const upload = paramsFor('/', 'POST')

// The reply.

test('a small reply goes out in one write, head and body', async () => {
  const exchange = new MemoryExchange()
  exchange.run(app((_req, res) => res.end('hello')))
  const { status, block, text } = await exchange.reply()
  expect(exchange.writes).toHaveLength(1)
  expect([status, block, text]).toEqual([200, 'Status: 200 OK\r\nContent-Length: 5\r\n\r\n', 'hello'])
})

test('pieces that are written in one tick go out together', async () => {
  const exchange = new MemoryExchange()
  exchange.run(
    app((_req, res) => {
      res.writeHead(200, { 'Content-Length': 6 })
      res.write('abc')
      res.end(Buffer.from('def'))
    }),
  )
  const { text } = await exchange.reply()
  expect(text).toBe('abcdef')
  expect(exchange.contentLength).toBe(6)
})

test.each([100, 100_000])('a head waits for a body of %i bytes, or for flushHeaders', async length => {
  const headers = { 'Content-Length': length }
  const { exchange, res } = run({}, (_req, response) => response.writeHead(200, headers))
  await new Promise(resolve => setImmediate(resolve))
  expect(exchange.headSent).toBe(false)
  res.end('x'.repeat(length))
  expect((await exchange.reply()).body).toHaveLength(length)
  expect(exchange.writes).toHaveLength(1)

  const flushed = run({}, (_req, response) => response.writeHead(200, headers).flushHeaders())
  await until('the head', () => flushed.exchange.headSent)
  flushed.exchange.abort()
})

const unsent: Readonly<Record<string, string>> = {
  Connection: 'close',
  'Keep-Alive': 'timeout=5',
  'Transfer-Encoding': 'chunked',
  Upgrade: 'h2c',
  TE: 'trailers',
  Trailer: 'X-A',
  'Proxy-Authenticate': 'Basic',
  Status: '500 No',
}

const ways: Readonly<Record<string, (res: ServerResponse, headers: Readonly<Record<string, string>>) => unknown>> = {
  setHeader: (res, headers) => Object.entries(headers).map(([name, value]) => res.setHeader(name, value)),
  'an object': (res, headers) => res.writeHead(200, headers),
  'a reason and an object': (res, headers) => res.writeHead(200, 'OK', headers),
  pairs: (res, headers) => res.writeHead(200, Object.entries(headers) as never),
  'name and value by turns': (res, headers) => res.writeHead(200, Object.entries(headers).flat()),
  writeHeader: (res, headers) => {
    const { writeHeader } = res as { writeHeader?: ServerResponse['writeHead'] }
    return (writeHeader ?? res.writeHead).call(res, 200, headers)
  },
  both: (res, headers) => res.setHeader('X-Kept', '1').setHeader('Upgrade', 'x').writeHead(200, headers),
}

for (const [way, write] of Object.entries(ways)) {
  test(`headers for the connection alone are not sent when given by ${way}`, async () => {
    const { block, text } = await ask((_req, res) => {
      write(res, { ...unsent, 'X-Kept': '1', 'x-lower': '2' })
      res.write('a')
      setImmediate(() => res.end('b'))
    })
    expect(block).toBe('Status: 200 OK\r\nX-Kept: 1\r\nx-lower: 2\r\n\r\n')
    expect(text).toBe('ab')
  })
}

test('headers and reasons that cannot be sent are refused as by node:http, and the next head is right', async () => {
  const { block } = await ask((_req, res) => {
    expect(() => res.writeHead(200, { 'Content-Length': '9', 'X-A': 'a\r\nb' })).toThrow(/Invalid character/)
    res.end('abc')
  })
  expect(block).toBe('Status: 200 OK\r\nContent-Length: 3\r\n\r\n')
})

test('a head is latin1 and the text after it UTF-8', async () => {
  const { block, text } = await ask((_req, res) => {
    res.setHeader('X-Name', 'caf\xe9')
    res.statusMessage = 'Tr\xe8s bien'
    res.end('é€')
  })
  expect(block).toBe('Status: 200 Tr\xe8s bien\r\nX-Name: caf\xe9\r\nContent-Length: 5\r\n\r\n')
  expect(text).toBe('é€')
})

for (const body of ['text', Buffer.from('bytes')]) {
  test(`a file name reaches the client byte for byte with a body of ${typeof body}`, async () => {
    const value = `attachment; filename="${Buffer.from('Ωé.txt').toString('latin1')}"`
    const setters: NodeListener[] = [
      (_req, res) => res.setHeader('Content-Length', body.length).setHeader('Content-Disposition', value),
      (_req, res) => res.setHeader('Content-Disposition', [value]),
      (_req, res) => res.writeHead(200, { 'Content-Disposition': value }),
    ]
    for (const set of setters) {
      const { block } = await ask((req, res) => {
        set(req, res)
        res.end(body)
      })
      expect(block).toContain(`Content-Disposition: ${value}\r\n`)
    }
  })
}

test('the exchange is told how long the body is meant to be, unless there must be none', async () => {
  const declared = async (method: string, status: number): Promise<number | undefined> => {
    const exchange = new MemoryExchange({ params: { REQUEST_METHOD: method } })
    exchange.run(app((_req, res) => res.writeHead(status, { 'content-length': '7' }).end('7 bytes')))
    await exchange.reply()
    return exchange.contentLength
  }
  expect(await declared('GET', 200)).toBe(7)
  expect(await declared('HEAD', 200)).toBe(-1)
  expect(await declared('GET', 304)).toBe(-1)
})

test('a client of HTTP/1.0 is told the length of a body that is known', async () => {
  const { block } = await ask((_req, res) => res.end('hello'), { params: { SERVER_PROTOCOL: 'HTTP/1.0' } })
  expect(block).toContain('Content-Length: 5\r\n')
})

test('Date is left to the web server', async () => {
  const { headers } = await ask((_req, res) => res.end())
  expect(headers.get('date')).toBeNull()
})

test('bytes may be used for something else when write() has called back', async () => {
  const { text } = await ask((_req, res) => {
    const bytes = Buffer.from('one ')
    res.write(bytes, () => {
      bytes.write('two ')
      res.write(bytes, () => {
        bytes.fill('x')
        res.end('three')
      })
    })
  })
  expect(text).toBe('one two three')
})

test('bytes are not copied when nobody asks to be called back', async () => {
  const exchange = new MemoryExchange()
  const seen: unknown[] = []
  const { write, end } = exchange
  exchange.write = (chunk, latin1) => seen.push(chunk) > 0 && write.call(exchange, chunk, latin1)
  exchange.end = (chunk, latin1) => {
    seen.push(chunk)
    end.call(exchange, chunk, latin1)
  }
  const pieces = [Buffer.alloc(10), Buffer.alloc(20)]
  exchange.run(
    app((_req, res) => {
      res.write(pieces[0])
      res.end(pieces[1])
    }),
  )
  await exchange.reply()
  expect(seen.map((chunk, i) => chunk === pieces[i])).toEqual([true, true])
})

test('text in many small pieces goes out as one', async () => {
  const exchange = new MemoryExchange()
  exchange.run(
    app(async (_req, res) => {
      for (const letter of 'abcdefgh') res.write(letter)
      await once(exchange, 'write')
      res.end('i')
    }),
  )
  const { text } = await exchange.reply()
  expect([text, exchange.writes.length]).toEqual(['abcdefghi', 2])
})

// The request.

test('the URL is what follows the mount point, originalUrl and baseUrl tell the rest', () => {
  const { req } = run({ params: paramsFor('/a%20b?c=d', 'GET', '/mount') })
  expect([req.url, req.originalUrl, req.baseUrl]).toEqual(['/a%20b?c=d', '/mount/a%20b?c=d', '/mount'])
})

test('a mount point that was said goes before the one in the variables', () => {
  let url: string | undefined
  const listener: NodeListener = req => {
    url = req.url
  }
  const exchange = new MemoryExchange({
    params: { REQUEST_URI: '/shop/cart', SCRIPT_NAME: '/shop/cart', PATH_INFO: '' },
  })
  exchange.run(nodeApplication(listener, { ...options, mount: '/shop' }))
  expect(url).toBe('/cart')
})

test.each([
  ['HTTP/1.0', '1.0'],
  ['HTTP/1.1', '1.1'],
  ['HTTP/2.0', '1.1'],
  ['HTTP/3', '1.1'],
  ['', '1.1'],
])('a request by %s has the version %s', (protocol, version) => {
  const { req } = run({ params: { SERVER_PROTOCOL: protocol } })
  expect(req.httpVersion).toBe(version)
  expect(`${req.httpVersionMajor}.${req.httpVersionMinor}`).toBe(version)
})

test('headers in all the forms that IncomingMessage has', () => {
  const { req } = run({
    params: [
      ...Object.entries(plainParams),
      ['HTTP_X_A', '1'],
      ['HTTP_X_A', '2'],
      ['HTTP_COOKIE', 'a=1'],
      ['HTTP_COOKIE', 'b=2'],
    ],
  })
  expect(req.headers).toEqual({ host: 'localhost', 'x-a': '1, 2', cookie: 'a=1; b=2' })
  expect({ ...req.headersDistinct }).toEqual({ host: ['localhost'], 'x-a': ['1', '2'], cookie: ['a=1', 'b=2'] })
  expect(req.rawHeaders).toEqual(['Host', 'localhost', 'X-A', '1', 'X-A', '2', 'Cookie', 'a=1', 'Cookie', 'b=2'])
})

test('a header called __proto__ is no danger', () => {
  const { req } = run({ params: [...Object.entries(plainParams), ['HTTP___PROTO__', 'x'], ['__proto__', 'y']] })
  expect(Object.getPrototypeOf(req.headers)).toBe(Object.prototype)
  expect(Object.getPrototypeOf(req.cgi)).toBe(Object.prototype)
})

test('req.cgi has the CGI variables and is the request’s own', () => {
  const { req } = run({ params: { ...paramsFor('/x?y=z', 'GET', '/m'), SPECIAL: '1' } })
  expect(req.cgi).toMatchObject({ SCRIPT_NAME: '/m', PATH_INFO: '/x', QUERY_STRING: 'y=z', SPECIAL: '1' })
  req.cgi.SPECIAL = '2'
  expect(run({ params: { SPECIAL: '1' } }).req.cgi.SPECIAL).toBe('1')
})

test('req.errors is the error log of the web server', async () => {
  const { stderr } = await ask((req, res) => {
    req.errors.write('a warning\n')
    res.end()
  })
  expect(stderr).toBe('a warning\n')
})

test('cgi, errors and signal survive what Express does to a request', async () => {
  // It comes without types.
  const { default: express } = await import('express' as string)
  const site = express()
  site.get('/', (req: NodeRequest, res: ServerResponse) => {
    req.errors.write('from Express')
    res.end(`${req.cgi.REQUEST_METHOD} ${req.signal.aborted} ${req.signal instanceof AbortSignal}`)
  })
  const { text, stderr } = await ask(site)
  expect([text, stderr]).toEqual(['GET false true', 'from Express'])
})

test('the socket tells who is at the other end of the web server', () => {
  const { req } = run({ params: { REMOTE_ADDR: '2001:db8::1', REMOTE_PORT: '4711', HTTPS: 'on', SERVER_PORT: '443' } })
  const { remoteAddress, remotePort, remoteFamily, localAddress, localPort } = req.socket
  expect([remoteAddress, remotePort, remoteFamily]).toEqual(['2001:db8::1', 4711, 'IPv6'])
  expect([localAddress, localPort]).toEqual(['127.0.0.1', 443])
  expect((req.socket as { encrypted?: boolean }).encrypted).toBe(true)
  const unknown = run({ params: { REMOTE_ADDR: '', REMOTE_PORT: '' } }).req.socket
  expect([unknown.remoteAddress, unknown.remotePort]).toEqual([undefined, undefined])
})

test.each([
  ['none', {}, 'chunked'],
  ['an empty one', { CONTENT_LENGTH: '' }, 'chunked'],
  ['-1', { CONTENT_LENGTH: '-1' }, 'chunked'],
  ['a real one', { CONTENT_LENGTH: '3' }, undefined],
])('a body whose length is %s is one to body parsers', async (_what, params, encoding) => {
  const { req } = run({ params: { ...upload, CONTENT_TYPE: 'text/plain', ...params }, body: ['abc'] })
  expect(req.headers['transfer-encoding']).toBe(encoding)
  expect(req.headers['content-length']).toBe(
    (params as { CONTENT_LENGTH?: string }).CONTENT_LENGTH === '3' ? '3' : undefined,
  )
})

test('a request of which it is not yet known that it has no body is not said to have one', () => {
  const { req } = run({ params: paramsFor('/', 'DELETE'), body: 'open' })
  expect(req.headers['transfer-encoding']).toBeUndefined()
})

// Reading the body.

test('nothing of the body is asked for before it is read, and no more than there is room for', async () => {
  const piece = Buffer.alloc(16_384)
  const { exchange, req } = run({ params: upload, body: Array.from({ length: 100 }, () => piece) })
  await new Promise(setImmediate)
  expect(exchange.taken).toBe(0)
  req.once('data', () => req.pause())
  await once(req, 'pause')
  await new Promise(setImmediate)
  expect(exchange.taken).toBeLessThan(10 * piece.length)
  req.resume()
  await once(req, 'end')
  expect(exchange.taken).toBe(100 * piece.length)
})

test('a body that proves empty after the listener was called', async () => {
  const { exchange, req } = run({ params: upload, body: 'open' })
  const end = once(req.resume(), 'end')
  exchange.sendEnd()
  await end
  expect(req.complete).toBe(true)
})

test('a request that is still read when its reply has ended is cut off', async () => {
  let reading: Promise<unknown> | undefined
  const { exchange } = run({ params: upload, body: 'open' }, (req, res) => {
    reading = once(req, 'error')
    req.on('data', () => res.end('enough'))
  })
  exchange.send('a beginning')
  expect((await exchange.reply()).text).toBe('enough')
  expect(await reading).toMatchObject([{ code: 'ECONNRESET' }])
})

// Failures.

const failures: Readonly<Record<string, NodeListener>> = {
  throws: () => {
    throw new Error('no')
  },
  'throws after it has written': (_req, res) => {
    res.writeHead(200)
    res.write('some')
    throw new Error('no')
  },
  rejects: async () => {
    throw new Error('no')
  },
  'rejects later': async (_req, res) => {
    res.setHeader('X-A', '1')
    await new Promise(setImmediate)
    throw new Error('no')
  },
}

for (const [what, listener] of Object.entries(failures)) {
  test(`a listener that ${what} fails the exchange with nothing sent, and the response is closed`, async () => {
    let closed = false
    const exchange = new MemoryExchange()
    exchange.run(
      app((req, res) => {
        res.on('close', () => {
          closed = true
        })
        return listener(req, res)
      }),
    )
    const { failure, status, body } = await exchange.reply()
    expect([(failure as Error).message, status, body.length]).toEqual(['no', 500, 0])
    await until('close', () => closed)
  })
}

test('an error after the head was sent is the exchange’s to deal with', async () => {
  const exchange = new MemoryExchange()
  exchange.run(
    app(async (_req, res) => {
      res.write('some')
      await once(exchange, 'write')
      throw new Error('late')
    }),
  )
  const { failure, status, text } = await exchange.reply()
  expect([(failure as Error).message, status, text]).toEqual(['late', 200, 'some'])
})

test('a rejection after the reply has ended is still told', async () => {
  const exchange = new MemoryExchange()
  const failed: unknown[] = []
  exchange.fail = error => void failed.push(error)
  exchange.run(
    app(async (_req, res) => {
      res.end('done')
      await new Promise(setImmediate)
      throw new Error('too late')
    }),
  )
  expect((await exchange.reply()).text).toBe('done')
  await until('the failure', () => failed.length === 1)
})

test('a rejection without a reason is a failure like any other', async () => {
  const { failure, status } = await ask(() => Promise.reject(undefined))
  expect([failure, status]).toEqual([undefined, 500])
})

test('res.destroy(error) fails the exchange with that error', async () => {
  const { failure } = await ask((_req, res) => void res.destroy(new Error('given up')))
  expect((failure as Error).message).toBe('given up')
})

test('req.destroy() after the reply leaves the reply alone', async () => {
  const exchange = new MemoryExchange()
  let closed = false
  exchange.run(
    app((req, res) => {
      res.end('done')
      res.on('close', () => req.destroy().on('close', () => (closed = true)))
    }),
  )
  expect((await exchange.reply()).failure).toBeUndefined()
  await until('close', () => closed)
})

// Aborts.

test.each<[AbortReason, string, string]>([
  ['client-gone', 'AbortError', 'ECONNRESET'],
  ['timeout', 'TimeoutError', 'ETIMEDOUT'],
  ['stdin-timeout', 'TimeoutError', 'ETIMEDOUT'],
  ['body-too-large', 'AbortError', 'ECONNRESET'],
  ['shutdown', 'AbortError', 'ECONNRESET'],
])('%s aborts the signal and ends the request with an error', async (reason, name, code) => {
  const { exchange, req, res } = run({ params: upload, body: 'open' })
  const { signal } = req
  const error = once(req, 'error')
  const closed = once(res, 'close')
  exchange.abort(reason)
  expect(signal.aborted).toBe(true)
  // From Node 24 on the signal is node's own and gives no reason but AbortError.
  expect(['AbortError', name]).toContain((signal.reason as DOMException).name)
  expect(await error).toMatchObject([{ code }])
  await closed
  expect(res.writableFinished).toBe(false)
})

test('a signal that is first asked for after the abort is aborted', () => {
  const { exchange, req } = run({})
  exchange.abort()
  expect(req.signal.aborted).toBe(true)
})

test('a signal is not aborted by the end of the reply', async () => {
  const { exchange, req, res } = run({})
  const { signal } = req
  res.end('done')
  await exchange.reply()
  await new Promise(setImmediate)
  expect(signal.aborted).toBe(false)
})

test('write callbacks hear of the abort', async () => {
  const { exchange, res } = run({ stalled: true, highWaterMark: 10 })
  const called = new Promise(resolve => res.write('more than ten bytes', resolve))
  await once(exchange, 'write')
  exchange.abort()
  expect(await called).toMatchObject({ code: 'ECONNRESET' })
})

test('what is written after the abort is dropped', async () => {
  const { exchange, res } = run({})
  exchange.abort()
  res.writeHead(200)
  expect(res.write('to nobody')).toBe(false)
  res.end()
  await new Promise(setImmediate)
  expect(exchange.writes).toEqual([])
})

// Back-pressure.

test('write() returns false until the reader has taken what waits, then drain comes', async () => {
  const { exchange, res } = run({ stalled: true })
  expect(res.write(Buffer.alloc(100_000))).toBe(false)
  await once(exchange, 'write')
  expect(res.writableNeedDrain).toBe(true)
  const drained = once(res, 'drain')
  exchange.unstall()
  await drained
  expect(res.writableNeedDrain).toBe(false)
})

test('a long last write is finished when the reader has taken it', async () => {
  const { exchange, res } = run({ stalled: true })
  let finished = false
  res.end(Buffer.alloc(200_000), () => {
    finished = true
  })
  await once(exchange, 'write')
  await new Promise(setImmediate)
  expect([finished, exchange.ended]).toEqual([false, false])
  exchange.unstall()
  expect([finished, exchange.ended]).toEqual([true, true])
  expect((await exchange.reply()).body.length).toBe(200_000)
})

test('a client that goes away before it has taken the end of a long reply: close without finish', async () => {
  const { exchange, res } = run({ stalled: true })
  let finished = false
  res.on('finish', () => {
    finished = true
  })
  res.end(Buffer.alloc(200_000))
  await once(exchange, 'write')
  const closed = once(res, 'close')
  exchange.abort()
  await closed
  expect(finished).toBe(false)
})

test('a synchronous loop of writes is told to stop', () => {
  const { res } = run({})
  let writes = 0
  while (res.write(Buffer.alloc(1000)) && writes < 1000) writes++
  expect(writes).toBeLessThan(100)
})

// The application.

test('an error of a listener is known also while monitoring wraps `emit`', async () => {
  const { emit } = Server.prototype
  const emitted: unknown[] = []
  Server.prototype.emit = function (this: Server, ...args: unknown[]) {
    emitted.push(args[0])
    return Reflect.apply(emit, this, args)
  } as typeof emit
  try {
    const throws = (): never => {
      throw new Error('one')
    }
    const rejects = async (): Promise<never> => throws()
    for (const listener of [throws, rejects]) {
      const exchange = new MemoryExchange()
      exchange.run(app(listener))
      await until('it has failed', () => exchange.failure !== undefined)
      expect(exchange.failure).toEqual(new Error('one'))
    }
    expect(emitted).toEqual(['request', 'request'])
  } finally {
    Reflect.deleteProperty(Server.prototype, 'emit')
  }
})

test('close() is the one that was given', async () => {
  let closed = 0
  const application = nodeApplication(() => {}, options, { close: async () => void closed++ })
  await application.close?.()
  expect(closed).toBe(1)
  expect(app(() => {}).close).toBeUndefined()
})
