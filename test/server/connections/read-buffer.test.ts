import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, connect as netConnect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readFrom } from '../../../src/server/connections/read-buffer.ts'
import { soon, until } from '../../support/until.ts'

let folder: string
let connections: Socket[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'read-'))
  connections = []
})

afterEach(() => {
  for (const socket of connections) socket.destroy()
  rmSync(folder, { recursive: true })
})

/** Both ends of a new connection. */
async function pair(): Promise<{ client: Socket; accepted: Socket }> {
  const server = createServer({ allowHalfOpen: true })
  const path = join(folder, String(connections.length))
  server.listen(path)
  await once(server, 'listening')
  const client = netConnect(path)
  const [accepted] = (await once(server, 'connection')) as [Socket]
  server.close()
  connections.push(client, accepted)
  return { client, accepted }
}

/** What came on `socket`, and the buffers in which it came. */
function reading(socket: Socket): { text: string; readonly buffers: Set<ArrayBufferLike> } {
  const seen = { text: '', buffers: new Set<ArrayBufferLike>() }
  readFrom(socket, (bytes, length) => {
    seen.text += bytes.toString('latin1', 0, length)
    seen.buffers.add(bytes.buffer)
  })
  return seen
}

test('each connection gets its own bytes, all in one buffer', async () => {
  const pairs = [await pair(), await pair(), await pair()]
  const readers = pairs.map(({ accepted }) => reading(accepted))
  const texts = ['one ', 'two ', 'three '].map(word => word.repeat(30_000))
  for (const [at, { client }] of pairs.entries()) client.write(texts[at] as string)
  await until('everything has come', () => readers.every(({ text }, at) => text.length === texts[at]?.length))
  expect(readers.map(({ text }) => text)).toEqual(texts)
  expect(new Set(readers.flatMap(({ buffers }) => [...buffers])).size).toBe(1)
})

test('nothing is read while the socket is paused', async () => {
  const { client, accepted } = await pair()
  const seen = reading(accepted)
  client.write('before')
  await until('it has come', () => seen.text === 'before')
  accepted.pause()
  client.write('after')
  // By then the kernel has the bytes, and a socket that were read would have shown them.
  const { client: other, accepted: otherEnd } = await pair()
  const witness = reading(otherEnd)
  other.write('witness')
  await until('another socket was read', () => witness.text === 'witness')
  expect(seen.text).toBe('before')
  accepted.resume()
  await until('it has come', () => seen.text === 'beforeafter')
})

test('the end is told after the last bytes, and the socket can still be written', async () => {
  const { client, accepted } = await pair()
  const seen = reading(accepted)
  client.end('the last')
  await soon('end', once(accepted, 'end'))
  expect(seen.text).toBe('the last')
  accepted.end('an answer')
  const [answer] = await soon('the answer', once(client, 'data'))
  expect(String(answer)).toBe('an answer')
})

test('what came before anybody read comes first', async () => {
  const { client, accepted } = await pair()
  client.write('early ')
  await until('it waits in the stream', () => accepted.readableLength > 0)
  const seen = reading(accepted)
  client.write('late')
  await until('everything has come', () => seen.text.length === 10)
  expect(seen.text).toBe('early late')
})
