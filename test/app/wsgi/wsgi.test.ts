import { once } from 'node:events'
import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import type { AdapterOptions } from '../../../src/app/exchange.ts'
import {
  type Chunk,
  type StartResponse,
  type WsgiBody,
  type WsgiCallable,
  wsgiApplication,
} from '../../../src/app/wsgi/wsgi.ts'
import { HeaderError } from '../../../src/cgi/reply.ts'
import { type ExchangeInit, MemoryExchange, type Reply, request } from '../../support/exchange.ts'
import { Told } from './told.ts'

const options: AdapterOptions = { concurrency: { multithread: false, multiprocess: true, runOnce: false } }

const open = (callable: WsgiCallable, init?: ExchangeInit) =>
  new MemoryExchange(init).run(wsgiApplication(callable, options))

const get = (callable: WsgiCallable, init?: ExchangeInit): Promise<Reply> =>
  request(wsgiApplication(callable, options), init)

const ok = (start: StartResponse, ...headers: [string, string][]) => start('200 OK', headers)

/** An application that answers 200 with this body. */
const answering =
  (body: () => unknown, ...headers: [string, string][]): WsgiCallable =>
  (_environ, start) => {
    ok(start, ...headers)
    return body() as WsgiBody
  }

async function* later(chunks: Iterable<Chunk>): AsyncIterable<Chunk> {
  for (const chunk of chunks) {
    await new Promise(setImmediate)
    yield chunk
  }
}

describe('a small reply', () => {
  it.each<[string, () => WsgiBody]>([
    ['an array of one string', () => ['hello']],
    ['an array of one Uint8Array', () => [new TextEncoder().encode('hello')]],
    ['a string', () => 'hello'],
    ['a Buffer', () => Buffer.from('hello')],
    ['an array of strings', () => ['he', '', 'llo']],
  ])('from %s is written at once, in one piece and with its length', (_, body) => {
    const exchange = open(answering(body, ['Content-Type', 'text/plain']))
    expect(exchange.ended).toBe(true)
    expect(exchange.contentLength).toBe(5)
    expect(exchange.writes.map(String)).toEqual([
      'Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello',
    ])
  })

  it('has the length of its UTF-8', async () => {
    const reply = await get(answering(() => ['é€😀']))
    expect([reply.headers.get('content-length'), reply.text]).toEqual(['9', 'é€😀'])
  })

  it('keeps the length that the application declared', async () => {
    const reply = await get(answering(() => ['ok'], ['content-length', '2']))
    expect([reply.block, reply.text]).toEqual(['Status: 200 OK\r\ncontent-length: 2\r\n\r\n', 'ok'])
  })

  it.each<[string, () => WsgiBody]>([
    ['an empty array', () => []],
    ['an empty string', () => ''],
    ['empty strings', () => ['', '']],
    ['no chunks', () => new Set<string>()],
    ['empty chunks', () => new Set(['', new Uint8Array()])],
  ])('of %s has the length 0', async (_, body) => {
    const reply = await get(answering(body))
    expect([reply.status, reply.headers.get('content-length'), reply.text]).toEqual([200, '0', ''])
  })

  it('may be promised', async () => {
    const reply = await get(async (_environ, start) => {
      await new Promise(setImmediate)
      ok(start)
      return ['later']
    })
    expect([reply.text, reply.headers.get('content-length')]).toEqual(['later', '5'])
  })
})

describe('a body in chunks', () => {
  const chunks = ['a', '', new TextEncoder().encode('é'), 'c']
  const filled = chunks.filter(chunk => chunk.length > 0)

  it.each<[string, () => unknown]>([
    ['an array', () => chunks],
    ['a set', () => new Set(chunks)],
    ['an asynchronous generator', () => later(chunks)],
    ['a Readable', () => Readable.from(filled)],
    ['a web stream', () => new Response('aéc').body],
    ['a promised generator', async () => later(chunks)],
  ])('may come from %s', async (_, body) => {
    const reply = await get(answering(body))
    expect([reply.text, reply.failure]).toEqual(['aéc', undefined])
    expect(reply.headers.has('content-length')).toBe(false)
  })

  it('is sent as it comes, the head with the first chunk that is not empty', async () => {
    const steps: (() => void)[] = []
    const exchange = open(
      answering(async function* () {
        yield ''
        for (const chunk of ['one', 'two']) {
          await new Promise<void>(resolve => steps.push(resolve))
          yield chunk
        }
      }),
    )
    await new Promise(setImmediate)
    expect(exchange.headSent).toBe(false)
    steps[0]?.()
    await once(exchange, 'write')
    expect(String(exchange.writes[0])).toBe('Status: 200 OK\r\n\r\none')
    await new Promise(setImmediate)
    steps[1]?.()
    const reply = await exchange.reply()
    expect(reply.text).toBe('onetwo')
    expect(exchange.writes.map(String)).toHaveLength(2)
  })

  it('is joined from an array of strings only when that is short', async () => {
    const exchange = open(answering(() => ['x'.repeat(1 << 20), 'y']))
    expect((await exchange.reply()).body.length).toBe((1 << 20) + 1)
    expect(exchange.writes).toHaveLength(2)
  })
})

