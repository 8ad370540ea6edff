import { spawn, spawnSync } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import type { Status } from '../../src/process/status.ts'
import { until } from '../support/until.ts'
import { type Home, home, slowRequest } from './daemon.ts'

const program = fileURLToPath(new URL('../../bin/runfcgi.js', import.meta.url))

/** script(1) gives a program a terminal of its own. */
const hasScript = spawnSync('script', ['--version']).status === 0

async function statusOf(site: Home): Promise<Status> {
  const { code, stdout, stderr } = await site.command('status', '--json')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return JSON.parse(stdout)
}

describe.each(['prefork', 'threaded', 'inline'] as const)('status with method=%s', method => {
  it('tells what was served, with which outcome, and what runs', async () => {
    const site = home({
      'app.js': `
        import { existsSync, writeFileSync } from 'node:fs'
        export default async (request, response) => {
          if (request.url === '/slow') {
            writeFileSync('slow', '')
            while (!existsSync('go')) await new Promise(setImmediate)
          }
          response.statusCode = Number(request.url.slice(1)) || 200
          response.end()
        }`,
    })
    await site.start(`method=${method}`, 'maxchildren=2')
    for (const path of ['/', '/', '/404', '/503']) await site.get(path)
    const { reply, go } = await slowRequest(site)
    let status = await statusOf(site)
    await until('it is told', async () => {
      status = await statusOf(site)
      const { inflight, requests, connections } = status.traffic
      return inflight === 1 && requests === 4 && connections === 1
    })
    expect(status).toMatchObject({
      pid: site.pid(),
      state: 'serving',
      node: process.version,
      method,
      listen: [site.socket],
      app: join(site.folder.path, 'app.js'),
      interface: 'node',
      traffic: { connections: 1, inflight: 1, requests: 4, statuses: { 200: 2, 404: 1, 503: 1 } },
    })
    expect(status.memory).toBeGreaterThan(10_000_000)
    expect(Date.now() - Date.parse(status.started)).toBeLessThan(60_000)
    go()
    await reply
    await until('that is told as well', async () => (await statusOf(site)).traffic.statuses[200] === 3)
    expect((await site.command('stop')).code).toBe(0)
  })

  it('is a table for people, no wider than their terminal', async () => {
    const site = home()
    await site.start(`method=${method}`)
    const { code, stdout } = await site.command('status')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^runfcgi \d+\.\d+\.\d+ \(Node\.js v.*\), process \d+: .*serving for \d+ s\n/)
    expect(stdout).toMatch(/\nrequests {5}0 served, 0 running/)
    expect(stdout.includes('GEN ')).toBe(method !== 'inline')
    expect(stdout).not.toContain('\x1b')
    expect((await site.command('stop')).code).toBe(0)
  })
})

describe.each(['prefork', 'threaded', 'inline'] as const)('what runs with method=%s', method => {
  it('is named with its URI and age, the longest first', async () => {
    const site = home()
    await site.start(`method=${method}`, 'maxchildren=1')
    const { reply, go } = await slowRequest(site)
    const other = site.get('/slow?second')
    await until('both are named', async () => (await statusOf(site)).longest.length === 2)
    const [first, second] = (await statusOf(site)).longest
    expect(first).toMatchObject({ method: 'GET', uri: '/slow' })
    expect(second).toMatchObject({ method: 'GET', uri: '/slow?second' })
    expect(first?.child).toBe(method === 'inline' ? undefined : 1)
    expect(first?.age).toBeGreaterThanOrEqual(second?.age as number)
    go()
    for (const one of [reply, other]) expect((await one).status).toBe(200)
    await until('nothing is', async () => (await statusOf(site)).longest.length === 0)
    expect((await site.command('stop')).code).toBe(0)
  })
})

describe.each(['prefork', 'threaded'] as const)('a child that does not turn, with method=%s', method => {
  it('is named, with how long and with what', async () => {
    const site = home()
    await site.start(`method=${method}`, 'maxchildren=1')
    expect((await statusOf(site)).pool?.children[0]?.stuckFor).toBe(0)
    site.get('/loop').catch(() => {})
    await until('it is found out', async () => ((await statusOf(site)).pool?.children[0]?.stuckFor ?? 0) > 0)
    const { stdout } = await site.command('status')
    expect(stdout).toMatch(/stuck \d+ s/)
    if (method === 'threaded') expect(stdout).toMatch(/^longest {6}GET \/loop for \d+ s \(child 1\)$/m)
    expect((await site.command('stop', 'now')).code).toBe(0)
  })
})

