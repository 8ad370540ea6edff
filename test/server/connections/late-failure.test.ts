import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { expect, it } from 'vitest'
import { createServer } from '../../../src/index.ts'
import { probe } from '../../support/probe.ts'
import { until } from '../../support/until.ts'

it('an application that fails after its reply has ended is in the log', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'late-'))
  const logged: string[] = []
  const note = (_details: object, message: string): void => void logged.push(message)
  const log = { debug: note, info: note, warn: note, error: note }
  const listener = async (_request: unknown, response: { end(text: string): void }): Promise<void> => {
    response.end('done')
    await Promise.resolve()
    throw new Error('too late')
  }
  const server = createServer(listener, { log })
  const target = { kind: 'unix', path: path.join(folder, 'late.sock') } as const
  server.listen(target.path)
  await until('it listens', () => server.listening)
  expect((await probe({ target })).status).toBe(200)
  await until('it is logged', () => logged.includes('the application failed after its reply'))
  server.close()
  await rm(folder, { recursive: true })
})
