import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import type { AbortReason, AdapterOptions } from '../../../src/app/exchange.ts'
import { type WsgiBody, type WsgiCallable, type WsgiEnviron, wsgiApplication } from '../../../src/app/wsgi/wsgi.ts'
import { type ExchangeInit, MemoryExchange } from '../../support/exchange.ts'
import { until } from '../../support/until.ts'
import { forever, Told, ToldLater } from './told.ts'

const options: AdapterOptions = { concurrency: { multithread: false, multiprocess: true, runOnce: false } }

const open = (callable: WsgiCallable, init?: ExchangeInit) =>
  new MemoryExchange(init).run(wsgiApplication(callable, options))

const answering =
  (body: () => unknown): WsgiCallable =>
  (_environ, start) => {
    start('200 OK', [])
    return body() as WsgiBody
  }

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate)
}

const KILOBYTE = 'x'.repeat(1024)
const bodies = [
  ['an iterable', Told],
  ['an asynchronous iterable', ToldLater],
] as const

describe.each(bodies)('%s', (_, Body) => {
  it('is closed once when it has come to its end', async () => {
    const body = new Body(['a', 'b'])
    const reply = await open(answering(() => body)).reply()
    expect([reply.text, body.closed, body.returned]).toEqual(['ab', 1, 0])
  })

  it('is closed once when it fails, before the first chunk and after it', async () => {
    for (const chunks of [[], ['a']]) {
      const error = new Error('broken')
      const body = new Body(chunks, error)
      const reply = await open(answering(() => body)).reply()
      expect([reply.failure, reply.text, body.closed]).toEqual([error, chunks.join(''), 1])
    }
  })

  it('is closed once when startResponse was not called', async () => {
    const body = new Body(['a', 'b'])
    const reply = await open(() => body).reply()
    expect(reply.failure).toBeInstanceOf(Error)
    expect([body.closed, body.returned]).toEqual([1, 1])
  })

  it('is asked for no more than the client takes, and for the rest when it does', async () => {
    const body = new Body(Array.from({ length: 100 }, () => KILOBYTE))
    const exchange = open(
      answering(() => body),
      { stalled: true, highWaterMark: 4096 },
    )
    await turns(20)
    expect(body.asked).toBe(4)
    exchange.unstall()
    const reply = await exchange.reply()
    expect([reply.body.length, body.asked, body.closed]).toEqual([100 * 1024, 101, 1])
  })

  it('stops when it is aborted while it waits for the client', async () => {
    const body = new Body(forever(KILOBYTE))
    const exchange = open(
      answering(() => body),
      { stalled: true, highWaterMark: 4096 },
    )
    await turns(20)
    exchange.abort()
    await turns(5)
    expect([body.asked, body.returned, body.closed]).toEqual([4, 1, 1])
    exchange.unstall()
    await turns(5)
    expect([body.asked, body.closed]).toEqual([4, 1])
    expect(exchange.failure).toBe(undefined)
  })

  it('waits for the client after a long write()', async () => {
    const body = new Body(['a', 'b'])
    const exchange = open(
      (_environ, start) => {
        start('200 OK', [])(KILOBYTE)
        return body
      },
      { stalled: true, highWaterMark: 100 },
    )
    await turns(10)
    expect(body.asked).toBe(0)
    exchange.unstall()
    expect((await exchange.reply()).text).toBe(`${KILOBYTE}ab`)
  })

  it('is closed when it is promised and the client has gone before', async () => {
    const body = new Body(['a'])
    let settle: (body: WsgiBody) => void = () => {}
    const exchange = open((_environ, start) => {
      start('200 OK', [])
      return new Promise(resolve => {
        settle = resolve
      })
    })
    exchange.abort()
    settle(body)
    await turns(5)
    expect([body.asked, body.closed]).toEqual([0, 1])
  })
})

