/** What a pool of children promises, for every method: real processes, a real socket, the command as a person runs it. */

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, rmSync, symlinkSync, utimesSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { type Folder, launch, project, type Running } from '../../cli/command.ts'
import { type ProbeOptions, probe } from '../../support/probe.ts'
import { soon, until } from '../../support/until.ts'
import { connectClient, PLAIN, request } from '../../support/wire.ts'

const METHODS = ['threaded', 'prefork'] as const

/** Longer than a healthy child waits for a processor on a machine that has twenty others to run. */
const HANG = 'hang-timeout=5'

/** How a process ends with a thread in it that does not end. */
const BY_FORCE = 'execve' in process ? { code: 0, signal: null } : { code: null, signal: 'SIGKILL' }

/** `VERSION` is what tells one generation from the next; `who` tells one child from another. */
const app = (version: string): string => `
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { threadId } from 'node:worker_threads'
const who = process.pid + '.' + threadId
let served = 0
const routes = {
  '/who': () => who,
  '/version': () => '${version}',
  '/served': () => String(++served),
  '/slow': async (request) => {
    writeFileSync('slow-' + request.headers['x-name'], '')
    while (!existsSync('go')) await sleep(5)
    return 'slow done'
  },
  '/loop': () => { for (;;); },
  '/eat': () => { for (const kept = [];;) kept.push(JSON.parse('{"a":[1,2,3],"b":{"c":"d"}}')) },
  '/deaf': () => readFileSync('fifo'),
  '/answered': (request, response) => { response.once('finish', () => { for (;;); }); return 'answered' },
  '/string': () => new Promise(reply => {
    setTimeout(() => { throw 'just a string' }, 1)
    setTimeout(reply, 1, 'thrown soon')
  }),
  '/late': async () => { setTimeout(() => { throw new Error('thrown late') }); return 'thrown soon' },
  '/exit': () => { process.exit(7) },
  '/hash': async request => {
    const hash = createHash('sha256')
    for await (const chunk of request) hash.update(chunk)
    return hash.digest('hex')
  },
  '/abort': async request => {
    writeFileSync('abort-waits', '')
    await new Promise(resolve => request.signal.addEventListener('abort', resolve))
    writeFileSync('abort-seen', request.signal.reason.name)
  },
}
const stream = { written: 0, closed: false }
export default async (request, response) => {
  if (request.url === '/stream') {
    response.on('close', () => { stream.closed = true })
    while (!stream.closed) {
      stream.written += 50_000
      if (!response.write(Buffer.alloc(50_000, 'x'))) await new Promise(resolve => response.once('drain', resolve))
    }
    return
  }
  if (request.url === '/stream-state') return response.end(JSON.stringify(stream))
  if (request.url === '/big') {
    for (let at = 0; at < 400; at++) if (!response.write(Buffer.alloc(50_000, at))) await new Promise(resolve => response.once('drain', resolve))
    response.end()
    return
  }
  response.end(await routes[request.url](request, response))
}
`

interface Site {
  readonly folder: Folder
  readonly running: Running
  readonly socket: string
  get(path: string, options?: Partial<ProbeOptions>): Promise<{ status: number; text: string; retryAfter: boolean }>
  /** A request that is being answered, once the application has begun it. */
  slow(name: string): Promise<{ reply: Promise<{ status: number; text: string }> }>
}

async function stand(method: string, ...args: string[]): Promise<Site> {
  const folder = project({ 'app.js': app('one'), 'settings.mjs': 'export default {}' })
  const socket = join(folder.path, 'site.sock')
  const running = launch(['stand', `socket=${socket}`, `method=${method}`, 'maxchildren=2', ...args], {
    cwd: folder.path,
  })
  await running.says('"ready"')
  const get: Site['get'] = async (path, options) => {
    const { status, headers, body } = await probe({ target: { kind: 'unix', path: socket }, path, ...options })
    const retryAfter = headers.some(([name]) => name.toLowerCase() === 'retry-after')
    return { status, text: body.toString(), retryAfter }
  }
  const slow: Site['slow'] = async name => {
    const reply = get('/slow', { headers: [['X-Name', name]] })
    await until(`${name} has begun`, () => existsSync(join(folder.path, `slow-${name}`)))
    return { reply }
  }
  return { folder, running, socket, get, slow }
}

