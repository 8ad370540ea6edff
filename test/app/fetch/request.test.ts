import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text as streamText } from 'node:stream/consumers'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { fetchApplication } from '../../../src/app/fetch/fetch.ts'
import { installLightGlobals } from '../../../src/app/fetch/light-globals.ts'
import { LightRequest, NativeRequest } from '../../../src/app/fetch/light-request.ts'
import { requestUrl } from '../../../src/app/fetch/request-line.ts'
import { options } from '../../support/adapter-options.ts'
import { type ExchangeInit, MemoryExchange, paramsFor, request } from '../../support/exchange.ts'

type Probe = (request: Request) => unknown

let restore = (): void => undefined
afterEach(() => restore())

/** What a handler finds out about its request, with light requests or with genuine ones. */
async function probe(light: boolean, init: ExchangeInit, ask: Probe): Promise<unknown> {
  if (light) restore = installLightGlobals()
  let found: unknown
  let isLight = false
  const app = fetchApplication(async request => {
    isLight = LightRequest.isLight(request)
    found = await ask(request)
    return new Response()
  }, options)
  const { failure } = await request(app, init)
  restore()
  expect(isLight).toBe(light)
  if (failure !== undefined) return `${(failure as Error).name}`
  return found
}

const headers = {
  HTTP_ACCEPT: 'text/html',
  HTTP_COOKIE: 'a=1; b=2',
  HTTP_X_EMPTY: '',
  HTTP_X_LATIN: 'Z\xfcrich',
  CONTENT_TYPE: 'application/json',
}
const params = { ...paramsFor('/a%20b/%C3%BC?q=1&r=%26', 'POST'), ...headers, CONTENT_LENGTH: '7' }
const post: ExchangeInit = { params, body: ['{"a"', ':1}'] }
const get: ExchangeInit = { params: { ...paramsFor('/x?y', 'GET'), ...headers, CONTENT_TYPE: '' } }
const emptyPost: ExchangeInit = { params: { ...params, CONTENT_LENGTH: '0' } }
const getWithBody: ExchangeInit = { params: paramsFor('/', 'GET'), body: ['ignored'] }
const form: ExchangeInit = {
  params: { ...params, CONTENT_TYPE: 'application/x-www-form-urlencoded' },
  body: ['a=1&b=%C3', '%BC&a=2'],
}
const multipart: ExchangeInit = {
  params: { ...params, CONTENT_TYPE: 'multipart/form-data; boundary=xx' },
  body: [
    '--xx\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n',
    '--xx\r\nContent-Disposition: form-data; name="f"; filename="f.txt"\r\nContent-Type: text/plain\r\n\r\nfile\r\n--xx--\r\n',
  ],
}
const bom: ExchangeInit = { params, body: [Buffer.from([0xef, 0xbb, 0xbf, 0x7b, 0x7d, 0xff])] }

const requests: Readonly<Record<string, ExchangeInit>> = {
  'a POST': post,
  'a GET': get,
  'a POST without a body': emptyPost,
  'a GET with a body': getWithBody,
  'a form': form,
  'a multipart form': multipart,
  'a body with a byte order mark and a byte that is not UTF-8': bom,
}

const formEntries = async (data: FormData): Promise<unknown> =>
  Promise.all(
    [...data].map(async ([name, value]) => [
      name,
      typeof value === 'string' ? value : [value.name, await value.text()],
    ]),
  )

