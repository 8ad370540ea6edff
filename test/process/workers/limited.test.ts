import { describe, expect, it } from 'vitest'
import type { Application, Exchange, RequestHandler } from '../../../src/app/exchange.ts'
import { type Limit, LimitedApplication } from '../../../src/process/workers/limited.ts'
import { MemoryExchange } from '../../support/exchange.ts'
import { serving } from '../../support/responder.ts'
import { soon, until } from '../../support/until.ts'
import { begin, params, request, stdin, stdinEnd } from '../../support/wire.ts'

const HEAD = 'Status: 200 OK\r\n\r\n'

/** Starts requests and leaves it to the test to answer them. */
class Held implements Application {
  readonly interface = 'wsgi'
  readonly begun: Exchange[] = []
  /** When (`performance.now()`). */
  readonly begunAt: number[] = []
  readonly told: string[] = []

  handle(exchange: Exchange): RequestHandler {
    this.begun.push(exchange)
    this.begunAt.push(performance.now())
    return {
      onStdin: chunk => this.told.push(`stdin ${chunk}`) > 0,
      onStdinEnd: () => void this.told.push('end of stdin'),
      onDrain: () => void this.told.push('drain'),
      onAbort: reason => void this.told.push(`abort ${reason}`),
    }
  }

  answer(nth: number): void {
    this.begun[nth]?.head(200, HEAD, -1)
    this.begun[nth]?.end(`reply ${nth}`)
  }
}

const limit = { concurrency: 1, queue: 10, queueTimeout: 0, requestTimeout: 0 }

const warnings: object[] = []

const log = { debug() {}, info() {}, warn: (details: object) => void warnings.push(details), error() {} }

const limited = (app: Application, limits: Limit): Application => new LimitedApplication(app, limits, log)

