/**
 * Worker processes that are killed under load, behind nginx with kept connections. Only what was inside of the worker may
 * be lost, and another one takes its place. STORM_KILLS=30 makes half a minute of it.
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { probe } from '../../src/front/probe.ts'
import { nginxKeepAlive } from '../support/nginx.ts'
import { isAlive } from '../support/processes.ts'
import { stand } from '../support/runfcgi.ts'
import { createSite } from '../support/site.ts'
import { until } from '../support/until.ts'
import { Load } from './storm-load.ts'

const KILLS = Number(process.env.STORM_KILLS ?? 4)
const CLIENTS = 8
const WORKERS = 3

/** How long nginx may take to notice that a connection that it keeps is closed, in milliseconds. */
const NOTICE_MS = 250

const APP = `
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
export default async (request, response) => {
  const hash = createHash('sha256')
  for await (const chunk of request) hash.update(chunk)
  await sleep(2)
  response.end(request.url === '/pid' ? String(process.pid) : 'Hello ' + hash.digest('hex'))
}
`

/** When the signal was sent, and when the process with its sockets was gone: on a busy machine a while later. */
interface Kill {
  readonly killed: number
  readonly dead: number
}

/** Milliseconds from the death of each worker to the start of another, by the log. */
function replacements(log: string): number[] {
  const lines: { time: string; msg: string }[] = log
    .split('\n')
    .filter(line => line.startsWith('{'))
    .map(line => JSON.parse(line))
  const died = lines.filter(({ msg }) => msg.endsWith('died: signal SIGKILL'))
  return died.map(one => {
    const next = lines.slice(lines.indexOf(one)).find(({ msg }) => msg.startsWith('started worker'))
    return Date.parse(next?.time ?? '') - Date.parse(one.time)
  })
}

const residentKiB = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1])

describe.skipIf(nginxKeepAlive.missing !== undefined || !existsSync('/proc/self/status'))(
  'workers that are killed',
  () => {
    test('lose only what is inside of them, and others are started within a second', async () => {
      const site = createSite('node')
      writeFileSync(join(site.folder, 'app.js'), APP)
      const program = await stand(site, ['method=prefork', `minspare=${WORKERS}`, `maxchildren=${WORKERS}`])
      const server = await nginxKeepAlive.start(site)
      const target = { kind: 'unix', path: site.socket } as const
      const pids = async (): Promise<number[]> => {
        const asked = Array.from({ length: 4 * WORKERS }, () => probe({ target, path: '/pid' }))
        const replies = await Promise.allSettled(asked)
        const answered = replies.filter(reply => reply.status === 'fulfilled').map(({ value }) => Number(value.body))
        return [...new Set(answered)]
      }
      const all = (): Promise<void> => until(`${WORKERS} workers serve`, async () => (await pids()).length === WORKERS)
      await all()
      const load = new Load(server.port, CLIENTS)
      const kills: Kill[] = []
      const pauses: number[] = []
      const memory: number[] = []
      try {
        for (let nth = 0; nth < KILLS; nth++) {
          const serving = await pids()
          const victim = serving[Math.floor(Math.random() * serving.length)] as number
          const killed = performance.now()
          process.kill(victim, 'SIGKILL')
          await until('the victim is dead', () => !isAlive(victim))
          kills.push({ killed, dead: performance.now() })
          await until('nobody is answered by it', async () => !(await pids()).includes(victim))
          await all()
          pauses.push(performance.now() - killed)
          memory.push(residentKiB(program.pid))
          await sleep(Math.max(0, killed + 1_000 - performance.now()))
        }
      } finally {
        await load.stop()
        await server.stop()
        await program.stop()
        site.remove()
      }
      const { get, post, failures } = load.tally
      const [longest, median] = [Math.max(...pauses), pauses.toSorted((a, b) => a - b)[KILLS >> 1]].map(ms =>
        Math.round(ms as number),
      )
      console.log(
        `${KILLS} kills: GET ${JSON.stringify(get)}, POST ${JSON.stringify(post)}, back to size after ${median} ms, at most ${longest}; ` +
          `primary ${memory[0]} KiB at first, ${memory.at(-1)} KiB at last`,
      )
      const inside = failures.filter(({ began, ended }) =>
        kills.some(({ killed, dead }) => began < dead + NOTICE_MS && ended >= killed),
      )
      expect(failures.filter(failure => !inside.includes(failure))).toEqual([])
      expect(failures.length).toBeLessThanOrEqual(KILLS * CLIENTS)
      expect(get.success).toBeGreaterThan(CLIENTS)
      expect(post.success).toBeGreaterThan(CLIENTS)
      // How long a process takes to start is the machine's affair.
      const waits = replacements(program.output())
      expect(waits).toHaveLength(KILLS)
      expect(Math.min(...waits)).toBeLessThan(1_000)
      expect((memory.at(-1) as number) - (memory[0] as number)).toBeLessThan(16_384)
    }, 300_000)
  },
)
