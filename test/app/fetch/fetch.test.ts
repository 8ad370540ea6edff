import { describe, expect, test } from 'vitest'
import type { AbortReason } from '../../../src/app/exchange.ts'
import { type FetchContext, type FetchFunction, fetchApplication } from '../../../src/app/fetch/fetch.ts'
import { LightResponse } from '../../../src/app/fetch/light-response.ts'
import { toApplication } from '../../../src/app/load/load.ts'
import { options } from '../../support/adapter-options.ts'
import { MemoryExchange, paramsFor, request } from '../../support/exchange.ts'

const run = (fetch: FetchFunction, init = {}) => request(fetchApplication(fetch, options), init)
const light = (body?: string | null, init?: ResponseInit) => new LightResponse(body, init) as unknown as Response

/** A turn of the event loop. */
const turn = () => new Promise(resolve => setImmediate(resolve))

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn()
}

describe('the handler', () => {
  test('may be a method, called on its object', async () => {
    const site = {
      name: 'site',
      fetch(this: { name: string }) {
        return new Response(this.name)
      },
    }
    const { text } = await request(fetchApplication(site, options))
    expect(text).toBe('site')
  })

  test('gets the CGI variables and the error stream as its second argument', async () => {
    const reply = await run(
      (_request: Request, { env, errors }: FetchContext) => {
        errors.write('careful\n')
        return Response.json([
          env.REMOTE_USER,
          env.SCRIPT_NAME,
          env.PATH_INFO,
          Object.getPrototypeOf(env) === Object.prototype,
        ])
      },
      { params: { ...paramsFor('/x', 'GET', '/m'), REMOTE_USER: 'ann' } },
    )
    expect(JSON.parse(reply.text)).toEqual(['ann', '/m', '/x', true])
    expect(reply.stderr).toBe('careful\n')
  })

  test('gets the same environ each time it looks', async () => {
    const { text } = await run((_request: Request, context: FetchContext) => {
      context.env.MINE = 'kept'
      return new Response(context.env.MINE)
    })
    expect(text).toBe('kept')
  })

  test('that answers at once has answered before handle() returns', () => {
    const exchange = new MemoryExchange()
    fetchApplication(() => light('now'), options).handle(exchange)
    expect(exchange.ended).toBe(true)
  })

  test('may return a promise, or anything that has then()', async () => {
    const lazy = Object.fromEntries([['then', (resolve: (value: Response) => void) => resolve(light('then'))]])
    expect((await run(() => Promise.resolve(light('promised')))).text).toBe('promised')
    expect((await run(() => lazy as unknown as Promise<Response>)).text).toBe('then')
  })
})

test('a program that hands its handler over keeps its own globals', async () => {
  const before = [globalThis.Request, globalThis.Response, globalThis.fetch]
  const app = await toApplication({ fetch: () => new Response('mine') }, 'auto', options)
  expect([app.interface, (await request(app)).text]).toEqual(['fetch', 'mine'])
  expect([globalThis.Request, globalThis.Response, globalThis.fetch]).toEqual(before)
})

describe('an error of the handler', () => {
  const failures: Readonly<Record<string, FetchFunction>> = {
    'thrown at once': () => {
      throw new RangeError('no')
    },
    'thrown later': async () => {
      await turn()
      throw new RangeError('no')
    },
  }
  for (const [name, fetch] of Object.entries(failures)) {
    test(`${name} fails the exchange`, async () => {
      const { status, failure } = await run(fetch)
      expect(status).toBe(500)
      expect(failure).toMatchObject({ name: 'RangeError', message: 'no' })
    })
  }

  const useless: readonly (readonly [unknown, string])[] = [
    [undefined, 'nothing'],
    [null, 'a null'],
    ['text', 'a string'],
    [{ status: 200 }, 'an object of class Object'],
    [Promise.resolve(7), 'a number'],
    [[new Response()], 'an object of class Array'],
  ]
  test.each(useless)('a return value of %j is named', async (value, named) => {
    const { failure } = await run(() => value as Response)
    expect((failure as Error).message).toBe(`the fetch handler returned ${named} instead of a Response`)
  })

  test('a body that was used already fails the exchange', async () => {
    for (const make of [() => new Response('x'), () => light('x')]) {
      const { status, failure } = await run(async () => {
        const response = make()
        await response.text()
        return response
      })
      expect([status, (failure as Error).message]).toEqual([500, 'the body of the Response was used already'])
    }
  })

  test('a Response returned twice, where that is possible, is sent twice', async () => {
    const response = light('again')
    const app = fetchApplication(() => response, options)
    expect([(await request(app)).text, (await request(app)).text]).toEqual(['again', 'again'])
  })

  test('Response.error() cannot be sent', async () => {
    expect((await run(() => Response.error())).failure).toMatchObject({
      message: 'a Response with status 0 cannot be sent',
    })
  })

  test('a header that cannot be sent is a 500', async () => {
    for (const make of [
      () => new Response('x', { headers: { a: '\x01' } }),
      () => light('x', { headers: { a: '\x01' } }),
    ]) {
      const { status, failure } = await run(make)
      expect([status, (failure as { code: string }).code]).toEqual([500, 'invalid-value'])
    }
  })

  test('after the client has gone is of no consequence', async () => {
    let fail: (error: Error) => void = () => undefined
    const app = fetchApplication(
      () =>
        new Promise((_resolve, reject) => {
          fail = reject
        }),
      options,
    )
    const exchange = new MemoryExchange().run(app)
    exchange.abort()
    fail(new Error('late'))
    await turn()
    expect(exchange.failure).toBeUndefined()
  })
})

