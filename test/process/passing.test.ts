import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { passable } from '../../src/process/passing.ts'
import { until } from '../support/until.ts'

it('passes on all that was read of a connection, however many pieces it came in', async () => {
  let accepted: Socket | undefined
  const path = join(tmpdir(), `runfcgi-passing-${process.pid}.sock`)
  const server = createServer(socket => {
    accepted = socket.on('error', () => undefined)
    // Reads, and leaves it in the stream.
    socket.read(0)
  }).listen(path)
  const client = connect(path).on('error', () => undefined)
  onTestFinished(() => {
    client.destroy()
    accepted?.destroy()
    server.close()
  })
  for (const [at, piece] of ['one ', 'two ', 'three'].entries()) {
    client.write(piece)
    await until('it is there', () => (accepted?.readableLength ?? 0) >= 4 * (at + 1))
  }
  expect(passable(accepted as Socket)?.received).toBe('one two three')
})