describe('status of a pool', () => {
  it.each(['prefork', 'threaded'])('with method=%s tells how busy the event loop of a child is', async method => {
    const site = home({
      'app.js': `
        export default (request, response) => {
          for (const end = performance.now() + 50; performance.now() < end; );
          response.end()
        }`,
    })
    await site.start(`method=${method}`, 'maxchildren=1')
    const busy = async (): Promise<number> => (await statusOf(site)).pool?.children[0]?.utilization ?? 0
    await until('it is idle', async () => (await busy()) < 0.2)
    let enough = false
    // One is always waiting, however long it takes to send the next.
    const load = Promise.all(
      Array.from({ length: 4 }, async () => {
        while (!enough) await site.get()
      }),
    )
    load.catch(() => {})
    await until('it is busy', async () => (await busy()) > 0.5)
    enough = true
    await load
    await until('it is idle again', async () => (await busy()) < 0.2)
    expect((await site.command('stop')).code).toBe(0)
  })

  it('names the children that were replaced for a limit of their own, and not those of a reload', async () => {
    const site = home()
    await site.start('method=threaded', 'maxchildren=1', 'maxrequests=2')
    for (let at = 0; at < 2; at++) await site.get()
    const lately = async (): Promise<(string | undefined)[] | undefined> =>
      (await statusOf(site)).pool?.lately.map(({ text }) => text)
    await until('it is replaced', async () => (await lately())?.length === 1)
    expect((await site.command('reload')).code).toBe(0)
    expect(await lately()).toEqual(['retired thread 1: maxrequests 2'])
    expect((await site.command('stop')).code).toBe(0)
  })

  it('names the process before an upgrade while that finishes its requests', async () => {
    const site = home()
    await site.start()
    const before = site.pid()
    const { reply, go } = await slowRequest(site)
    expect((await site.command('upgrade')).code).toBe(0)
    expect((await statusOf(site)).predecessor).toBe(before)
    go()
    expect((await reply).status).toBe(200)
    await until('it has ended', async () => (await statusOf(site)).predecessor === undefined)
    expect((await site.command('stop')).code).toBe(0)
  })

  it.each(['prefork', 'threaded'])('with method=%s tells what runs from what waits', async method => {
    const site = home()
    await site.start(`method=${method}`, 'maxchildren=1', 'concurrency=1')
    const { reply, go } = await slowRequest(site)
    const others = [site.get(), site.get()]
    await until('the others wait', async () => (await statusOf(site)).queue?.waiting === 2)
    await until('people are told as well', async () =>
      /^requests {5}0 served, 1 running, 2 waiting, 3 connections, \d+\/s$/m.test(
        (await site.command('status')).stdout,
      ),
    )
    expect((await statusOf(site)).pool?.children.map(({ inflight }) => inflight)).toEqual([1])
    go()
    for (const one of [reply, ...others]) expect((await one).status).toBe(200)
    await until('nobody waits', async () => (await statusOf(site)).queue?.waiting === 0)
    expect((await site.command('stop')).code).toBe(0)
  })

  it('counts workers that crashed, reloads, and reloads that failed', async () => {
    const site = home()
    await site.start('method=prefork', 'maxchildren=2')
    const [victim] = (await statusOf(site)).pool?.children ?? []
    process.kill(victim?.pid as number, 'SIGKILL')
    await until('it is counted and replaced', async () => {
      const { pool } = await statusOf(site)
      return pool?.crashed === 1 && pool.children.filter(({ phase }) => phase === 'ready').length === 2
    })
    expect((await site.command('reload')).code).toBe(0)
    site.folder.file('app.js', "throw new Error('half an edit')")
    expect((await site.command('reload')).code).toBe(1)
    const { pool } = await statusOf(site)
    expect(pool).toMatchObject({ generation: 2, reloads: 1, failedReloads: 1, crashed: 1, maxchildren: 2 })
    expect(pool?.lastFailure).toContain('half an edit')
    expect(pool?.lately.map(({ text }) => text)).toEqual([`worker ${victim?.id} ended: signal SIGKILL`])
    for (const { memory } of pool?.children ?? []) expect(memory).toBeGreaterThan(10_000_000)
    expect((await site.command('stop')).code).toBe(0)
  })

  it('keeps what workers have served that are gone', async () => {
    const site = home()
    await site.start('method=prefork')
    for (let at = 0; at < 5; at++) await site.get()
    await until('it is told', async () => (await statusOf(site)).traffic.requests === 5)
    expect((await site.command('reload')).code).toBe(0)
    await until('the old ones are gone', async () =>
      ((await statusOf(site)).pool?.children ?? []).every(({ generation }) => generation === 2),
    )
    expect((await statusOf(site)).traffic.requests).toBe(5)
    expect((await site.command('stop')).code).toBe(0)
  })
})