describe('close()', () => {
  it('is called after the only chunk of an array was sent and before the reply ends', async () => {
    const seen: unknown[] = []
    const body = Object.assign(['only'], { close: () => seen.push(exchange.writes.map(String), exchange.ended) })
    const exchange = new MemoryExchange()
    exchange.run(
      wsgiApplication(
        answering(() => body),
        options,
      ),
    )
    const reply = await exchange.reply()
    expect(seen).toEqual([['Status: 200 OK\r\nContent-Length: 4\r\n\r\nonly'], false])
    expect([reply.text, exchange.ended]).toEqual(['only', true])
  })

  it('is called on an array of strings and on an empty one', async () => {
    for (const chunks of [['a', 'b'], []]) {
      let closed = 0
      const body = Object.assign([...chunks], { close: () => closed++ })
      const reply = await open(answering(() => body)).reply()
      expect([reply.text, closed, reply.headers.get('content-length')]).toEqual([
        chunks.join(''),
        1,
        String(chunks.length),
      ])
    }
  })

  it('that fails is told to the web server and does not harm the reply', async () => {
    const close = () => {
      throw new Error('cannot close')
    }
    const reply = await open(answering(() => Object.assign(new Set(['a', 'b']), { close }))).reply()
    expect([reply.text, reply.failure]).toEqual(['ab', undefined])
    expect(reply.stderr).toMatch(/Error: cannot close/)
  })

  it('that fails after the reply has ended is told to the exchange', async () => {
    const failures: unknown[] = []
    const exchange = new MemoryExchange()
    exchange.fail = error => failures.push(error)
    const close = async () => {
      throw new Error('cannot close')
    }
    const body = Object.assign(new Set(['a', 'b']), { close })
    const reply = await exchange
      .run(
        wsgiApplication(
          answering(() => body),
          options,
        ),
      )
      .reply()
    await until('the complaint', () => failures.length > 0)
    expect([reply.text, String(failures[0])]).toEqual(['ab', 'Error: cannot close'])
  })

  it('that fails does not hide why it was called', async () => {
    const error = new Error('broken')
    const body = Object.assign(new Told([], error), {
      close: () => {
        throw new Error('cannot close')
      },
    })
    const reply = await open(answering(() => body)).reply()
    expect(reply.failure).toBe(error)
    expect(reply.stderr).toMatch(/Error: cannot close/)
  })

  it('is called before the failure is told', async () => {
    const body = new Told([], new Error('broken'))
    const closed: number[] = []
    const exchange = new MemoryExchange()
    const fail = exchange.fail.bind(exchange)
    exchange.fail = error => {
      closed.push(body.closed)
      fail(error)
    }
    await exchange
      .run(
        wsgiApplication(
          answering(() => body),
          options,
        ),
      )
      .reply()
    expect(closed).toEqual([1])
  })
})