describe('startResponse', () => {
  it('may be called as late as before the first chunk', async () => {
    const sync = await get(function* (_environ, start) {
      yield ''
      start('404 Not Found', [])
      yield 'gone'
    } as WsgiCallable)
    const async = await get(async function* (_environ, start) {
      await new Promise(setImmediate)
      start('404 Not Found', [])
      yield 'gone'
    } as WsgiCallable)
    expect([sync.status, sync.text, async.status, async.text]).toEqual([404, 'gone', 404, 'gone'])
  })

  it.each<[string, WsgiCallable]>([
    ['before the first chunk', () => ['x']],
    ['before a chunk of many', () => new Set(['x', 'y'])],
    ['at all', () => []],
    ['at all, asynchronously', () => later([])],
  ])('must be called %s', async (_, callable) => {
    const reply = await get(callable)
    expect(reply.status).toBe(500)
    expect(String(reply.failure)).toMatch(/did not call startResponse/)
  })

  it('must not be called twice', async () => {
    const reply = await get((_environ, start) => {
      ok(start)
      ok(start)
      return ['x']
    })
    expect(String(reply.failure)).toMatch(/again without excInfo/)
  })

  it('may be called again because of an error, with other headers, before anything was sent', async () => {
    const error = new Error('changed my mind')
    for (const excInfo of [error, [Error, error, null] as const]) {
      const reply = await get((_environ, start) => {
        ok(start, ['X-Old', '1'], ['Content-Length', '2'])
        start('503 Service Unavailable', [['X-New', '1']], excInfo)
        return ['sorry']
      })
      expect([reply.status, reply.text]).toEqual([503, 'sorry'])
      expect(reply.block).toBe('Status: 503 Service Unavailable\r\nX-New: 1\r\nContent-Length: 5\r\n\r\n')
    }
  })

  it('throws that error when something was sent', async () => {
    const error = new Error('too late')
    for (const excInfo of [error, [Error, error, null] as const]) {
      const reply = await get(function* (_environ, start) {
        ok(start)
        yield 'begun'
        start('500 Internal Server Error', [], excInfo)
      } as WsgiCallable)
      expect([reply.status, reply.text, reply.failure]).toEqual([200, 'begun', error])
    }
  })

  it('takes null for no error', async () => {
    const reply = await get((_environ, start) => {
      start('200 OK', [], null)
      return ['x']
    })
    expect(reply.text).toBe('x')
  })

  it.each<[string, [string, string][]]>([
    ['200 OK\r\nX: y', []],
    ['OK', []],
    ['100 Continue', []],
    ['200 OK', [['X', 'a\r\nSet-Cookie: b']]],
    ['200 OK', [['X\r\n', 'a']]],
    ['200 OK', [['Content-Length', 'five']]],
  ])('throws HeaderError for %j %j', async (status, headers) => {
    const caught: unknown[] = []
    const reply = await get((_environ, start) => {
      try {
        start(status, headers)
      } catch (error) {
        caught.push(error)
      }
      start('500 Internal Server Error', [])
      return ['refused']
    })
    expect(caught[0]).toBeInstanceOf(HeaderError)
    expect([reply.status, reply.text]).toEqual([500, 'refused'])
  })

  it('sends several cookies, and nothing between web server and client', async () => {
    const headers: [string, string][] = [
      ['Set-Cookie', 'a=1'],
      ['Connection', 'close'],
      ['Set-Cookie', 'b=2'],
      ['Transfer-Encoding', 'chunked'],
    ]
    const reply = await get(answering(() => ['x'], ...headers))
    expect(reply.block).toBe('Status: 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 1\r\n\r\n')
  })

  it('takes headers from any iterable, even one that can be read only once', async () => {
    const reply = await get((_environ, start) => {
      start('200 OK', new Map([['Content-Length', '1']]).entries())
      return ['x']
    })
    expect(reply.block).toBe('Status: 200 OK\r\nContent-Length: 1\r\n\r\n')
  })
})