describe('status', () => {
  it('ends with 1 if nothing runs; in JSON it says so on standard output', async () => {
    const site = home()
    expect(await site.command('status')).toMatchObject({
      code: 1,
      stdout: '',
      stderr: `runfcgi: not running (pidfile ${site.pidfile})\n`,
    })
    const { code, stdout } = await site.command('status', '--json')
    expect([code, JSON.parse(stdout)]).toEqual([1, { state: 'not running' }])
  })

  it('says that it starts, and that it stops', async () => {
    const site = home({
      'app.js': `
        import { existsSync, writeFileSync } from 'node:fs'
        while (!existsSync('load')) await new Promise(resolve => setTimeout(resolve, 5))
        export default async (request, response) => {
          writeFileSync('slow', '')
          while (!existsSync('go')) await new Promise(resolve => setTimeout(resolve, 5))
          response.end()
        }`,
    })
    const running = site.begin('stand', 'socket=site.sock')
    await until('its control socket is there', () => existsSync(`${site.pidfile}.control`))
    expect((await statusOf(site)).state).toBe('starting')
    expect((await site.command('reload')).stderr).toContain('it is still starting')
    site.folder.file('load', '')
    await until('it serves', () => existsSync(site.socket))
    await slowRequest(site)
    const stopping = site.begin('stop')
    await until('it stops', async () => (await statusOf(site)).state === 'stopping')
    expect((await site.command('reload')).stderr).toContain('it is stopping')
    site.folder.file('go', '')
    expect((await stopping.outcome()).code).toBe(0)
    expect((await running.outcome()).code).toBe(0)
    site.expectNothingLeft()
  })

  it('tells what it can if the control socket is gone', async () => {
    const site = home()
    await site.start()
    rmSync(`${site.pidfile}.control`)
    const { code, stdout } = await site.command('status')
    expect(code).toBe(0)
    expect(stdout).toBe(`process ${site.pid()} runs, and cannot tell more: connect ENOENT ${site.pidfile}.control\n`)
    expect((await site.command('stop')).code).toBe(0)
  })

  it('refuses to watch where nobody looks, and watches for programs', async () => {
    const site = home()
    await site.start()
    expect(await site.command('status', '--watch')).toMatchObject({ code: 2, stdout: '' })
    const watching = site.begin('status', '--watch', '--json')
    const lines = (): string[] => watching.stdout().split('\n').slice(0, -1)
    await until('two lines are there', () => lines().length >= 2)
    expect((await site.command('stop')).code).toBe(0)
    await until('it says that it is gone', () => lines().some(line => line.includes('not running')))
    for (const line of lines()) expect(JSON.parse(line).state).toBeTypeOf('string')
    watching.kill('SIGINT')
    expect((await watching.outcome()).code).toBe(0)
  })
})

describe.runIf(hasScript)('on a terminal', () => {
  const terminals = new Set<ReturnType<typeof spawn>>()

  afterEach(() => {
    for (const terminal of terminals) terminal.kill('SIGKILL')
    terminals.clear()
  })

  function onTerminal(site: Home, command: string): { screen(): string; ended(): boolean } {
    const line = `exec '${process.execPath}' '${program}' ${command} pidfile=site.pid`
    const child = spawn('script', ['-qec', line, '/dev/null'], { cwd: site.folder.path })
    terminals.add(child)
    let screen = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      screen += text
    })
    return { screen: () => screen, ended: () => child.exitCode !== null }
  }

  it('status tells of a socket whose file was removed', async () => {
    const site = home()
    await site.start()
    expect((await site.command('status')).stdout).not.toContain('REMOVED')
    rmSync(site.socket)
    const { code, stdout } = await site.command('status')
    expect({ code, stdout }).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`             ${site.socket} WAS REMOVED: nobody can connect until a restart\n`),
    })
    expect(JSON.parse((await site.command('status', '--json')).stdout).removed).toEqual([site.socket])
    expect((await site.command('restart', 'socket=site.sock', 'errlog=err.log')).code).toBe(0)
    expect((await site.command('status')).stdout).not.toContain('REMOVED')
    expect((await site.command('stop')).code).toBe(0)
    site.expectNothingLeft()
  })

  it('status --watch draws again and again', async () => {
    const site = home()
    await site.start()
    const { screen } = onTerminal(site, 'status --watch')
    await until('it is drawn the third time', () => screen().split('\x1b[H\x1b[J').length > 3)
    expect(screen()).toMatch(/connections, 0\/s/)
    expect((await site.command('stop')).code).toBe(0)
    await until('it says that it is gone', () => screen().includes('not running'))
  })

  it('reload says how many children are new', async () => {
    const site = home()
    await site.start('method=threaded', 'maxchildren=1')
    site.folder.file(
      'app.js',
      `import { existsSync } from 'node:fs'
      while (!existsSync('go')) await new Promise(resolve => setTimeout(resolve, 5))
      export default (request, response) => response.end()`,
    )
    const { screen, ended } = onTerminal(site, 'reload')
    await until('it says so', () => screen().includes('reloading: 0 new children serve, 1 old ones'))
    site.folder.file('go', '')
    await until('it says that it is done', () => /runfcgi: process \d+ reloaded/.test(screen()))
    await until('the terminal is closed', ended)
    expect((await site.command('stop')).code).toBe(0)
  })

  it('stop says what it waits for when that takes longer than a second', async () => {
    const site = home()
    await site.start()
    const { go } = await slowRequest(site)
    const { screen, ended } = onTerminal(site, 'stop')
    await until('it says so', () => /stopping: 1 request runs, \d+ s left/.test(screen()))
    go()
    await until('it says that it has ended', () => /runfcgi: process \d+ has ended/.test(screen()))
    await until('the terminal is closed', ended)
    site.expectNothingLeft()
  })
})
