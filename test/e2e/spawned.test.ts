/** Programs that web servers start by themselves, with the listening socket on descriptor 0: how they live and end. */

import { existsSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { isAlive, kill } from '../support/processes.ts'
import { type Project, project } from '../support/project.ts'
import { lighttpd, modFastcgi, modFcgid, type Spawned, type Spawner, spawnFcgi } from '../support/spawners.ts'
import { until } from '../support/until.ts'

/** Reads its standard input, as some do: that must not be the listening socket. */
const APP = `
import { existsSync, writeFileSync } from 'node:fs'
process.stdin.on('data', () => {}).on('error', error => { throw error })
export default { async fetch(request) {
  if (new URL(request.url).pathname.endsWith('/slow')) {
    writeFileSync(new URL('begun', import.meta.url), '')
    while (!existsSync(new URL('go', import.meta.url))) await new Promise(resolve => setTimeout(resolve, 5))
  }
  return new Response('pid ' + process.pid)
} }`

let site: Project
let spawned: Spawned | undefined

afterEach(async () => {
  await spawned?.stop()
  for (const pid of spawned?.pids() ?? []) kill(pid)
  spawned = undefined
  site?.[Symbol.dispose]()
})

async function start(spawner: Spawner, settings: readonly string[] = []): Promise<Spawned> {
  site = project({ 'package.json': { type: 'module' }, 'app.js': APP, touched: '' })
  spawned = await spawner.start(site.folder, settings)
  return spawned
}

const last = (pids: readonly number[]): number => pids.at(-1) as number

for (const spawner of [lighttpd, modFcgid, spawnFcgi, modFastcgi]) {
  if (spawner.missing !== undefined)
    console.warn(`SKIPPED: ${spawner.name}, because ${spawner.missing} is not installed`)

  describe.skipIf(spawner.missing !== undefined)(`started by ${spawner.name}`, () => {
    it('one process serves, unless a method is named, and ends when it is told to', async () => {
      const { ask, pids, stop } = await start(spawner)
      expect(await ask()).toBe(`pid ${last(pids())}`)
      await stop()
      await until('the program has ended', () => !pids().some(isAlive))
    })

    it.each(['threaded', 'prefork'])('a pool with method=%s serves, and all of it ends', async method => {
      const { ask, pids, stop } = await start(spawner, [`method=${method}`, 'maxchildren=1'])
      const child = Number(/^pid (\d+)$/.exec(await ask())?.[1])
      expect(child === last(pids())).toBe(method === 'threaded')
      await stop()
      await until('all have ended', () => ![...pids(), child].some(isAlive))
    })

    it.skipIf(spawner.leaves)('a touched file of touch-reload means a new process, after what runs', async () => {
      // As the settings of mysite.fcgi count from its folder.
      const { ask, pids, log } = await start(spawner, ['touch-reload=$(dirname $0)/touched'])
      const body = await ask()
      const first = last(pids())
      expect(body).toBe(`pid ${first}`)
      const running = ask('/slow')
      await until('the request has begun', () => existsSync(join(site.folder, 'begun')))
      utimesSync(join(site.folder, 'touched'), new Date(), new Date(Date.now() + 5_000))
      await until('it is seen', () => log().includes('touched was touched'))
      writeFileSync(join(site.folder, 'go'), '')
      expect(await running).toBe(`pid ${first}`)
      await until('the first has ended', () => !isAlive(first))
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
      await until('the program has ended', () => !running.pids().some(isAlive))
      expect(running.log()).toContain('the web server is gone: finishing what runs')
    })
  })
}
