import { Readable, Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import type { AdapterOptions } from '../../../src/app/exchange.ts'
import {
  type StartResponse,
  type WsgiBody,
  type WsgiCallable,
  type WsgiEnviron,
  wsgiApplication,
} from '../../../src/app/wsgi/wsgi.ts'
import { type ExchangeInit, MemoryExchange, paramsFor, request } from '../../support/exchange.ts'

const options: AdapterOptions = { concurrency: { multithread: false, multiprocess: true, runOnce: false } }

/** The environ that an application is called with. */
async function environOf(init?: ExchangeInit, given: AdapterOptions = options): Promise<WsgiEnviron> {
  let environ: WsgiEnviron | undefined
  const callable: WsgiCallable = (received, start) => {
    environ = received
    start('200 OK', [])
    return []
  }
  await request(wsgiApplication(callable, given), init)
  return environ as WsgiEnviron
}

describe('the environ', () => {
  it('is a plain object with the CGI variables and what PEP 3333 adds', async () => {
    const environ = await environOf({ params: paramsFor('/a%20b?c=d', 'POST', '/app') })
    expect(Object.getPrototypeOf(environ)).toBe(Object.prototype)
    expect(environ).toMatchObject({
      REQUEST_METHOD: 'POST',
      SCRIPT_NAME: '/app',
      PATH_INFO: '/a b',
      QUERY_STRING: 'c=d',
      HTTP_HOST: 'localhost',
      'wsgi.version': [1, 0],
      'wsgi.url_scheme': 'http',
      'wsgi.multithread': false,
      'wsgi.multiprocess': true,
      'wsgi.run_once': false,
    })
    expect(environ['wsgi.input']).toBeInstanceOf(Readable)
    expect(environ['wsgi.errors']).toBeInstanceOf(Writable)
    expect(environ['runfcgi.signal']).toBeInstanceOf(AbortSignal)
  })

  it('tells what it was told about mount point, scheme and concurrency', async () => {
    const environ = await environOf(
      { params: { ...paramsFor('/app/x'), HTTPS: 'on' } },
      { mount: '/app', concurrency: { multithread: true, multiprocess: false, runOnce: true } },
    )
    expect(environ).toMatchObject({
      SCRIPT_NAME: '/app',
      PATH_INFO: '/x',
      'wsgi.url_scheme': 'https',
      'wsgi.multithread': true,
      'wsgi.multiprocess': false,
      'wsgi.run_once': true,
    })
  })

  it('is not changed by variables with the names of its own', async () => {
    const environ = await environOf({
      params: { 'wsgi.input': 'evil', 'runfcgi.signal': 'evil', __proto__: 'evil', constructor: 'evil' },
    })
    expect(environ['wsgi.input']).toBeInstanceOf(Readable)
    expect(environ['runfcgi.signal']).toBeInstanceOf(AbortSignal)
    expect(Object.getPrototypeOf(environ)).toBe(Object.prototype)
  })

  it('is the same for the hundredth request as for the first', async () => {
    const names = new Set<string>()
    let environ: WsgiEnviron | undefined
    const exchange = new MemoryExchange()
    const { params } = exchange
    for (let time = 0; time < 100; time++) {
      const again = new MemoryExchange()
      Object.assign(again, { params })
      again.run(
        wsgiApplication((given, start) => {
          environ = given
          start('200 OK', [])
          return []
        }, options),
      )
      names.add(Object.keys(environ as WsgiEnviron).join())
      expect(environ?.['runfcgi.signal']).toBeInstanceOf(AbortSignal)
    }
    expect(names.size).toBe(1)
  })

  it('writes to the web server’s error log', async () => {
    const reply = await request(
      wsgiApplication((environ, start) => {
        environ['wsgi.errors'].write('a warning\n')
        start('200 OK', [])
        return ['x']
      }, options),
    )
    expect(reply.stderr).toBe('a warning\n')
  })
})

describe('runfcgi.signal', () => {
  it('is one and the same for the request, in the environ, in a copy and in what inherits from it', async () => {
    const environ = await environOf()
    const inherited = Object.create(environ) as WsgiEnviron
    const signal = inherited['runfcgi.signal']
    const copy = { ...environ }
    expect(signal).toBeInstanceOf(AbortSignal)
    expect(environ['runfcgi.signal']).toBe(signal)
    expect(copy['runfcgi.signal']).toBe(signal)
    expect(Object.assign({}, environ)['runfcgi.signal']).toBe(signal)
    expect(Object.keys(environ)).toContain('runfcgi.signal')
  })

  it('differs from request to request', async () => {
    expect((await environOf())['runfcgi.signal']).not.toBe((await environOf())['runfcgi.signal'])
  })

  it('can be replaced by middleware, and deleted', async () => {
    const environ = await environOf()
    const other = new AbortController().signal
    environ['runfcgi.signal'] = other
    expect(environ['runfcgi.signal']).toBe(other)
    expect({ ...environ }['runfcgi.signal']).toBe(other)
    expect(delete (environ as Partial<WsgiEnviron>)['runfcgi.signal']).toBe(true)
    expect(Object.keys(environ)).not.toContain('runfcgi.signal')
  })
})

describe('middleware', () => {
  const inner: WsgiCallable = async function* (environ: WsgiEnviron, start: StartResponse) {
    start('200 OK', [['Content-Type', 'text/plain']])
    yield `${environ.SCRIPT_NAME}|${environ.PATH_INFO}|${environ['runfcgi.signal'].aborted}|`
    for await (const chunk of environ['wsgi.input']) yield chunk
  } as WsgiCallable

  it('hands on a copy of the environ and its own startResponse', async () => {
    const mounted: WsgiCallable = (environ, start) =>
      inner({ ...environ, SCRIPT_NAME: '/inner', PATH_INFO: '/x', 'example.key': 1 }, (status, headers, excInfo) =>
        start(status, [...headers, ['X-Seen', 'yes']], excInfo),
      )
    const reply = await request(wsgiApplication(mounted, options), { body: ['body'] })
    expect(reply.text).toBe('/inner|/x|false|body')
    expect(reply.block).toBe('Status: 200 OK\r\nContent-Type: text/plain\r\nX-Seen: yes\r\n\r\n')
  })

  it('wraps the body and closes it', async () => {
    let closed = 0
    const closing: WsgiCallable = (_environ, start) => {
      start('200 OK', [])
      return Object.assign(new Set(['a', 'b']), { close: () => closed++ })
    }
    const upper: WsgiCallable = (environ, start) => {
      const body = closing(environ, start) as Iterable<string> & { close(): void }
      return Object.assign(
        (function* () {
          for (const chunk of body) yield chunk.toUpperCase()
        })(),
        { close: () => body.close() },
      )
    }
    const reply = await request(wsgiApplication(upper, options))
    expect([reply.text, closed]).toEqual(['AB', 1])
  })

  it('replaces the reply of an application that fails before its first chunk', async () => {
    const failing: WsgiCallable = (_environ, start) => {
      start('200 OK', [])
      throw new Error('broken')
    }
    const caught: WsgiCallable = (environ, start): WsgiBody => {
      try {
        return failing(environ, start) as WsgiBody
      } catch (error) {
        start('500 Internal Server Error', [], error as Error)
        return ['our own page']
      }
    }
    const reply = await request(wsgiApplication(caught, options))
    expect([reply.status, reply.text, reply.failure]).toEqual([500, 'our own page', undefined])
  })
})