describe('a limit on requests that run at once', () => {
  it('lets the others wait, and begins them in the order in which they came', async () => {
    const app = new Held()
    const front = limited(app, { ...limit, concurrency: 2 })
    const exchanges = Array.from({ length: 4 }, () => new MemoryExchange().run(front))
    expect(app.begun).toHaveLength(2)
    app.answer(1)
    expect(app.begun).toHaveLength(3)
    app.answer(2)
    app.answer(0)
    app.answer(3)
    const texts = await Promise.all(exchanges.map(async one => (await one.reply()).text))
    expect(texts).toEqual(['reply 0', 'reply 1', 'reply 2', 'reply 3'])
  })

  it('goes on after a request that failed, was refused, or whose handler threw', async () => {
    const app = new Held()
    const throwing: Application = {
      interface: 'wsgi',
      handle: exchange => {
        if (exchange.params.values.includes('/throw')) throw new Error('at once')
        return app.handle(exchange)
      },
    }
    const front = limited(throwing, limit)
    const failed = new MemoryExchange().run(front)
    const refused = new MemoryExchange().run(front)
    const threw = new MemoryExchange({ params: { PATH_INFO: '/throw' } }).run(front)
    const last = new MemoryExchange().run(front)
    app.begun[0]?.fail(new Error('later'))
    app.begun[1]?.refuse(504)
    app.answer(2)
    expect((await failed.reply()).failure).toBeInstanceOf(Error)
    expect((await refused.reply()).status).toBe(504)
    expect((await threw.reply()).failure).toBeInstanceOf(Error)
    expect((await last.reply()).text).toBe('reply 2')
  })

  it('answers 503 to what finds the queue full', async () => {
    const app = new Held()
    const front = limited(app, { ...limit, queue: 1 })
    const [first, second, third] = [0, 1, 2].map(() => new MemoryExchange().run(front))
    expect((await third?.reply())?.status).toBe(503)
    app.answer(0)
    app.answer(1)
    expect((await first?.reply())?.text).toBe('reply 0')
    expect((await second?.reply())?.text).toBe('reply 1')
  })

  it('answers 503 to what has waited too long, and never begins it', async () => {
    const app = new Held()
    const front = limited(app, { ...limit, queueTimeout: 20 })
    const first = new MemoryExchange().run(front)
    const second = new MemoryExchange().run(front)
    expect((await soon('503', second.reply())).status).toBe(503)
    app.answer(0)
    expect((await first.reply()).text).toBe('reply 0')
    expect(app.begun).toHaveLength(1)
  })

  it('forgets a request whose client left while it waited', async () => {
    const app = new Held()
    const front = limited(app, { ...limit, queue: 1 })
    new MemoryExchange().run(front)
    const gone = new MemoryExchange().run(front)
    gone.abort()
    const next = new MemoryExchange().run(front)
    app.answer(0)
    app.answer(1)
    expect((await next.reply()).text).toBe('reply 1')
    expect(app.told).toEqual([])
  })

  it('makes room when a running request is aborted', async () => {
    const app = new Held()
    const front = limited(app, limit)
    const gone = new MemoryExchange().run(front)
    const next = new MemoryExchange().run(front)
    gone.abort('timeout')
    app.begun[0]?.end('dropped')
    app.answer(1)
    expect((await next.reply()).text).toBe('reply 1')
    expect(app.told).toEqual(['abort timeout'])
  })

  it('answers 504 to what runs too long, tells the application, and counts from when it began', async () => {
    const app = new Held()
    const front = limited(app, { ...limit, requestTimeout: 50 })
    const first = new MemoryExchange({ params: { REQUEST_URI: '/first' } }).run(front)
    const second = new MemoryExchange().run(front)
    expect((await soon('504', first.reply())).status).toBe(504)
    expect(app.told).toEqual(['abort timeout'])
    expect(app.begun[0]?.aborted).toBe(true)
    expect(warnings.at(-1)).toMatchObject({ method: 'GET', uri: '/first', reason: 'timeout' })
    expect(app.begun).toHaveLength(2)
    expect((await soon('504', second.reply())).status).toBe(504)
    expect(performance.now() - (app.begunAt[1] as number)).toBeGreaterThanOrEqual(50)
    await front.close?.()
  })

  it('says nothing of what an application does with a request that ran too long', async () => {
    const app = new Held()
    const front = limited(app, { ...limit, requestTimeout: 50 })
    const late = new MemoryExchange().run(front)
    expect((await soon('504', late.reply())).status).toBe(504)
    app.answer(0)
    app.begun[0]?.fail(new Error('aborted'))
    expect(late.failure).toBeUndefined()
    const next = new MemoryExchange().run(front)
    app.answer(1)
    expect((await next.reply()).text).toBe('reply 1')
    await front.close?.()
  })

  it('asks for help while requests wait, and hands back as many as are wanted, the oldest first', async () => {
    const app = new Held()
    const asked: number[] = []
    const front = new LimitedApplication(app, limit, log, waiting => asked.push(waiting))
    const handedBack: string[] = []
    const add = (name: string, canGo: boolean): MemoryExchange => {
      const handBack = (): boolean => canGo && handedBack.push(name) > 0
      return Object.assign(new MemoryExchange(), { handBack }).run(front)
    }
    const running = add('running', true)
    const last = ['stays', 'first', 'second', 'third'].map(name => add(name, name !== 'stays'))
    await until('it asks', () => asked.length > 1)
    expect(asked.at(-1)).toBe(4)
    front.share(2)
    expect(handedBack).toEqual(['first', 'second'])
    app.answer(0)
    app.answer(1)
    app.answer(2)
    expect((await running.reply()).text).toBe('reply 0')
    expect((await last[0]?.reply())?.text).toBe('reply 1')
    expect((await last[3]?.reply())?.text).toBe('reply 2')
    expect(app.begun).toHaveLength(3)
    await front.close()
  })

  it('hands over the body of a request that had to wait', async () => {
    const app = new Held()
    const front = limited(app, limit)
    new MemoryExchange().run(front)
    const waiting = new MemoryExchange({ body: ['one', 'two'] }).run(front)
    app.answer(0)
    const ended = new Promise<void>(resolve => waiting.once('finished', resolve))
    app.begun[1]?.resumeStdin()
    await soon('the body', new Promise<void>(resolve => setImmediate(() => setImmediate(resolve))))
    app.answer(1)
    await ended
    expect(app.told).toEqual(['stdin one', 'stdin two', 'end of stdin'])
  })

  it('loses nothing of the body of a request that had to wait, when the application asks for it at once', async () => {
    const bodies: string[] = []
    const asking: Application = {
      interface: 'wsgi',
      handle: exchange => {
        const at = bodies.push('') - 1
        exchange.resumeStdin()
        return {
          onStdin: chunk => {
            bodies[at] = `${bodies[at]}${chunk}`
            return true
          },
          onStdinEnd() {
            exchange.head(200, HEAD, -1)
            exchange.end(bodies[at])
          },
          onDrain() {},
          onAbort() {},
        }
      },
    }
    const client = await (await serving(limited(asking, limit))).connect()
    client.send(begin(1), params(1), stdin(1, 'a body, '))
    client.send(request({ id: 2, body: 'a body that waits' }), stdin(1, 'open'), stdinEnd(1))
    expect((await client.reply(1)).text).toBe('a body, open')
    expect((await client.reply(2)).text).toBe('a body that waits')
  })

  it('takes ten thousand waiting requests of an application that answers at once, without deep recursion', async () => {
    let held: Exchange | undefined
    const app: Application = {
      interface: 'wsgi',
      handle: exchange => {
        if (held === undefined) held = exchange
        else {
          exchange.head(200, HEAD, -1)
          exchange.end('')
        }
        return { onStdin: () => true, onStdinEnd() {}, onDrain() {}, onAbort() {} }
      },
    }
    const front = limited(app, { ...limit, queue: 10_000 })
    const exchanges = Array.from({ length: 10_001 }, () => new MemoryExchange().run(front))
    held?.head(200, HEAD, -1)
    held?.end('')
    expect(exchanges.every(one => one.finished)).toBe(true)
  })
})