/** Of the first log line with these words. */
const logged = ({ running }: Site, words: string): { stack: string[]; running: object[] } => {
  const line = running
    .stderr()
    .split('\n')
    .find(text => text.includes(words))
  return JSON.parse(line ?? '{}')
}

const stopped = async ({ running, socket }: Site): Promise<void> => {
  running.kill('SIGTERM')
  expect(await running.outcome()).toMatchObject({ code: 0, signal: null })
  expect(existsSync(socket)).toBe(false)
}

describe.each(METHODS)('method=%s', method => {
  it('answers with every child, and ends them all', async () => {
    const site = await stand(method, 'concurrency=1')
    const seen = new Set<string>()
    await until('both have answered', async () => {
      const replies = await Promise.all([site.get('/who'), site.get('/who')])
      for (const { text } of replies) seen.add(text)
      return seen.size === 2
    })
    const [one, two] = [await site.slow('one'), await site.slow('two')]
    site.folder.file('go', '')
    expect([(await one.reply).text, (await two.reply).text]).toEqual(['slow done', 'slow done'])
    await stopped(site)
  })

  it('carries bodies and replies of any size whole', async () => {
    const site = await stand(method)
    const body = Buffer.alloc(5_000_000, 'body ')
    expect((await site.get('/hash', { method: 'POST', body })).text).toBe(
      createHash('sha256').update(body).digest('hex'),
    )
    for (let round = 0; round < 5; round++) expect((await site.get('/big')).text.length).toBeGreaterThan(1_000_000)
    await stopped(site)
    expect(site.running.stderr()).not.toMatch(/uncaught|killed/)
  })

  it('lets an endless reply run no further ahead of a slow reader than a few buffers, and tells it when he leaves', async () => {
    const site = await stand(method, 'maxchildren=1')
    const state = async () => JSON.parse((await site.get('/stream-state')).text)
    const reader = await connectClient({ path: site.socket }, { keepContent: false })
    reader.send(request({ params: { ...PLAIN, REQUEST_URI: '/stream', PATH_INFO: '/stream', SCRIPT_NAME: '' } }))
    reader.socket.pause()
    const stillness = async (): Promise<number> => {
      for (let last = -1; ; ) {
        const { written } = await state()
        if (written > 0 && written === last) return written
        last = written
        await sleep(200)
      }
    }
    const ahead = await stillness()
    expect(ahead).toBeLessThan(4_000_000)
    reader.socket.resume()
    await until('it goes on', async () => (await state()).written > ahead + 1_000_000)
    reader.socket.destroy()
    await until('it has been told', async () => (await state()).closed)
    await stopped(site)
  })

  it('tells the application when the client has gone', async () => {
    const site = await stand(method)
    const client = await connectClient({ path: site.socket })
    client.send(request({ params: { ...PLAIN, REQUEST_URI: '/abort', PATH_INFO: '/abort', SCRIPT_NAME: '' } }))
    await until('the application is at work', () => existsSync(join(site.folder.path, 'abort-waits')))
    client.socket.destroy()
    await until('the application has seen it', () => existsSync(join(site.folder.path, 'abort-seen')))
    await stopped(site)
  })

  it.runIf(method === 'prefork')('logs where a process stands that hangs, and what it was busy with', async () => {
    const site = await stand(method, HANG, 'maxchildren=1')
    await site.get('/loop').catch(() => undefined)
    await until('it was replaced', async () => (await site.get('/version').catch(() => undefined))?.status === 200)
    expect(site.running.stderr().match(/"level":"error".*has not turned/g)).toHaveLength(1)
    const { stack, running } = logged(site, 'has not turned')
    expect(stack[0]).toMatch(/^\/loop \(file:.*app\.js:\d+:\d+\)$/)
    expect(running).toMatchObject([{ method: 'GET', uri: '/loop' }])
    expect((running[0] as { age: number }).age).toBeGreaterThan(400)
    await stopped(site)
    expect(site.running.stderr()).not.toMatch(/ws:|Debugger|For help/)
  })

  it.runIf(method === 'prefork')('kills a process that a request holds up, and replaces it', async () => {
    const site = await stand(method, HANG)
    const loop = site.get('/loop').catch((error: Error) => error)
    expect(await loop).toBeInstanceOf(Error)
    await site.running.says('its event loop has not turned')
    await until('it serves with both', () => (site.running.stderr().match(/started worker/g) ?? []).length >= 3)
    expect((await site.get('/version')).status).toBe(200)
    await stopped(site)
  })

  it.runIf(method === 'threaded')('answers a request that never lets go with 504, and all others as ever', async () => {
    const site = await stand(method, 'request-timeout=3', 'hang-timeout=6')
    const loop = site.get('/loop')
    const others = await Promise.all(Array.from({ length: 40 }, () => site.get('/version')))
    expect(others.every(({ status }) => status === 200)).toBe(true)
    expect((await loop).status).toBe(504)
    expect((await site.get('/version')).status).toBe(200)
    await site.running.says('does not let go')
    expect(logged(site, 'is stuck').stack[0]).toMatch(/^\/loop \(file:.*app\.js:\d+:\d+\)$/)
    await stopped(site)
  })

  it.runIf(method === 'threaded')('waits no longer than request-timeout for what goes on after its reply', async () => {
    const site = await stand(method, 'maxchildren=1', 'request-timeout=1')
    const { reply } = await site.slow('one')
    expect((await site.get('/answered')).text).toBe('answered')
    site.folder.file('go', '')
    expect(await reply).toMatchObject({ status: 200, text: 'slow done' })
    expect(logged(site, 'is stuck').running).toMatchObject([{ uri: '/slow' }])
    await stopped(site)
  })

  it('names the request that threw, and what it threw, however late that is heard', async () => {
    const site = await stand(method, 'maxchildren=1')
    expect((await site.get('/string')).text).toBe('thrown soon')
    await site.running.says('uncaught')
    expect(logged(site, 'uncaught')).toMatchObject({ running: [{ uri: '/string' }], stack: 'just a string' })
    await stopped(site)
  })

  it.runIf(method === 'threaded')(
    'answers what runs out of memory as soon as its thread has ended, and ends no other',
    async () => {
      const site = await stand(method, 'max-memory=32m', 'hang-timeout=0')
      expect((await site.get('/eat')).status).toBe(503)
      await until('another is started', () => site.running.stderr().match(/started thread/g)?.length === 3)
      expect(site.running.stderr()).toMatch(/(worker|thread) \d died: .*memory/)
      expect((await site.get('/version')).status).toBe(200)
      expect(site.running.stderr().match(/ died: /g)).toHaveLength(1)
      await stopped(site)
    },
  )

  it.runIf(method === 'threaded' && process.platform !== 'win32')(
    'answers for a thread that cannot be ended, and ends with it',
    async () => {
      const site = await stand(method, HANG)
      execFileSync('mkfifo', [join(site.folder.path, 'fifo')])
      expect((await site.get('/deaf')).status).toBe(503)
      expect(logged(site, 'cannot be ended')).toMatchObject({ level: 'error', child: expect.any(Number) })
      expect((await site.get('/version')).status).toBe(200)
      site.running.kill('SIGTERM')
      expect(await site.running.outcome()).toMatchObject(BY_FORCE)
      expect(existsSync(site.socket)).toBe(false)
    },
  )

  it.runIf(method === 'threaded' && process.platform !== 'win32')(
    'ends at once although a thread that stands still cannot be ended',
    async () => {
      const site = await stand(method, 'hang-timeout=0', 'graceful-timeout=1')
      execFileSync('mkfifo', [join(site.folder.path, 'fifo')])
      const deaf = site.get('/deaf').catch((error: Error) => error)
      await until('it stands still', async () => (await site.get('/version')).status === 200)
      // QUIT waits for nothing: only where the process can end with another program in its place is it as quick.
      for (const signal of 'execve' in process ? (['SIGQUIT'] as const) : (['SIGTERM', 'SIGTERM'] as const))
        site.running.kill(signal)
      expect(await site.running.outcome()).toMatchObject(BY_FORCE)
      await deaf
      expect(existsSync(site.socket)).toBe(false)
    },
  )

  it('gives the place of a request that timed out to the next in the queue', async () => {
    const site = await stand(method, 'maxchildren=1', 'concurrency=1', 'request-timeout=1')
    const { reply } = await site.slow('one')
    const waiting = site.get('/version')
    expect((await reply).status).toBe(504)
    expect(await waiting).toMatchObject({ status: 200, text: 'one' })
    site.folder.file('go', '')
    await stopped(site)
  })

  it('lets running requests finish after an uncaught exception, and replaces the child', async () => {
    const site = await stand(method, 'maxchildren=1')
    const { reply } = await site.slow('one')
    expect((await site.get('/late')).status).toBe(200)
    await site.running.says('thrown late')
    await until('another child serves', async () => (await site.get('/who')).status === 200)
    site.folder.file('go', '')
    expect(await reply).toMatchObject({ status: 200, text: 'slow done' })
    await stopped(site)
  })

  it('replaces a child at once that crashes right after it was of use, however often', async () => {
    const site = await stand(method, 'maxchildren=1')
    // Were they taken for children of no use, the next one would be waited for for a minute by now.
    for (let nth = 1; nth <= 10; nth++) {
      expect((await site.get('/late')).text).toBe('thrown soon')
      await until('it was heard', () => site.running.stderr().split('"uncaught: thrown late"').length > nth)
    }
    expect((await site.get('/version')).status).toBe(200)
    await stopped(site)
  })

  it('replaces a child that ends itself', async () => {
    const site = await stand(method)
    const before = await site.get('/who')
    const outcome = await site.get('/exit', { method: 'POST', body: 'x' }).catch(() => ({ status: 0 }))
    // The main thread answers for a thread that is gone; a process takes its connections with it.
    expect(outcome.status).toBe(method === 'threaded' ? 503 : 0)
    await until('it serves', async () => (await site.get('/who')).status === 200)
    expect(before.status).toBe(200)
    await stopped(site)
  })

  it('reloads: the new application serves, and a request of the old one is finished', async () => {
    const site = await stand(method)
    const { reply } = await site.slow('one')
    site.folder.file('app.js', app('two'))
    site.running.kill('SIGHUP')
    await site.running.says('generation 2 serves')
    expect((await site.get('/version')).text).toBe('two')
    site.folder.file('go', '')
    expect((await reply).text).toBe('slow done')
    await stopped(site)
  })

  it('keeps the old application when the new one does not load, says so once, and does not try again', async () => {
    const site = await stand(method)
    site.folder.file('app.js', 'this is no program')
    site.running.kill('SIGHUP')
    await site.running.says('reload failed')
    expect((await site.get('/version')).text).toBe('one')
    site.folder.file('app.js', app('two'))
    site.running.kill('SIGHUP')
    await site.running.says('serves')
    expect((await site.get('/version')).text).toBe('two')
    expect(site.running.stderr().match(/reload failed/g)).toHaveLength(1)
    await stopped(site)
  })

  it('reloads as soon as it serves when it was told to before', async () => {
    const folder = project({
      'app.js': `${app('one')}
      import { writeFileSync as write } from 'node:fs'
      write('loading', '')
      while (!existsSync('go-on')) await sleep(5)`,
    })
    const running = launch(['stand', 'socket=site.sock', `method=${method}`, 'maxchildren=1'], { cwd: folder.path })
    await until('the application is being loaded', () => existsSync(join(folder.path, 'loading')))
    running.kill('SIGHUP')
    await until('the signal has come', () => running.stderr().includes('SIGHUP'))
    folder.file('go-on', '')
    await running.says('generation 2 serves')
    running.kill('SIGTERM')
    expect((await running.outcome()).code).toBe(0)
  })

  it('reads the settings again at a reload: new children have them, and what has changed is logged', async () => {
    const site = await stand(method, 'config=settings.mjs', 'graceful-timeout=20')
    expect((await site.get('/version')).text).toBe('one')
    site.folder.file('settings.mjs', `export default { app: './other.js', 'max-params-size': 2000, backlog: 7 }`)
    site.folder.file('other.js', app('other'))
    site.running.kill('SIGHUP')
    await site.running.says('generation 2 serves')
    expect((await site.get('/version')).text).toBe('other')
    expect((await site.get('/version', { headers: [['X-Long', 'x'.repeat(3_000)]] })).status).toBe(431)
    expect(site.running.stderr()).toContain('max-params-size: 256k -> 2000 (settings.mjs)')
    expect(site.running.stderr()).toContain('changed, but needs a restart: backlog')
    await stopped(site)
  })

  it.each([
    ['cannot be read', `export default { maxchildren: 'many' }`, 'maxchildren=many (settings.mjs): must be'],
    ['name an application that does not load', `export default { app: './none.js', queue: 0 }`, 'none.js'],
  ])('keeps settings and application when the new settings %s', async (_what, content, message) => {
    const site = await stand(method, 'config=settings.mjs', 'maxchildren=1', 'concurrency=1')
    site.folder.file('settings.mjs', content)
    site.running.kill('SIGHUP')
    await site.running.says('reload failed')
    expect(site.running.stderr()).toContain(message)
    await site.get('/exit', { method: 'POST', body: 'x' }).catch(() => undefined)
    await until('another child serves', async () => {
      const reply = await site.get('/version').catch(() => undefined)
      return reply?.text === 'one'
    })
    const { reply } = await site.slow('one')
    const waiting = site.get('/version')
    site.folder.file('go', '')
    expect([(await reply).status, (await waiting).status]).toEqual([200, 200])
    await stopped(site)
  })

  it('reloads when a file of touch-reload is touched', async () => {
    const site = await stand(method, 'touch-reload=restart.txt')
    site.folder.file('app.js', app('two'))
    site.folder.file('restart.txt', '')
    await site.running.says('generation 2 serves')
    utimesSync(join(site.folder.path, 'restart.txt'), 1, 1)
    await site.running.says('generation 3 serves')
    expect((await site.get('/version')).text).toBe('two')
    await stopped(site)
  })

  it('goes on when a file of touch-reload cannot be looked at', async () => {
    const site = await stand(method, 'touch-reload=restart.txt,other.txt')
    symlinkSync('restart.txt', join(site.folder.path, 'restart.txt'))
    // Looked at after the first one.
    site.folder.file('other.txt', '')
    await site.running.says('generation 2 serves')
    rmSync(join(site.folder.path, 'restart.txt'))
    site.folder.file('restart.txt', '')
    await site.running.says('generation 3 serves')
    await stopped(site)
  })

  it('replaces a child after maxrequests, and says why', async () => {
    const site = await stand(method, 'maxrequests=5')
    await until('one has been retired', async () => {
      await site.get('/who')
      return /retired \w+ \d+: maxrequests 5/.test(site.running.stderr())
    })
    await stopped(site)
  })

  it('gives every request a fresh application with maxrequests=1', async () => {
    const site = await stand(method, 'maxrequests=1')
    for (let at = 0; at < 6; at++) expect((await site.get('/served')).text).toBe('1')
    await stopped(site)
  })

  it('lets requests wait for a child, up to the length of the queue; then 503 with Retry-After', async () => {
    const site = await stand(method, 'maxchildren=1', 'concurrency=1', 'queue=1')
    const running = await site.slow('one')
    const waiting = site.get('/version')
    await until('the queue is full', async () => (await site.get('/version')).status === 503)
    expect(await site.get('/version')).toMatchObject({ status: 503, retryAfter: true })
    site.folder.file('go', '')
    expect((await running.reply).status).toBe(200)
    expect((await waiting).status).toBe(200)
    await stopped(site)
  })

  it('finishes what runs on TERM, and does not wait on a second one', async () => {
    const site = await stand(method)
    const { reply } = await site.slow('one')
    site.running.kill('SIGTERM')
    await site.running.says('finishing what runs')
    site.running.kill('SIGTERM')
    expect((await reply).status).toBe(503)
    expect((await site.running.outcome()).code).toBe(0)
  })

  it('ends with exit code 3 and one line when the application does not load', async () => {
    const folder = project({ 'app.js': 'throw new Error("not today")' })
    const outcome = await launch(['stand', 'socket=x.sock', `method=${method}`, 'log-level=silent'], {
      cwd: folder.path,
    }).outcome()
    expect(outcome.code).toBe(3)
    expect(outcome.stderr.trimEnd().split('\n')).toEqual([expect.stringContaining('not today')])
    expect(existsSync(join(folder.path, 'x.sock'))).toBe(false)
  })

  it('keeps connections open that nobody uses, and answers on them', async () => {
    const site = await stand(method)
    const idle = await Promise.all(
      Array.from({ length: 50 }, async () => {
        const socket = connect(site.socket)
        await soon('connected', new Promise(resolve => socket.once('connect', resolve)))
        return socket
      }),
    )
    expect((await site.get('/version')).text).toBe('one')
    expect(idle.every(socket => !socket.destroyed)).toBe(true)
    for (const socket of idle) socket.destroy()
    await stopped(site)
  })
})
