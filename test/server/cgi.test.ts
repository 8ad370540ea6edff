import { once } from 'node:events'
import { PassThrough, Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import type { Application, Exchange, RequestHandler } from '../../src/app/exchange.ts'
import { isCgiRequest, serveCgi } from '../../src/server/cgi.ts'
import { silentLog } from '../../src/server/create-server.ts'

const HEAD = 'Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n'

const idle: RequestHandler = { onStdin: () => true, onStdinEnd() {}, onDrain() {}, onAbort() {} }

/** A writable that keeps what it is given until it is told to go on. */
class SlowSink extends Writable {
  text = ''
  #release: (() => void) | null = null

  constructor() {
    super({ highWaterMark: 4 })
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this.text += chunk.toString('latin1')
    this.#release = callback
  }

  goOn(): void {
    this.#release?.()
  }
}

function serve(handle: (exchange: Exchange) => RequestHandler, env: Record<string, string> = {}, stdout?: Writable) {
  const streams = { stdin: new PassThrough(), stdout: stdout ?? new PassThrough(), stderr: new PassThrough() }
  const app: Application = { interface: 'node', handle }
  const request = { GATEWAY_INTERFACE: 'CGI/1.1', REQUEST_METHOD: 'POST', ...env }
  const done = serveCgi({ app, env: request, streams, log: silentLog, debug: false })
  const text = () => {
    const { readableLength } = streams.stdout as PassThrough
    return readableLength === 0 ? '' : (streams.stdout as PassThrough).read(readableLength).toString('latin1')
  }
  return { ...streams, done, text }
}

describe('a CGI request', () => {
  it('is told by two variables', () => {
    expect(isCgiRequest({ GATEWAY_INTERFACE: 'CGI/1.1', REQUEST_METHOD: 'GET' })).toBe(true)
    expect(isCgiRequest({ REQUEST_METHOD: 'GET' })).toBe(false)
    expect(isCgiRequest({})).toBe(false)
  })

  it('has its variables one character a byte', async () => {
    let exchange: Exchange | undefined
    serve(
      given => {
        exchange = given
        return idle
      },
      { PATH_INFO: '/é' },
    )
    const { names, values } = (exchange as Exchange).params
    expect(values[names.indexOf('PATH_INFO')]).toBe('/\xc3\xa9')
  })

  it('is answered by the head and the body, text as UTF-8 unless it says latin1', async () => {
    const { done, text } = serve(exchange => {
      exchange.head(200, HEAD, -1)
      exchange.write('é')
      exchange.write('\xff', true)
      exchange.write(Uint8Array.of(0x80))
      exchange.end()
      return idle
    })
    expect(await done).toBe(true)
    expect(text()).toBe(`${HEAD}\xc3\xa9\xff\x80`)
  })

  it('may be answered with another head as long as nothing was sent', async () => {
    const { done, text } = serve(exchange => {
      exchange.head(500, 'Status: 500\r\n\r\n', -1)
      exchange.head(200, HEAD, -1)
      expect(exchange.headSent).toBe(false)
      exchange.end('x')
      expect(exchange.headSent).toBe(true)
      return idle
    })
    await done
    expect(text()).toBe(`${HEAD}x`)
  })

  it('gives its body only when it is asked for, and stops when it is told to', async () => {
    const seen: string[] = []
    let exchange: Exchange | undefined
    const { stdin, done } = serve(
      given => {
        exchange = given
        return {
          ...idle,
          onStdin(chunk) {
            seen.push(chunk.toString())
            return false
          },
          onStdinEnd() {
            seen.push('end')
            given.head(200, HEAD, -1)
            given.end()
          },
        }
      },
      { CONTENT_LENGTH: '6' },
    )
    stdin.write('one')
    await new Promise(resolve => setImmediate(resolve))
    expect(seen).toEqual([])
    const { resumeStdin } = exchange as Exchange
    resumeStdin.call(exchange)
    await once(stdin, 'pause')
    stdin.write('two and more than was promised')
    await new Promise(resolve => setImmediate(resolve))
    expect(seen).toEqual(['one'])
    resumeStdin.call(exchange)
    expect(await done).toBe(true)
    expect(seen).toEqual(['one', 'two', 'end'])
  })

  it('tells the application when the reader is slow and when it has caught up', async () => {
    const stdout = new SlowSink()
    let drained = 0
    let accepted: boolean | undefined
    const { done } = serve(
      exchange => {
        exchange.head(200, HEAD, -1)
        accepted = exchange.write('a lot')
        return {
          ...idle,
          onDrain() {
            drained++
            exchange.end()
          },
        }
      },
      {},
      stdout,
    )
    expect(accepted).toBe(false)
    expect(drained).toBe(0)
    const pump = setInterval(() => stdout.goOn(), 1)
    expect(await done).toBe(true)
    clearInterval(pump)
    expect(drained).toBe(1)
    expect(stdout.text).toBe(`${HEAD}a lot`)
  })

  it('is aborted when the reader goes away', async () => {
    const stdout = new PassThrough()
    const reasons: string[] = []
    const { done } = serve(() => ({ ...idle, onAbort: reason => void reasons.push(reason) }), {}, stdout)
    stdout.destroy(new Error('EPIPE'))
    expect(await done).toBe(false)
    expect(reasons).toEqual(['client-gone'])
  })

  it('is aborted when the body ends before its length', async () => {
    const reasons: string[] = []
    const { stdin, done } = serve(
      exchange => {
        exchange.resumeStdin()
        return { ...idle, onAbort: reason => void reasons.push(reason) }
      },
      { CONTENT_LENGTH: '10' },
    )
    stdin.end('four')
    expect(await done).toBe(false)
    expect(reasons).toEqual(['client-gone'])
  })

  it('gets a page when the application fails before the head, and is cut off after it', async () => {
    const before = serve(() => {
      throw new Error('no luck')
    })
    expect(await before.done).toBe(false)
    expect(before.text()).toMatch(/^Status: 500 Internal Server Error\r\n/)
    const after = serve(exchange => {
      exchange.head(200, HEAD, -1)
      exchange.write('half')
      exchange.fail(new Error('no luck'))
      exchange.write('more')
      return idle
    })
    expect(await after.done).toBe(false)
    expect(after.text()).toBe(`${HEAD}half`)
  })
})