const probes: Readonly<Record<string, Probe>> = {
  'method and url': r => [r.method, r.url],
  'all headers': r => [...r.headers],
  'headers, each way': r => {
    const seen: unknown[] = [...r.headers.keys(), ...r.headers.values(), ...r.headers.entries()]
    r.headers.forEach((value, name) => void seen.push(name, value))
    return seen
  },
  'one header': r =>
    ['accept', 'ACCEPT', 'cookie', 'x-empty', 'x-latin', 'none', 'x_empty', '__proto__'].map(n => r.headers.get(n)),
  'whether there is a header': r => ['accept', 'None', 'X-Empty', 'constructor'].map(name => r.headers.has(name)),
  'an invalid header name': r => r.headers.get('a b'),
  'headers that are changed': r => {
    r.headers.append('accept', 'image/png')
    r.headers.set('x-new', '1')
    r.headers.delete('cookie')
    return [[...r.headers], r.headers.get('accept'), r.headers.has('cookie'), r.headers.getSetCookie()]
  },
  'a copy of the headers': r => [...new Headers(r.headers)],
  'classes and tags': r => [
    r instanceof Request,
    r instanceof NativeRequest,
    r.headers instanceof Headers,
    r.signal instanceof AbortSignal,
    Object.prototype.toString.call(r),
    Object.prototype.toString.call(r.headers),
    r.constructor.name,
    r.headers.constructor.name,
  ],
  'what is seldom asked': r => [
    r.cache,
    r.credentials,
    r.destination,
    r.integrity,
    r.keepalive,
    r.mode,
    r.redirect,
    r.referrer,
    r.referrerPolicy,
  ],
  text: r => r.text(),
  json: r => r.json(),
  arrayBuffer: async r => {
    const buffer = await r.arrayBuffer()
    return [buffer instanceof ArrayBuffer, Buffer.from(buffer)]
  },
  blob: async r => {
    const blob = await r.blob()
    return [blob.type, await blob.text()]
  },
  formData: async r => formEntries((await r.formData()) as FormData),
  'body is null': r => r.body === null,
  'body as a stream': async r => (r.body === null ? null : streamText(r.body)),
  'body twice the same': r => {
    const { body } = r
    return r.body === body
  },
  'bodyUsed, before and after': async r => {
    const before = r.bodyUsed
    await r.text()
    return [before, r.bodyUsed]
  },
  'bodyUsed while it is read': async r => {
    const text = r.text()
    const { bodyUsed } = r
    await text
    return bodyUsed
  },
  'text twice': async r => [await r.text(), await r.text()],
  'text, then json': async r => [await r.text(), await r.json()],
  'text after the stream was taken': async r => {
    r.body?.getReader()
    return r.text()
  },
  'text after body was looked at': async r => [r.body === null, await r.text()],
  'json after body was looked at': async r => [r.body === null, await r.json()],
  'formData after body was looked at': async r => [
    r.body === null,
    await formEntries((await r.formData()) as FormData),
  ],
  'a clone and the original': async r => {
    const clone = r.clone()
    return [clone.url, clone.method, [...clone.headers], await clone.text(), await r.text()]
  },
  'a clone after the body was read': async r => {
    await r.text()
    return r.clone().url
  },
  'body after it was read': async r => {
    await r.text()
    return [r.body?.locked, r.body === null]
  },
  'a new Request of it': async r => {
    const copy = new Request(r)
    return [copy.url, copy.method, [...copy.headers], await copy.text(), r.bodyUsed]
  },
  'a new Request of it with other headers': async r => {
    const copy = new Request(r, { headers: { a: 'b' } })
    return [[...copy.headers], await copy.text()]
  },
  'a new Request with its head': r => {
    const { url, method } = new Request(r.url, { method: r.method, headers: r.headers })
    return [url, method]
  },
  'a new Request after the body was read': async r => {
    await r.text()
    return new Request(r).url
  },
  'a new Request of a changed one': r => {
    r.headers.set('a', 'b')
    return [...new Request(r).headers]
  },
}

for (const [name, ask] of Object.entries(probes)) {
  test(`a light request answers as a genuine one: ${name}`, async () => {
    for (const [what, init] of Object.entries(requests)) {
      expect([what, await probe(true, init, ask)]).toEqual([what, await probe(false, init, ask)])
    }
  })
}

describe('a light request', () => {
  test('has the bytes of its body', async () => {
    const read = async (r: Request) => (r as unknown as { bytes(): Promise<Uint8Array> }).bytes()
    expect(await probe(true, bom, read)).toEqual(new Uint8Array([0xef, 0xbb, 0xbf, 0x7b, 0x7d, 0xff]))
  })

  test('can be fetched', async () => {
    const upstream = createServer(async (req, res) => res.end(`${req.method} ${req.url} ${await streamText(req)}`))
    await new Promise<void>(resolve => upstream.listen(0, '127.0.0.1', resolve))
    const { port } = upstream.address() as AddressInfo
    const init: ExchangeInit = {
      params: { ...paramsFor('/x', 'POST'), HTTP_HOST: `127.0.0.1:${port}` },
      body: ['body'],
    }
    try {
      expect(await probe(true, init, async r => (await fetch(r)).text())).toBe('POST /x body')
    } finally {
      await new Promise(resolve => upstream.close(resolve))
    }
  })

  test('is a Request in the log', async () => {
    const { inspect } = await import('node:util')
    expect(await probe(true, get, r => inspect(r))).toContain("method: 'GET'")
  })

  test('costs no AbortController unless its signal is asked for', async () => {
    const native = globalThis.AbortController
    let made = 0
    globalThis.AbortController = class extends native {
      constructor() {
        super()
        made += 1
      }
    }
    try {
      await probe(true, post, r => r.json())
      expect(made).toBe(0)
      await probe(true, post, r => r.signal)
      expect(made).toBe(1)
    } finally {
      globalThis.AbortController = native
    }
  })
})

