import { once } from 'node:events'
import { PassThrough, Readable, Writable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { expect, test } from 'vitest'
import type { AbortReason, Application } from '../../src/app/exchange.ts'
import { type BodyStream, bodyStream, errorStream } from '../../src/app/streams.ts'
import { type ExchangeInit, MemoryExchange } from '../support/exchange.ts'

/** A request whose application only has the body as a stream. */
function open(init: ExchangeInit): { exchange: MemoryExchange; body: BodyStream } {
  const exchange = new MemoryExchange(init)
  const body = bodyStream(exchange)
  const app: Application = {
    interface: 'wsgi',
    handle: () => ({
      onStdin: chunk => body.receive(chunk),
      onStdinEnd: () => body.receiveEnd(),
      onDrain: () => {},
      onAbort: (reason: AbortReason) => body.receiveAbort(reason),
    }),
  }
  exchange.run(app)
  return { exchange, body }
}

async function text(body: Readable): Promise<string> {
  let whole = ''
  for await (const chunk of body) whole += chunk
  return whole
}

test('the body is a Readable by every test that a library might make', () => {
  const { body } = open({ body: ['x'] })
  expect(body instanceof Readable).toBe(true)
  expect(body.readable).toBe(true)
  expect(body.readableEnded).toBe(false)
  expect(body.destroyed).toBe(false)
  expect(Readable.isDisturbed(body)).toBe(false)
})

test('nothing is asked for until somebody reads', async () => {
  const { exchange, body } = open({ body: ['a', 'b'] })
  await new Promise(setImmediate)
  expect(exchange.reading).toBe(false)
  expect(await text(body)).toBe('ab')
})

test('listeners that were added before the stream was first used are kept', async () => {
  const { body } = open({ body: ['one'] })
  const seen: string[] = []
  body.once('close', () => seen.push('close'))
  body.on('end', () => seen.push('end'))
  body.on('data', chunk => seen.push(String(chunk)))
  await once(body, 'close')
  expect(seen).toEqual(['one', 'end', 'close'])
})

test('a request without body ends at once', async () => {
  const { exchange, body } = open({})
  expect(await text(body)).toBe('')
  expect(exchange.reading).toBe(false)
})

test('a body that proves empty after the request has started ends', async () => {
  const { exchange, body } = open({ body: 'open' })
  exchange.sendEnd()
  await new Promise(setImmediate)
  expect(await text(body)).toBe('')
})

test('setEncoding joins characters that straddle two pieces', async () => {
  const bytes = Buffer.from('aé€')
  const { body } = open({ body: [bytes.subarray(0, 2), bytes.subarray(2, 4), bytes.subarray(4)] })
  body.setEncoding('utf8')
  expect(await text(body)).toBe('aé€')
})

test('a slow reader is not sent more than it has room for', async () => {
  const piece = Buffer.alloc(65_536)
  const { exchange, body } = open({ body: Array.from({ length: 64 }, () => piece) })
  let read = 0
  const slow = new Writable({
    write(chunk, _encoding, callback) {
      read += chunk.length
      expect(exchange.taken - read).toBeLessThanOrEqual(4 * 65_536)
      setImmediate(callback)
    },
  })
  await pipeline(body, slow)
  expect(read).toBe(64 * 65_536)
})

test('a body that is destroyed asks for nothing more', async () => {
  const { exchange, body } = open({ body: 'open' })
  body.resume()
  await once(body, 'resume')
  body.destroy()
  await once(body, 'close')
  expect(exchange.reading).toBe(false)
})

test('a client that goes away ends a pending read with ECONNRESET', async () => {
  const { exchange, body } = open({ body: 'open' })
  const reading = text(body)
  exchange.send('half')
  await once(body, 'readable')
  exchange.abort()
  await expect(reading).rejects.toMatchObject({ message: 'aborted', code: 'ECONNRESET' })
})

test('a timeout ends a pending read with ETIMEDOUT', async () => {
  const { exchange, body } = open({ body: 'open' })
  const piped = pipeline(body, new PassThrough().resume())
  exchange.abort('timeout')
  await expect(piped).rejects.toMatchObject({ code: 'ETIMEDOUT' })
})

test('a body that is first read after the client went away fails, too', async () => {
  const { exchange, body } = open({ body: ['lost'] })
  exchange.abort()
  await expect(text(body)).rejects.toMatchObject({ code: 'ECONNRESET' })
})

test('an abort throws nothing at an application that does not listen for errors', async () => {
  const { exchange, body } = open({ body: 'open' })
  body.resume()
  exchange.abort()
  await once(body, 'close')
  expect(body.destroyed).toBe(true)
})

test('an abort after the body was read to its end leaves the stream alone', async () => {
  const { exchange, body } = open({ body: ['all'] })
  expect(await text(body)).toBe('all')
  exchange.abort()
  expect(body.errored).toBe(null)
})

test('what is written to the error stream goes to STDERR in its own encoding', async () => {
  const exchange = new MemoryExchange()
  const errors = errorStream(exchange)
  expect(errors instanceof Writable).toBe(true)
  errors.write('é ')
  errors.write('c3a9', 'hex')
  errors.write(Buffer.from(' ü'))
  errors.end()
  await finished(errors)
  exchange.end()
  expect((await exchange.reply()).stderr).toBe('é é ü')
})
