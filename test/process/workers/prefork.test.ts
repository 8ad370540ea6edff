/**
 * What only method=prefork does: processes that die one by one, or whose primary does; signals that reach the whole group
 * of processes; lines that come from many processes and go to one file. What all methods promise is in pool.test.ts.
 */

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, renameSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Folder, launch, project, type Running } from '../../cli/command.ts'
import { type ProbeOptions, probe } from '../../support/probe.ts'
import { isAlive, openIn } from '../../support/processes.ts'
import { until } from '../../support/until.ts'
import { Client, PLAIN } from '../../support/wire.ts'

const APP = `
import { existsSync, writeFileSync, writeSync } from 'node:fs'
import { url } from 'node:inspector'
import { setTimeout as sleep } from 'node:timers/promises'
let served = 0
export default async (request, response) => {
  if (request.url === '/print') {
    console.log('printed by ' + process.pid)
    console.error('complained by ' + process.pid)
  }
  if (request.url.startsWith('/wait-')) {
    writeFileSync(request.url.slice(1), '')
    while (!existsSync('go')) await sleep(5)
  }
  if (request.url === '/options') {
    response.end(process.execArgv.join(' ') || 'none')
    return
  }
  if (request.url === '/debugger') {
    response.end(url() === undefined ? '0' : '1')
    return
  }
  if (request.url === '/deafen') for (const handle of process._getActiveHandles()) if (handle.listening) handle.close()
  if (request.url === '/usr1') process.on('SIGUSR1', () => {})
  if (request.url === '/loop') for (;;);
  if (request.url === '/last-words') {
    writeSync(2, 'x'.repeat(50_000) + ' the end\\n')
    process.exit(1)
  }
  if (request.url === '/burn') for (const end = performance.now() + 5; performance.now() < end; );
  if (request.url === '/length') {
    let length = 0
    for await (const chunk of request) length += chunk.length
    response.end(String(length))
    return
  }
  if (request.url === '/served') {
    response.end(process.pid + ' served ' + ++served)
    return
  }
  if (request.url === '/crash') setTimeout(() => { throw new Error('on purpose') })
  response.end(String(process.pid))
}
`

/** The CGI variables of a request for a path. */
const atPath = (path: string): Record<string, string> => ({
  ...PLAIN,
  REQUEST_URI: path,
  SCRIPT_NAME: '',
  PATH_INFO: path,
})

interface Site {
  readonly folder: Folder
  readonly running: Running
  readonly path: string
  /** The pid of the worker that answered. */
  get(path?: string, options?: Partial<ProbeOptions>): Promise<number>
  /** A request that is being answered, once the application has begun it. */
  begin(name: string): Promise<{ readonly reply: Promise<number> }>
}

/** Once all its workers have answered. */
async function stand(...args: string[]): Promise<Site> {
  const site = await standAlone(...args)
  const expected = args.includes('maxchildren=1') ? 1 : 2
  await until(`${expected} workers are ready`, async () => {
    const asked = await Promise.all(Array.from({ length: 16 }, () => site.get()))
    return new Set(asked).size === expected
  })
  return site
}

async function standAlone(...args: string[]): Promise<Site> {
  const folder = project({ 'app.js': APP, 'settings.json': '{}' })
  const path = join(folder.path, 'site.sock')
  const running = launch(['stand', `socket=${path}`, 'method=prefork', 'maxchildren=2', ...args], {
    cwd: folder.path,
  })
  await running.says('"ready"')
  return { folder, running, path, get, begin }

  async function get(url = '/', options: Partial<ProbeOptions> = {}): Promise<number> {
    return Number((await probe({ target: { kind: 'unix', path }, path: url, ...options })).body)
  }

  async function begin(name: string): Promise<{ readonly reply: Promise<number> }> {
    const reply = get(`/wait-${name}`)
    reply.catch(() => {})
    await until(`${name} has begun`, () => existsSync(join(folder.path, `wait-${name}`)))
    return { reply }
  }
}

async function stopped({ running, path }: Site): Promise<void> {
  running.kill('SIGTERM')
  expect(await running.outcome()).toMatchObject({ code: 0, signal: null })
  expect(existsSync(path)).toBe(false)
}