describe('an abort', () => {
  it.each<[AbortReason, string]>([
    ['client-gone', 'AbortError'],
    ['timeout', 'TimeoutError'],
    ['shutdown', 'AbortError'],
  ])('(%s) fires the signal, then ends a waiting generator through its finally', async (reason, name) => {
    const steps: string[] = []
    const exchange = open(
      async function* (environ: WsgiEnviron, start) {
        const signal = environ['runfcgi.signal']
        signal.addEventListener('abort', () => steps.push(`signal ${(signal.reason as Error).name}`))
        start('200 OK', [])
        try {
          for (;;) yield KILOBYTE
        } finally {
          steps.push('finally')
        }
      } as WsgiCallable,
      { stalled: true, highWaterMark: 1 },
    )
    await turns(5)
    exchange.abort(reason)
    await turns(5)
    expect(steps).toEqual([`signal ${name}`, 'finally'])
  })

  it('ends a synchronous generator through its finally', async () => {
    const steps: string[] = []
    const exchange = open(
      answering(function* () {
        try {
          for (;;) yield KILOBYTE
        } finally {
          steps.push('finally')
        }
      }),
      { stalled: true, highWaterMark: 1 },
    )
    exchange.abort()
    expect(steps).toEqual(['finally'])
  })

  it('from within a synchronous generator ends it too', async () => {
    const steps: string[] = []
    const exchange = open(
      answering(function* () {
        yield 'a'
        yield KILOBYTE
        try {
          exchange.abort()
          yield 'b'
          steps.push('went on')
        } finally {
          steps.push('finally')
        }
      }),
      { stalled: true, highWaterMark: 1 },
    )
    exchange.unstall()
    await turns(2)
    exchange.unstall()
    await turns(2)
    expect(steps).toEqual(['finally'])
    expect(exchange.failure).toBe(undefined)
  })

  it('reaches an application that waits for something else, and its error then tells nobody anything', async () => {
    const errors: unknown[] = []
    const exchange = open(async environ => {
      const signal = environ['runfcgi.signal']
      await new Promise<void>((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason))
      }).catch(error => {
        errors.push(error)
        throw error
      })
      return []
    })
    await turns(2)
    exchange.abort()
    await until('the error of the application', () => errors.length > 0)
    await turns(2)
    expect(exchange.failure).toBe(undefined)
  })

  it('can still be seen when the signal is asked for later', () => {
    let environ: WsgiEnviron | undefined
    const exchange = open(given => {
      environ = given
      return new Promise(() => {})
    })
    exchange.abort('timeout')
    expect(environ?.['runfcgi.signal'].aborted).toBe(true)
    expect(environ?.['runfcgi.signal'].reason).toMatchObject({ name: 'TimeoutError' })
  })

  it('cuts off the request body', async () => {
    let failure: unknown
    const exchange = open(
      async environ => {
        try {
          for await (const _ of environ['wsgi.input']);
        } catch (error) {
          failure = error
        }
        return []
      },
      { body: 'open' },
    )
    exchange.send('begun')
    await turns(5)
    exchange.abort()
    await until('the error of the body', () => failure !== undefined)
    expect(failure).toMatchObject({ code: 'ECONNRESET' })
  })

  it('closes a file that is being sent, and one that was never begun', async () => {
    const file = fileURLToPath(import.meta.url)
    const [begun, unbegun] = [createReadStream(file, { highWaterMark: 64 }), createReadStream(file)]
    const one = open(
      answering(() => begun),
      { stalled: true, highWaterMark: 1 },
    )
    await until('the first chunk', () => one.writes.length > 0)
    one.abort()
    const other = open(
      answering(() => new Promise(resolve => setImmediate(resolve, unbegun))),
      {},
    )
    other.abort()
    await until('both closed', () => begun.closed && unbegun.closed)
  })

  it('destroys a Readable that was promised and came too late', async () => {
    const readable = Readable.from(['a'])
    const exchange = open(answering(() => new Promise(resolve => setImmediate(resolve, readable))))
    exchange.abort()
    await until('it is destroyed', () => readable.destroyed)
  })

  it('destroys a Readable in the middle', async () => {
    const readable = Readable.from(forever(KILOBYTE))
    const exchange = open(
      answering(() => readable),
      { stalled: true, highWaterMark: 1 },
    )
    await until('the first chunk', () => exchange.writes.length > 0)
    exchange.abort()
    await until('it is destroyed', () => readable.destroyed)
    expect(exchange.failure).toBe(undefined)
  })
})

describe('an error of the application', () => {
  it('thrown, rejected or in the iterable reaches the exchange', async () => {
    const error = new Error('broken')
    const applications: WsgiCallable[] = [
      () => {
        throw error
      },
      async () => {
        throw error
      },
      answering(() => Promise.reject(error)),
      answering(() => new Told(['a'], error)),
      answering(() => new ToldLater(['a'], error)),
      answering(() => ({
        [Symbol.iterator]: () => {
          throw error
        },
      })),
      answering(() => ({
        [Symbol.asyncIterator]: () => {
          throw error
        },
      })),
    ]
    for (const application of applications) expect((await open(application).reply()).failure).toBe(error)
  })

  it('may be anything', async () => {
    const reply = await open(() => Promise.reject('a string')).reply()
    expect(reply.failure).toBe('a string')
  })
})

describe('the request body', () => {
  it('is read from wsgi.input while the reply is written', async () => {
    const echo: WsgiCallable = async function* (environ: WsgiEnviron, start) {
      start('200 OK', [])
      for await (const chunk of environ['wsgi.input']) yield chunk
    } as WsgiCallable
    const exchange = open(echo, { body: 'open' })
    exchange.send('one ')
    await until('the first chunk back', () => exchange.writes.length === 1)
    exchange.send('two')
    exchange.sendEnd()
    expect((await exchange.reply()).text).toBe('one two')
  })

  it('is not asked for unless it is read', async () => {
    const exchange = open(
      answering(() => 'ok'),
      { body: ['unread'] },
    )
    await exchange.reply()
    await turns(3)
    expect([exchange.reading, exchange.taken]).toEqual([false, 0])
  })
})