describe('the url of a request', () => {
  const urlOf = async (changes: Record<string, string>) => {
    let url: string | undefined
    const app = fetchApplication(request => {
      url = request.url
      return new Response()
    }, options)
    const { status } = await request(app, { params: { ...paramsFor('/p'), ...changes } })
    return status === 200 ? url : status
  }
  const ofTarget = (target: string) => urlOf({ ...paramsFor(target), REQUEST_URI: target })

  test('is absolute, with the scheme and host that the client asked for', async () => {
    expect(await urlOf({})).toBe('http://localhost/p')
    expect(await urlOf({ HTTPS: 'on', HTTP_HOST: 'example.com' })).toBe('https://example.com/p')
    expect(await urlOf({ HTTP_HOST: 'Example.COM:8080' })).toBe('http://example.com:8080/p')
    expect(await urlOf({ HTTP_HOST: 'example.com:80' })).toBe('http://example.com/p')
    expect(await urlOf({ HTTP_HOST: '[::1]:8080' })).toBe('http://[::1]:8080/p')
    expect(await urlOf({ HTTP_HOST: '', SERVER_NAME: 'named', SERVER_PORT: '81' })).toBe('http://named:81/p')
  })

  test('is below the mount point', async () => {
    expect(await urlOf(paramsFor('/p?q', 'GET', '/mount'))).toBe('http://localhost/p?q')
  })

  test.each([
    '/a/b.c?d=e&f=g',
    '/',
    '//double//slash',
    '/%2e%2E/secret',
    '/a/../b/./c',
    '/a/.hidden/..x',
    '/%E4%B8%AD?x=%zz',
    "/quote's?it's",
    '/pipe|caret^?{}',
    '/@user:pass',
    '/a?b?c#d',
  ])('%s is what URL makes of it', async target => {
    expect(await ofTarget(target)).toBe(new URL(`http://localhost${target}`).href)
  })

  test('a backslash is no slash, so that it cannot lead to another path than the web server saw', async () => {
    expect(await ofTarget('/public\\..\\admin')).toBe('http://localhost/public%5C..%5Cadmin')
  })

  test.each([
    'exa mple.com',
    'a/b',
    'a?b',
    'a#b',
    'user@host',
    'host:99999',
    'host:x',
    '[::1',
    '<script>',
    'a\\b',
    '%zz',
  ])('is refused with 400 for the host %j', async host => {
    expect(await urlOf({ HTTP_HOST: host })).toBe(400)
  })
})

