/**
 * One request a second never lets go of its thread, and nobody else notices. Three seconds here;
 * `LOOP_SECONDS=20 npx vitest run test/process/threads/loop.test.ts` goes on longer.
 */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { launch, project } from '../../cli/command.ts'
import { until } from '../../support/until.ts'
import { type Client, connectClient, PLAIN } from '../../support/wire.ts'

const SECONDS = Number(process.env.LOOP_SECONDS ?? 3)
const CONNECTIONS = 8
/** With so many connections, 200 requests a second. */
const PAUSE_MS = 40

/** Memory that need not come back at once: V8 collects when it likes. */
const SLACK_KB = 80 * 1024

const APP = `export default (request, response) => {
  while (request.url === '/loop');
  response.end('here')
}`

const get = async (client: Client, path: string): Promise<number> => {
  const { status } = await client.ask({ params: { ...PLAIN, REQUEST_URI: path, PATH_INFO: path, SCRIPT_NAME: '' } })
  return status
}

async function every<T>(ms: number, times: number, act: () => Promise<T>): Promise<T[]> {
  const outcomes: T[] = []
  const start = performance.now()
  for (let at = 0; at < times; at++) {
    outcomes.push(await act())
    await sleep(Math.max(0, start + (at + 1) * ms - performance.now()))
  }
  return outcomes
}

it('answers every other request while threads loop for ever, and keeps connections and memory', {
  timeout: 60_000 + SECONDS * 5_000,
}, async () => {
  const folder = project({ 'app.js': APP })
  const path = join(folder.path, 's')
  const args = ['stand', `socket=${path}`, 'method=threaded', 'maxchildren=2', 'request-timeout=500ms']
  const running = launch(args, { cwd: folder.path })
  await running.says('"ready"')
  const proc = `/proc/${running.child.pid}`
  const threads = (): number => readdirSync(`${proc}/task`).length
  const memory = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`${proc}/status`, 'utf8'))?.[1])
  const clients = await Promise.all(Array.from({ length: CONNECTIONS + 1 }, () => connectClient({ path })))
  const [looping, ...others] = clients as [Client, ...Client[]]
  for (const client of others) expect(await get(client, '/page')).toBe(200)
  await until('both threads are started', () => running.stderr().match(/started thread/g)?.length === 2)
  const before = { threads: threads(), memory: memory() }

  const [loops, ...replies] = await Promise.all([
    every(1_000, SECONDS, () => get(looping, '/loop')),
    ...others.map(client => every(PAUSE_MS, (SECONDS * 1_000) / PAUSE_MS, () => get(client, '/page'))),
  ])
  expect(new Set(loops)).toEqual(new Set([504]))
  expect(replies.flat().filter(status => status !== 200)).toEqual([])
  expect(clients.map(({ ending, fault }) => ending ?? fault)).toEqual(clients.map(() => undefined))
  await until('as many threads as before', () => threads() === before.threads)
  await until('about as much memory as before', () => memory() < before.memory + SLACK_KB)
  for (const client of clients) client.socket.destroy()
  running.kill('SIGTERM')
  expect((await running.outcome()).code).toBe(0)
})