describe('write', () => {
  it('sends before what the iterable yields', async () => {
    const reply = await get((_environ, start) => {
      const write = ok(start)
      write('')
      write('a')
      write(new TextEncoder().encode('b'))
      return ['c']
    })
    expect([reply.text, reply.headers.has('content-length'), reply.failure]).toEqual(['abc', false, undefined])
  })

  it('sends at once', async () => {
    const exchange = new MemoryExchange()
    const written: string[] = []
    exchange.run(
      wsgiApplication((_environ, start) => {
        const write = ok(start)
        for (const chunk of ['a', 'b']) {
          write(chunk)
          written.push(String(exchange.writes.at(-1)))
        }
        return []
      }, options),
    )
    expect(written).toEqual(['Status: 200 OK\r\n\r\na', 'b'])
    expect((await exchange.reply()).text).toBe('ab')
  })

  it('is ignored after the end', async () => {
    let late: ((chunk: Chunk) => void) | undefined
    const reply = await get((_environ, start) => {
      late = ok(start)
      return ['x']
    })
    late?.('y')
    expect(reply.text).toBe('x')
  })
})

describe('a reply that must have no body', () => {
  it.each<[string, string, string]>([
    ['HEAD', '200 OK', 'Status: 200 OK\r\nContent-Length: 5\r\n\r\n'],
    ['GET', '204 No Content', 'Status: 204 No Content\r\n\r\n'],
    ['GET', '304 Not Modified', 'Status: 304 Not Modified\r\n\r\n'],
  ])('(%s, %s) has only its head', async (method, status, block) => {
    const exchange = open(
      (_environ, start) => {
        start(status, [])
        return ['hello']
      },
      { params: { REQUEST_METHOD: method } },
    )
    const reply = await exchange.reply()
    expect([reply.block, reply.text, exchange.contentLength]).toEqual([block, '', -1])
  })

  it('keeps the length that the application declared', async () => {
    const reply = await get(
      answering(() => new Set(['a', 'b']), ['Content-Length', '2']),
      {
        params: { REQUEST_METHOD: 'HEAD' },
      },
    )
    expect([reply.headers.get('content-length'), reply.text, reply.stderr]).toEqual(['2', '', ''])
  })

  it('does not ask for more of a long body than its first chunk, and closes it', async () => {
    const body = new Told(['', 'a', 'b', 'c'])
    const reply = await get(
      answering(() => body),
      { params: { REQUEST_METHOD: 'HEAD' } },
    )
    expect([body.asked, body.returned, body.closed]).toEqual([2, 1, 1])
    expect([reply.status, reply.text, reply.failure]).toEqual([200, '', undefined])
  })
})

describe('a body that is longer than its Content-Length', () => {
  it.each<[string, () => WsgiBody]>([
    ['one string', () => ['héllo']],
    ['one Uint8Array', () => [Buffer.from('héllo')]],
    ['strings', () => new Set(['h', 'éll', 'o', 'more'])],
    ['chunks that end there and more', () => new Set([Buffer.from('hé'), Buffer.from('l'), 'more', 'and more'])],
    ['an asynchronous generator', () => later(['hél', 'lo'])],
  ])('of %s is cut there, and the web server is told', async (_, body) => {
    const reply = await get(answering(body, ['Content-Length', '4']))
    expect([reply.text, reply.failure]).toEqual(['hél', undefined])
    expect(reply.stderr).toMatch(/longer than its Content-Length of 4/)
    expect(reply.stderr.match(/longer/g)).toHaveLength(1)
  })

  it('is not asked for the rest', async () => {
    const body = new Told(['abc', 'def', 'ghi'])
    const reply = await get(answering(() => body, ['Content-Length', '4']))
    expect([reply.text, body.asked, body.returned, body.closed]).toEqual(['abcd', 2, 1, 1])
  })

  it('is not cut when it is just as long', async () => {
    const reply = await get(answering(() => new Set(['ab', 'cd', '']), ['Content-Length', '4']))
    expect([reply.text, reply.stderr]).toEqual(['abcd', ''])
  })
})

describe('what is no reply', () => {
  it.each([undefined, null, 5, true, {}, () => {}, new Date(0)])('(%s) is an error', async result => {
    const reply = await get(answering(() => result))
    expect(reply.status).toBe(500)
    expect(reply.failure).toBeInstanceOf(TypeError)
    expect(String(reply.failure)).toMatch(/the application returned .*itera/)
  })

  it.each([5, null, {}, ['x']])('(a chunk %s) is an error', async chunk => {
    for (const body of [[chunk], new Set([chunk]), later([chunk as Chunk])]) {
      const reply = await get(answering(() => body))
      expect(String(reply.failure)).toMatch(/TypeError: a chunk must be a string or a Uint8Array/)
    }
  })

  it('after the first chunk cuts the reply off', async () => {
    const reply = await get(answering(() => new Set(['begun', 5])))
    expect([reply.status, reply.text]).toEqual([200, 'begun'])
    expect(reply.failure).toBeInstanceOf(TypeError)
  })
})
