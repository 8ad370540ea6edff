/** Programs that web servers start by themselves, with the listening socket on descriptor 0: how they live and end. */

import { utimesSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { type Project, project } from '../support/project.ts'
import { lighttpd, modFastcgi, modFcgid, type Spawned, type Spawner, spawnFcgi, stateOf } from '../support/spawners.ts'
import { until } from '../support/until.ts'

/** Reads its standard input, as some do: that must not be the listening socket. */
const APP = `
process.stdin.on('data', () => {}).on('error', error => { throw error })
export default { async fetch(request) {
  if (new URL(request.url).pathname.endsWith('/slow')) await new Promise(resolve => setTimeout(resolve, 1000))
  return new Response('pid ' + process.pid)
} }`

let site: Project
let spawned: Spawned | undefined

afterEach(async () => {
  await spawned?.stop()
  for (const pid of spawned?.pids() ?? []) if (lives(pid)) process.kill(pid, 'SIGKILL')
  spawned = undefined
  site?.[Symbol.dispose]()
})

async function start(spawner: Spawner, settings: readonly string[] = []): Promise<Spawned> {
  site = project({ 'package.json': { type: 'module' }, 'app.js': APP, touched: '' })
  spawned = await spawner.start(site.folder, settings)
  return spawned
}

const last = (pids: readonly number[]): number => pids.at(-1) as number

/** One that has ended but was not waited for does not count. */
function lives(pid: number): boolean {
  try {
    return stateOf(pid).state !== 'Z'
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return false
  }
}

for (const spawner of [lighttpd, modFcgid, spawnFcgi, modFastcgi]) {
  if (spawner.missing !== undefined)
    console.warn(`SKIPPED: ${spawner.name}, because ${spawner.missing} is not installed`)

  describe.skipIf(spawner.missing !== undefined)(`started by ${spawner.name}`, () => {
    it('one process serves, unless a method is named, and ends when it is told to', async () => {
      const { ask, pids, stop } = await start(spawner)
      expect(await ask()).toBe(`pid ${last(pids())}`)
      await stop()
      await until('the program has ended', () => !pids().some(lives))
    })

    it.each(['threaded', 'prefork'])('a pool with method=%s serves, and all of it ends', async method => {
      const { ask, pids, stop } = await start(spawner, [`method=${method}`, 'maxchildren=1'])
      const child = Number(/^pid (\d+)$/.exec(await ask())?.[1])
      expect(child === last(pids())).toBe(method === 'threaded')
      await stop()
      await until('all have ended', () => ![...pids(), child].some(lives))
    })

    it.skipIf(spawner.leaves)('a touched file of touch-reload means a new process, after what runs', async () => {
      // As the settings of mysite.fcgi count from its folder.
      const { ask, pids } = await start(spawner, ['touch-reload=$(dirname $0)/touched'])
      const body = await ask()
      const first = last(pids())
      expect(body).toBe(`pid ${first}`)
      const running = ask('/slow')
      utimesSync(join(site.folder, 'touched'), new Date(), new Date(Date.now() + 5_000))
      expect(await running).toBe(`pid ${first}`)
      await until('the first has ended', () => !lives(first))
      await until('another one answers', async () => (await ask()) === `pid ${last(pids())}`)
      expect(last(pids())).not.toBe(first)
    })

    it.runIf(spawner.leaves)('the process stays when that has ended', async () => {
      const { ask, pids, log } = await start(spawner)
      expect(await ask()).toBe(`pid ${last(pids())}`)
      expect(log()).not.toContain('will end with the process')
    })

    it.skipIf(spawner.leaves)('the process ends when that is killed', async () => {
      const running = await start(spawner)
      expect(await running.ask()).toBe(`pid ${last(running.pids())}`)
      await until('it knows its parent', () => running.log().includes('will end with the process'))
      process.kill(spawner.victim?.(running) ?? running.starter, 'SIGKILL')
      await until('the program has ended', () => !running.pids().some(lives))
      expect(running.log()).toContain('the web server is gone: finishing what runs')
    })
  })
}