test('whatever host and target are, the url of a request is what URL makes of them, or there is none', () => {
  const host = fc.oneof(
    fc.domain(),
    fc.ipV4(),
    fc.ipV6().map(ip => `[${ip}]`),
    fc.string(),
    fc.constantFrom('1.2', 'a:', 'a:80', 'A:0', '0x7f.1'),
  )
  const target = fc.string().map(text => `/${text.replaceAll('\\', '')}`)
  fc.assert(
    fc.property(fc.boolean(), host, fc.oneof(fc.webPath(), target), (secure, name, path) => {
      const text = `${secure ? 'https' : 'http'}://${name}${path.startsWith('/') ? path : `/${path}`}`
      const url = requestUrl(secure, name, path.startsWith('/') ? path : `/${path}`)
      const origin = URL.canParse(`http://${name}`) ? new URL(`http://${name}`) : undefined
      const isHost = origin !== undefined && !/[\s/?#@\\]/.test(name) && name !== ''
      expect(url).toBe(isHost ? new URL(text).href : undefined)
    }),
    { numRuns: 2_000 },
  )
})

describe('the method of a request', () => {
  const methodOf = async (method: string) => {
    let seen: string | undefined
    const app = fetchApplication(request => {
      seen = request.method
      return new Response()
    }, options)
    const { status } = await request(app, { params: paramsFor('/', method) })
    return status === 200 ? seen : status
  }

  test.each(['GET', 'get', 'Post', 'PATCH', 'patch', 'PROPFIND', 'M-SEARCH', 'query'])(
    '%s is as Request has it',
    async method => {
      expect(await methodOf(method)).toBe(new NativeRequest('http://x', { method }).method)
    },
  )

  test.each(['CONNECT', 'TRACE', 'track', 'a b', 'ž'])('%s, which no Request can have, is 501', async method => {
    expect(() => new NativeRequest('http://x', { method })).toThrow()
    expect(await methodOf(method)).toBe(501)
  })
})

describe('the body of a request', () => {
  const echo = fetchApplication(request => new Response(request.body as never), options)

  for (const light of [true, false]) {
    const label = light ? 'light' : 'genuine'

    test(`is asked for only when it is read (${label})`, async () => {
      if (light) restore = installLightGlobals()
      const exchange = new MemoryExchange({ params: paramsFor('/', 'POST'), body: ['x'] })
      const app = fetchApplication(() => new Response('done'), options)
      await exchange.run(app).reply()
      expect(exchange.reading).toBe(false)
      expect(exchange.taken).toBe(0)
    })

    test(`goes through piece by piece, as fast as the reply is read (${label})`, async () => {
      if (light) restore = installLightGlobals()
      const pieces = Array.from({ length: 200 }, (_, i) => Buffer.alloc(4096, i))
      const exchange = new MemoryExchange({ params: paramsFor('/', 'POST'), body: pieces, stalled: true }).run(echo)
      await settled(exchange)
      expect(exchange.taken).toBeGreaterThan(0)
      expect(exchange.taken).toBeLessThan(65_536 * 3)
      exchange.unstall()
      const { body } = await exchange.reply()
      expect(body.equals(Buffer.concat(pieces))).toBe(true)
    })

    test(`that is cut off rejects with an AbortError (${label})`, async () => {
      if (light) restore = installLightGlobals()
      for (const read of [(r: Request) => r.text(), (r: Request) => streamText(r.body as never)]) {
        let reason: unknown
        const seen = deferred<void>()
        const app = fetchApplication(async request => {
          await read(request).catch((error: unknown) => {
            reason = error
          })
          seen.resolve()
          return new Response()
        }, options)
        const exchange = new MemoryExchange({ params: paramsFor('/', 'POST'), body: 'open' }).run(app)
        exchange.send('half')
        await settled(exchange)
        exchange.abort()
        await seen.promise
        expect(reason).toMatchObject({ name: 'AbortError' })
      }
    })

    test(`asked for after the client has gone rejects too (${label})`, async () => {
      if (light) restore = installLightGlobals()
      const gone = deferred<void>()
      const seen = deferred<unknown>()
      const app = fetchApplication(async request => {
        await gone.promise
        await request.text().catch(seen.resolve)
        return new Response()
      }, options)
      const exchange = new MemoryExchange({ params: paramsFor('/', 'POST'), body: 'open' }).run(app)
      exchange.abort()
      gone.resolve()
      expect(await seen.promise).toMatchObject({ name: 'AbortError' })
    })
  }

  test('that is cancelled is not asked for any more', async () => {
    const app = fetchApplication(async request => {
      const reader = request.body?.getReader()
      await reader?.read()
      await reader?.cancel()
      return new Response('enough')
    }, options)
    const exchange = new MemoryExchange({ params: paramsFor('/', 'POST'), body: ['one', 'two', 'three'] }).run(app)
    expect((await exchange.reply()).text).toBe('enough')
    expect(exchange.taken).toBe(3)
  })
})

interface Deferred<T> {
  readonly promise: Promise<T>
  readonly resolve: (value: T) => void
}

function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => undefined
  const promise = new Promise<T>(settle => {
    resolve = settle
  })
  return { promise, resolve }
}

/** Until nothing has happened for a whole turn of the event loop, several times over. */
async function settled(exchange: MemoryExchange): Promise<void> {
  let before = -1
  for (let quiet = 0; quiet < 10; quiet += 1) {
    const now = exchange.taken + exchange.writes.length
    if (now !== before) quiet = 0
    before = now
    await new Promise(resolve => setImmediate(resolve))
  }
}
