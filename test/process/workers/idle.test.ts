/**
 * Web servers keep hundreds of connections open. What they cost those that are busy: two thousand idle ones beside sixteen,
 * measured with and without in the same run.
 */

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { launch, project } from '../../cli/command.ts'
import { soon, until } from '../../support/until.ts'
import { request } from '../../support/wire.ts'

const IDLE = 2_000
const BUSY = 16
const REQUESTS = 150
const LEAST_ROUNDS = 3
const MOST_ROUNDS = 10

const APP = `export default (request, response) => response.end('hello')`

const bytes = request({ keep: true })

/** One request on a connection, and how long its reply took in milliseconds: an END_REQUEST record ends it. */
async function ask(socket: Socket): Promise<number> {
  const began = performance.now()
  let last = Buffer.alloc(0)
  socket.write(bytes)
  while (last.length < 16 || last.at(-15) !== 3) {
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    last = Buffer.concat([last, chunk]).subarray(-16)
  }
  return performance.now() - began
}

const open = (path: string, count: number): Promise<Socket[]> =>
  Promise.all(
    Array.from({ length: count }, async () => {
      const socket = connect(path)
      await once(socket, 'connect')
      return socket
    }),
  )

interface Latency {
  readonly median: number
  readonly p99: number
}

/** How long the replies to busy connections take. */
async function latency(sockets: readonly Socket[]): Promise<Latency> {
  const times = await Promise.all(
    sockets.map(async socket => {
      const own: number[] = []
      for (let nth = 0; nth < REQUESTS; nth++) own.push(await ask(socket))
      return own
    }),
  )
  const sorted = times.flat().sort((a, b) => a - b)
  const at = (part: number): number => sorted[Math.floor(sorted.length * part)] as number
  return { median: at(0.5), p99: at(0.99) }
}

/** The best of several rounds: what else the machine does can only add to it. */
const best = (rounds: readonly Latency[]): Latency => ({
  median: Math.min(...rounds.map(({ median }) => median)),
  p99: Math.min(...rounds.map(({ p99 }) => p99)),
})

const ratio = (beside: readonly Latency[], without: readonly Latency[]): Latency => ({
  median: best(beside).median / best(without).median,
  p99: best(beside).p99 / best(without).p99,
})

async function openIdle(path: string): Promise<Socket[]> {
  const idle: Socket[] = []
  while (idle.length < IDLE) {
    const opened = await open(path, 20)
    await Promise.all(opened.map(ask))
    idle.push(...opened)
  }
  return idle
}

describe.each(['prefork', 'threaded'])('method=%s', method => {
  it(`answers ${BUSY} busy connections as fast beside ${IDLE} idle ones as without them`, async () => {
    const folder = project({ 'app.js': APP })
    const path = join(folder.path, 'site.sock')
    const running = launch(['stand', `socket=${path}`, `method=${method}`, 'maxchildren=2'], { cwd: folder.path })
    await running.says('"ready"')
    const busy = await open(path, BUSY)
    await latency(busy)
    const without: Latency[] = []
    const beside: Latency[] = []
    const within = (): boolean => {
      const { median, p99 } = ratio(beside, without)
      return median < 1.5 && p99 < 2
    }
    while (beside.length < LEAST_ROUNDS || (beside.length < MOST_ROUNDS && !within())) {
      without.push(await latency(busy))
      const idle = await openIdle(path)
      beside.push(await latency(busy))
      for (const socket of idle) socket.destroy()
      await until('they are closed', () => idle.every(({ closed }) => closed))
    }
    console.log(method, { without: best(without), beside: best(beside), ratio: ratio(beside, without) })
    for (const socket of busy) socket.destroy()
    running.kill('SIGTERM')
    expect(await soon('the end', running.outcome())).toMatchObject({ code: 0 })
    expect(within()).toBe(true)
  }, 120_000)
})