describe('a stream as the body', () => {
  type Controller = ReadableStreamDefaultController<unknown>

  test('goes out chunk by chunk, the head with the first one or alone', async () => {
    let controller: Controller | undefined
    const app = fetchApplication(
      () =>
        new Response(
          new ReadableStream({
            start: c => {
              controller = c
            },
          }),
        ),
      options,
    )
    const exchange = new MemoryExchange().run(app)
    await until(() => exchange.headSent)
    expect(String(exchange.writes.at(-1))).toMatch(/\r\n\r\n$/)
    controller?.enqueue(Buffer.from('one'))
    await until(() => exchange.writes.length === 2)
    controller?.enqueue(Buffer.from('two'))
    await until(() => exchange.writes.length === 3)
    controller?.close()
    const reply = await exchange.reply()
    expect([reply.text, reply.headers.has('content-length')]).toEqual(['onetwo', false])
  })

  test('that is ready at once goes out in one write, with its length', async () => {
    const stream = new ReadableStream({
      start(controller) {
        for (const chunk of ['one', 'two']) controller.enqueue(Buffer.from(chunk))
        controller.close()
      },
    })
    const exchange = new MemoryExchange().run(fetchApplication(() => new Response(stream), options))
    const reply = await exchange.reply()
    expect([exchange.writes.length, reply.headers.get('content-length'), reply.text]).toEqual([1, '6', 'onetwo'])
    expect(exchange.contentLength).toBe(6)
  })

  test('is announced with the length that the application declares', async () => {
    const stream = new ReadableStream({
      async pull(controller) {
        await turn()
        await turn()
        controller.enqueue(Buffer.from('12345'))
        controller.close()
      },
    })
    const app = fetchApplication(() => new Response(stream, { headers: { 'content-length': '5' } }), options)
    const exchange = new MemoryExchange().run(app)
    const reply = await exchange.reply()
    expect([exchange.contentLength, reply.headers.get('content-length'), reply.text]).toEqual([5, '5', '12345'])
  })

  test('is read no faster than the web server takes it', async () => {
    let pulled = 0
    const stream = new ReadableStream({
      pull(controller) {
        pulled += 1
        if (pulled > 100) controller.close()
        else controller.enqueue(Buffer.alloc(10_000))
      },
    })
    const app = fetchApplication(() => new Response(stream), options)
    const exchange = new MemoryExchange({ stalled: true, highWaterMark: 100_000 }).run(app)
    for (let i = 0; i < 50; i += 1) await turn()
    expect(pulled).toBeLessThan(20)
    exchange.unstall()
    expect((await exchange.reply()).body.length).toBe(1_000_000)
  })

  test('that fails before anything was sent is a 500', async () => {
    const stream = new ReadableStream({ start: controller => controller.error(new RangeError('broken')) })
    const { status, failure } = await run(() => new Response(stream))
    expect([status, (failure as Error).message]).toEqual([500, 'broken'])
  })

  test('that fails later is cut off', async () => {
    let controller: Controller | undefined
    const stream = new ReadableStream({
      start: c => {
        controller = c
      },
    })
    const exchange = new MemoryExchange().run(fetchApplication(() => new Response(stream), options))
    controller?.enqueue(Buffer.from('half'))
    await until(() => exchange.headSent)
    controller?.error(new RangeError('broken'))
    const reply = await exchange.reply()
    expect([reply.status, reply.text, exchange.ended]).toEqual([200, 'half', false])
    expect(reply.failure).toMatchObject({ message: 'broken' })
  })

  test('of something else than bytes fails and is cancelled', async () => {
    let cancelled = false
    const stream = new ReadableStream({
      start: controller => controller.enqueue('text'),
      cancel: () => {
        cancelled = true
      },
    })
    const { failure } = await run(() => new Response(stream))
    expect([(failure as Error).message, cancelled]).toEqual([
      'a Response body stream gave something else than bytes',
      true,
    ])
  })

  test.each(['HEAD', '304'])('is cancelled, not read, when there must be no body: %s', async how => {
    let reason: unknown
    const stream = new ReadableStream(
      {
        cancel: why => {
          reason = why ?? 'cancelled'
        },
      },
      { highWaterMark: 0 },
    )
    const response = how === 'HEAD' ? new Response(stream) : notModified(stream)
    const reply = await run(() => response, { params: paramsFor('/', how === 'HEAD' ? 'HEAD' : 'GET') })
    expect([reply.status, reply.text, reason]).toEqual([how === 'HEAD' ? 200 : 304, '', 'cancelled'])
  })

  test('is cancelled when the client goes away', async () => {
    const cancelled: unknown[] = []
    const stream = new ReadableStream({
      start: controller => controller.enqueue(Buffer.from('x')),
      cancel: reason => void cancelled.push(reason),
    })
    const exchange = new MemoryExchange().run(fetchApplication(() => new Response(stream), options))
    await until(() => exchange.headSent)
    exchange.abort()
    await until(() => cancelled.length > 0)
    expect(cancelled).toMatchObject([{ name: 'AbortError' }])
  })

  test('is cancelled when the client had gone before there was a Response', async () => {
    const cancelled: unknown[] = []
    let answer: (response: Response) => void = () => undefined
    const app = fetchApplication(
      () =>
        new Promise<Response>(resolve => {
          answer = resolve
        }),
      options,
    )
    const exchange = new MemoryExchange().run(app)
    exchange.abort()
    answer(new Response(new ReadableStream({ cancel: reason => void cancelled.push(reason) })))
    await until(() => cancelled.length > 0)
    expect(cancelled).toMatchObject([{ name: 'AbortError' }])
  })

  test('that fails to be cancelled bothers nobody', async () => {
    const stream = new ReadableStream({ cancel: () => Promise.reject(new Error('cancel failed')) })
    const exchange = new MemoryExchange().run(fetchApplication(() => new Response(stream), options))
    await until(() => exchange.headSent)
    exchange.abort()
    await turn()
    expect(exchange.failure).toBeUndefined()
  })
})