function workersOf({ running }: Site): number[] {
  const pids = execFileSync('ps', ['-o', 'pid=', '--ppid', String(running.child.pid)], { encoding: 'utf8' })
  return pids.trim().split(/\s+/).map(Number)
}

/** Whether the process has the listening socket of the site open; it may have been bound under another name beside it. */
function hasListener(pid: number, { folder }: Site): boolean {
  const lines = readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .map(line => line.trim().split(/\s+/))
  const listening = lines.filter(([, , , flags, , , , path]) => flags === '00010000' && path?.startsWith(folder.path))
  const inodes = listening.map(line => line[6])
  const open = openIn(pid)
  return inodes.some(inode => open.includes(`socket:[${inode}]`))
}

describe.each(['shared', 'round-robin'])('prefork with balance=%s', balance => {
  it('loses only the requests of a worker that is killed, and replaces it', async () => {
    const site = await stand(`balance=${balance}`)
    const [one, two] = [await site.begin('one'), await site.begin('two')]
    const free = await site.get()
    process.kill(free, 'SIGKILL')
    await site.running.says('died: signal SIGKILL')
    site.folder.file('go', '')
    const outcomes = await Promise.allSettled([one.reply, two.reply])
    for (const outcome of outcomes) if (outcome.status === 'fulfilled') expect(outcome.value).not.toBe(free)
    await until('another worker answers', async () => ![free, undefined].includes(await site.get()))
    await until('it was replaced', () => (site.running.stderr().match(/started worker/g) ?? []).length === 3)
    await stopped(site)
    expect(isAlive(free)).toBe(false)
  })

  it('loses no request while workers are replaced under load', async () => {
    const site = await stand(`balance=${balance}`)
    let asking = true
    const workers = new Set<number>()
    const load = Promise.all(
      Array.from({ length: 4 }, async () => {
        while (asking) workers.add(await site.get())
      }),
    )
    load.catch(() => {})
    for (const generation of [1, 2, 3, 4]) {
      if (generation > 1) {
        site.running.kill('SIGHUP')
        await site.running.says(`generation ${generation} serves`)
      }
      await until('two workers of each have answered', () => workers.size >= 2 * generation)
    }
    asking = false
    await load
    await stopped(site)
  })

  it('answers what has begun when its primary is killed, and then ends', async () => {
    const site = await stand(`balance=${balance}`)
    const pid = await site.get()
    const waiting = await site.begin('one')
    site.running.kill('SIGKILL')
    await until('the primary has ended', () => !isAlive(site.running.child.pid as number))
    site.folder.file('go', '')
    const answerer = await waiting.reply
    await until('the workers have ended', () => !isAlive(pid) && !isAlive(answerer))
  })

  it('leaves no process behind', async () => {
    const site = await stand(`balance=${balance}`)
    const pids = await Promise.all(Array.from({ length: 16 }, () => site.get()))
    await stopped(site)
    expect(pids.filter(isAlive)).toEqual([])
  })

  it('leaves an open connection to another worker when one is replaced', async () => {
    const site = await stand(`balance=${balance}`)
    const client = new Client(connect(site.path))
    const silent = new Client(connect(site.path))
    const first = (await client.ask()).text
    for (let nth = 0; nth < 5; nth++) expect((await client.ask()).text).toBe(first)
    site.running.kill('SIGHUP')
    await site.running.says('generation 2 serves')
    const second = (await client.ask()).text
    expect(second).not.toBe(first)
    for (let nth = 0; nth < 5; nth++) expect((await client.ask()).text).toBe(second)
    expect((await silent.ask()).status).toBe(200)
    expect(client.ending ?? silent.ending).toBeUndefined()
    await stopped(site)
    expect([await client.closed(), await silent.closed()]).toEqual(['end', 'end'])
  })

  it('answers every request on connections that stay open while workers are replaced again and again', async () => {
    const site = await stand(`balance=${balance}`)
    let asking = true
    const answerers = new Set<string>()
    const clients = Array.from({ length: 8 }, () => new Client(connect(site.path)))
    const load = clients.map(async client => {
      while (asking) answerers.add((await client.ask({ body: 'x'.repeat(16_000) })).text)
    })
    for (let generation = 2; generation <= 6; generation++) {
      const before = answerers.size
      site.running.kill('SIGHUP')
      await site.running.says(`generation ${generation} serves`)
      await until('a new worker has answered', () => answerers.size > before)
    }
    asking = false
    await Promise.all(load)
    expect(clients.map(({ ending }) => ending)).toEqual(clients.map(() => undefined))
    await stopped(site)
  })

  it('goes on serving hundreds of connections while they pass to others', async () => {
    const site = await stand(`balance=${balance}`)
    const clients: Client[] = []
    while (clients.length < 300) {
      const client = new Client(connect(site.path), { compare: false })
      await client.ask()
      clients.push(client)
    }
    site.running.kill('SIGHUP')
    let reloaded = false
    const settled = site.running.says('generation 2 serves').then(() => {
      reloaded = true
    })
    while (!reloaded) for (const client of clients.slice(0, 10)) expect((await client.ask()).status).toBe(200)
    await settled
    for (const client of clients) expect((await client.ask()).status).toBe(200)
    expect(clients.filter(({ ending }) => ending !== undefined)).toEqual([])
    for (const client of clients) client.socket.destroy()
    await stopped(site)
  })

  it('leaves idle connections to others at once when a worker has a request to finish first', async () => {
    const site = await stand(`balance=${balance}`)
    const idle = Array.from({ length: 4 }, () => new Client(connect(site.path)))
    for (const client of idle) expect((await client.ask()).status).toBe(200)
    const [one, two] = [await site.begin('one'), await site.begin('two')]
    site.running.kill('SIGHUP')
    await site.running.says('generation 2 serves')
    for (const client of idle) expect((await client.ask()).status).toBe(200)
    site.folder.file('go', '')
    await Promise.all([one.reply, two.reply])
    await stopped(site)
  })

  it('gives each request a fresh application with maxrequests=1, on connections that stay open', async () => {
    const site = await standAlone(`balance=${balance}`, 'maxrequests=1')
    const clients = Array.from({ length: 3 }, () => new Client(connect(site.path)))
    const answers = clients.map(async client => {
      const served: string[] = []
      while (served.length < 4) served.push((await client.ask({ params: atPath('/served') })).text)
      return served
    })
    const workers = (await Promise.all(answers)).flat()
    expect(workers.every(text => text.endsWith(' served 1'))).toBe(true)
    expect(new Set(workers).size).toBe(12)
    expect(clients.map(({ ending }) => ending)).toEqual(clients.map(() => undefined))
    const retiredFor = (reason: string): number => site.running.stderr().split(`: ${reason}"`).length - 1
    await until('those that have answered are replaced', () => retiredFor('maxrequests 1') >= 12)
    await stopped(site)
    const log = site.running.stderr()
    const started = [...log.matchAll(/started worker (\d+): ([^"]+)/g)]
    const retired = [...log.matchAll(/retired worker (\d+): ([^"]+)/g)]
    expect(new Set(started.map(([, id]) => id)).size).toBe(started.length)
    expect(new Set(retired.map(([, id]) => id)).size).toBe(retired.length)
    expect(retired.filter(([, , reason]) => reason === 'maxrequests 1')).toHaveLength(12)
    expect(started.map(([, , reason]) => reason?.replace(/\d+/g, '…'))).toContain('to replace child …')
  })

  it('answers on connections of a worker that crashes, once there is another', async () => {
    const site = await stand(`balance=${balance}`, 'maxchildren=1')
    const clients = Array.from({ length: 4 }, () => new Client(connect(site.path)))
    const [first] = await Promise.all(clients.map(async client => (await client.ask()).text))
    const silent = new Client(connect(site.path))
    expect((await clients[0]?.ask({ params: atPath('/crash') }))?.text).toBe(first)
    await site.running.says('uncaught: on purpose')
    for (const client of [silent, ...clients]) expect((await client.ask()).text).not.toBe(first)
    await stopped(site)
  })

  it.runIf(balance === 'shared')('replaces a worker whose listening socket the application has closed', async () => {
    const site = await stand('maxchildren=1')
    const deaf = await site.get('/deafen')
    expect(await site.get()).not.toBe(deaf)
    expect(site.running.stderr()).toContain('uncaught: the application has closed a listening socket of runfcgi')
    await stopped(site)
  })

  it('loses no request on a new connection while workers crash', async () => {
    const site = await stand(`balance=${balance}`)
    let asking = true
    const load = Promise.all(
      Array.from({ length: 4 }, async () => {
        let answered = 0
        for (; asking; answered++) expect(await site.get()).toBeGreaterThan(0)
        return answered
      }),
    )
    load.catch(() => {})
    for (let nth = 1; nth <= 4; nth++) {
      expect(await site.get('/crash')).toBeGreaterThan(0)
      await until(`crash ${nth} is seen`, () => site.running.stderr().split('"uncaught: on purpose"').length > nth)
      await until('both workers serve', async () => {
        const asked = await Promise.all(Array.from({ length: 8 }, () => site.get()))
        return new Set(asked).size === 2
      })
    }
    asking = false
    expect(Math.min(...(await load))).toBeGreaterThan(4)
    await stopped(site)
  })

  it('answers a client that closes its side first', async () => {
    const site = await stand(`balance=${balance}`)
    const client = new Client(connect(site.path))
    const reply = client.ask({ keep: false })
    client.socket.end()
    expect((await reply).status).toBe(200)
    await stopped(site)
  })
})

it('counts the time of a request from when it begins, not while it waits for one that takes too long', async () => {
  const site = await stand('maxchildren=1', 'concurrency=1', 'request-timeout=1')
  const target = { kind: 'unix', path: site.path } as const
  const first = probe({ target, path: '/wait-first' })
  await until('the first has begun', () => existsSync(join(site.folder.path, 'wait-first')))
  const second = probe({ target, path: '/wait-second' })
  // By the time that it begins it has waited for more than it may take.
  const third = probe({ target, path: '/' })
  expect((await first).status).toBe(504)
  expect((await second).status).toBe(504)
  expect((await third).status).toBe(200)
  site.folder.file('go', '')
  await stopped(site)
})

it('answers everything rightly while workers are at their limit, crash, and are replaced', async () => {
  const site = await stand('concurrency=1', 'maxrequests=40')
  const clients = Array.from({ length: 8 }, () => new Client(connect(site.path)))
  let asking = true
  const wrong: string[] = []
  const load = clients.map(async (client, at) => {
    for (let nth = at; asking; nth++) {
      const body = 'x'.repeat(1 + ((nth * 7_919) % 50_000))
      const { text } = await client.ask({ params: atPath('/length'), body })
      if (text !== String(body.length)) wrong.push(`${text} instead of ${body.length}`)
      if (nth % 100 === 50) await client.ask({ params: atPath('/crash') })
    }
  })
  for (const generation of [2, 3, 4]) {
    site.running.kill('SIGHUP')
    await site.running.says(`generation ${generation} serves`)
  }
  asking = false
  await Promise.all(load)
  expect(wrong).toEqual([])
  expect(clients.map(({ ending }) => ending)).toEqual(clients.map(() => undefined))
  await stopped(site)
})

it('lets a request that waits for a busy worker be answered by another that has nothing to do', async () => {
  const site = await standAlone('concurrency=1')
  const clients = Array.from({ length: 6 }, () => new Client(connect(site.path)))
  const pids = await Promise.all(clients.map(async client => (await client.ask()).text))
  const together = clients.filter((_, at) => pids[at] === pids[0])
  expect(together.length).toBeGreaterThan(1)
  const [first, ...others] = together as [Client, ...Client[]]
  const busy = first.ask({ params: atPath('/wait-first') })
  await until('it has begun', () => existsSync(join(site.folder.path, 'wait-first')))
  const body = 'x'.repeat(40_000)
  const replies = await Promise.all(others.map(client => client.ask({ body, params: atPath('/length') })))
  for (const { status, text } of replies) expect({ status, text }).toEqual({ status: 200, text: '40000' })
  for (const client of others) expect((await client.ask()).text).not.toBe(pids[0])
  site.folder.file('go', '')
  expect((await busy).text).toBe(pids[0])
  expect(clients.map(({ ending }) => ending)).toEqual(clients.map(() => undefined))
  await stopped(site)
})

it('evens connections that are kept and in use when one event loop is full and others are idle', async () => {
  const site = await stand('maxchildren=1', 'log-level=debug')
  const clients = Array.from({ length: 24 }, () => new Client(connect(site.path)))
  await Promise.all(clients.map(client => client.ask()))
  const silent = new Client(connect(site.path))
  const last: string[] = []
  let asking = true
  const load = clients.map(async (client, at) => {
    while (asking) last[at] = (await client.ask({ params: atPath('/burn') })).text
  })
  for (const size of [2, 3]) {
    site.running.kill('SIGTTIN')
    await site.running.says(`maxchildren is now ${size}`)
  }
  const shares = (): number[] => [...new Set(last)].map(pid => last.filter(other => other === pid).length)
  await until('each has its share', () => shares().length === 3 && Math.max(...shares()) <= 12)
  asking = false
  await Promise.all(load)
  expect((await silent.ask()).status).toBe(200)
  expect([silent, ...clients].filter(({ ending }) => ending !== undefined)).toEqual([])
  expect(site.running.stderr()).toMatch(/"leaves \d+ connections to worker /)
  await stopped(site)
})

it('replaces workers that are killed before they have served anything', async () => {
  const site = await standAlone('minspare=2')
  await site.running.says('started worker 2')
  const [first, second] = workersOf(site) as [number, number]
  process.kill(first, 'SIGKILL')
  await site.running.says('started worker 3')
  process.kill(second, 'SIGKILL')
  await site.running.says('started worker 4')
  await until('one serves', async () => (await site.get().catch(() => 0)) > 0)
  await stopped(site)
})

it('hands out connections from the reload on that brings concurrency, and loses no request by it', async () => {
  const site = await stand('config=settings.json')
  const client = new Client(connect(site.path))
  expect((await client.ask()).status).toBe(200)
  expect(workersOf(site).map(pid => hasListener(pid, site))).toEqual([true, true])
  let asking = true
  const load = Promise.all(
    Array.from({ length: 4 }, async () => {
      while (asking) expect(await site.get()).toBeGreaterThan(0)
    }),
  )
  load.catch(() => {})
  site.folder.file('settings.json', '{ "concurrency": 1 }')
  site.running.kill('SIGHUP')
  await site.running.says('generation 2 serves')
  await until('workers do not accept', () => !workersOf(site).some(pid => hasListener(pid, site)))
  expect(await site.get()).toBeGreaterThan(0)
  const [one, two] = [await site.begin('one'), await site.begin('two')]
  site.folder.file('go', '')
  expect(await one.reply).not.toBe(await two.reply)
  site.folder.file('settings.json', '{ "concurrency": 0 }')
  site.running.kill('SIGHUP')
  await site.running.says('generation 3 serves')
  asking = false
  await load
  expect((await client.ask()).status).toBe(200)
  expect(client.ending).toBeUndefined()
  await stopped(site)
})

it('a worker is not ended by signals that are meant for its primary', async () => {
  const site = await stand()
  const pid = await site.get()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const)
    process.kill(pid, signal)
  await until('the same worker answers', async () => (await site.get()) === pid)
  await stopped(site)
})

it('closes the debugger of a worker that somebody else has opened by SIGUSR1, and keeps its address to itself', async () => {
  const site = await stand('maxchildren=1')
  const pid = await site.get()
  expect((await probe({ target: { kind: 'unix', path: site.path }, path: '/options' })).body.toString()).toBe('none')
  for (const times of [1, 2]) {
    process.kill(pid, 'SIGUSR1')
    await until('it is told', () => site.running.stderr().split('has opened its debugger').length > times)
    await until('it is closed', async () => (await site.get('/debugger')) === 0)
  }
  expect(await site.get()).toBe(pid)
  await stopped(site)
  expect(site.running.stderr()).not.toMatch(/ws:|Debugger|For help/)
})

it('kills a worker that hangs and uses SIGUSR1 for something else, without its stack', async () => {
  const site = await stand('maxchildren=1', 'hang-timeout=5')
  const pid = await site.get('/usr1')
  await site.get('/loop').catch(() => undefined)
  await until('it was replaced', async () => ![pid, undefined].includes(await site.get().catch(() => undefined)))
  expect(site.running.stderr()).toMatch(/its event loop has not turned/)
  expect(site.running.stderr()).not.toContain('"stack"')
  await stopped(site)
})

it('loses nothing of what a worker writes to standard error when it ends', async () => {
  const site = await stand('maxchildren=1')
  const [pid, length] = [await site.get(), 50_000]
  await site.get('/last-words').catch(() => undefined)
  await until('it was replaced', async () => ![pid, undefined].includes(await site.get().catch(() => undefined)))
  await until('its last words are there', () => site.running.stderr().includes(`${'x'.repeat(length)} the end\n`))
  await stopped(site)
})

it('serves a TCP port with all workers, and none but the clients that may connect', async () => {
  const folder = project({ 'app.js': APP })
  const args = ['stand', 'listen=127.0.0.1:0', 'method=prefork', 'minspare=2', 'maxchildren=2']
  const running = launch(args, { cwd: folder.path })
  await running.says('"ready"')
  const port = Number(/127\.0\.0\.1:(\d+)/.exec(running.stderr())?.[1])
  const target = { kind: 'tcp', host: '127.0.0.1', port } as const
  const pids = new Set<string>()
  await until('both have answered', async () => {
    const replies = await Promise.all(Array.from({ length: 8 }, () => probe({ target, path: '/' })))
    for (const { body } of replies) pids.add(body.toString())
    return pids.size === 2
  })
  running.kill('SIGTERM')
  expect(await running.outcome()).toMatchObject({ code: 0 })

  const closed = launch([...args, 'allowed-clients=192.0.2.1'], { cwd: folder.path })
  await closed.says('"ready"')
  const other = Number(/127\.0\.0\.1:(\d+)/.exec(closed.stderr())?.[1])
  await expect(probe({ target: { ...target, port: other }, path: '/' })).rejects.toThrow()
  await closed.says('not in allowed-clients')
  closed.kill('SIGTERM')
  expect(await closed.outcome()).toMatchObject({ code: 0 })
})

it('writes the access log, and what workers print, to the files of the primary, which opens them again', async () => {
  const folder = project({ 'app.js': APP })
  const path = join(folder.path, 'site.sock')
  const files = ['outlog=out.log', 'errlog=err.log', 'access-log=access.log']
  const running = launch(['stand', `socket=${path}`, 'method=prefork', ...files], { cwd: folder.path })
  const text = (name: string): string =>
    existsSync(join(folder.path, name)) ? readFileSync(join(folder.path, name), 'utf8') : ''
  await until('it is ready', () => text('err.log').includes('"ready"'))
  const get = async (): Promise<string> =>
    (await probe({ target: { kind: 'unix', path }, path: '/print' })).body.toString()
  const pid = await get()
  await until('it is printed', () => text('out.log').includes(`printed by ${pid}\n`))
  await until('it is complained', () => text('err.log').includes(`complained by ${pid}\n`))
  await until('it is in the access log', () => text('access.log').includes('"GET /print HTTP/1.1" 200'))

  for (const name of ['out.log', 'access.log']) renameSync(join(folder.path, name), join(folder.path, `${name}.1`))
  running.kill('SIGUSR1')
  await until('they are opened again', () => text('err.log').includes('opened again'))
  const next = await get()
  await until('it is printed to the new file', () => text('out.log').includes(`printed by ${next}\n`))
  await until('the new access log has it', () => text('access.log').includes('"GET /print HTTP/1.1" 200'))
  running.kill('SIGTERM')
  expect(await running.outcome()).toMatchObject({ code: 0, stdout: '', stderr: '' })
})