/** A Response of another implementation, which lets a 304 have a body. */
function notModified(body: ReadableStream): Response {
  return { status: 304, statusText: '', headers: new Headers(), body, bodyUsed: false } as unknown as Response
}

describe('request.signal', () => {
  const reasons: readonly (readonly [AbortReason, string])[] = [
    ['client-gone', 'AbortError'],
    ['timeout', 'TimeoutError'],
    ['shutdown', 'AbortError'],
  ]
  test.each(reasons)('is aborted when the request ends early: %s', async (reason, name) => {
    let signal: AbortSignal | undefined
    const app = fetchApplication(request => {
      signal = request.signal
      return new Promise<Response>(() => undefined)
    }, options)
    const exchange = new MemoryExchange().run(app)
    expect(signal?.aborted).toBe(false)
    exchange.abort(reason)
    expect(signal?.aborted).toBe(true)
    expect(signal?.reason).toMatchObject({ name })
  })

  test('is aborted already when it is first looked at afterwards', async () => {
    let late: Request | undefined
    const app = fetchApplication(request => {
      late = request
      return new Promise<Response>(() => undefined)
    }, options)
    new MemoryExchange().run(app).abort()
    expect(late?.signal.aborted).toBe(true)
  })

  test('is not aborted when the reply was complete', async () => {
    let signal: AbortSignal | undefined
    const exchange = new MemoryExchange()
    const app = fetchApplication(request => {
      signal = request.signal
      return new Response('x')
    }, options)
    await exchange.run(app).reply()
    exchange.abort()
    expect(signal?.aborted).toBe(false)
  })
})
