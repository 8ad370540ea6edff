import { existsSync, readFileSync, renameSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { probe } from '../support/probe.ts'
import { until } from '../support/until.ts'
import { type Folder, launch, project, type Running, type SpawnOptions } from './command.ts'

/** Answers at once below /, after a file has appeared below /slow, and fails in different ways. */
const APP = `
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
console.log('out: loading')
console.error('err: loading')
export default {
  async fetch(request) {
    const { pathname } = new URL(request.url)
    if (pathname === '/slow') {
      console.error('err: slow began')
      while (!existsSync('go')) await sleep(5)
    }
    if (pathname === '/throw-later') setTimeout(() => { throw new Error('thrown behind its back') })
    if (pathname === '/reject') void Promise.reject(new Error('rejected behind its back'))
    if (pathname === '/exit') process.exit(7)
    if (pathname === '/fail') throw new Error('this request failed')
    return new Response('hello ' + pathname + ' in ' + process.cwd())
  },
}
setInterval(() => {}, 1000)
`

interface Site {
  readonly folder: Folder
  readonly running: Running
  readonly socket: string
  get(path: string): Promise<{ status: number; text: string }>
}

async function stand(args: readonly string[] = [], options: Partial<SpawnOptions> = {}): Promise<Site> {
  const folder = project({ 'app.js': APP })
  const socket = join(folder.path, 'site.sock')
  const running = launch(['stand', `socket=${socket}`, ...args], { cwd: folder.path, ...options })
  const get = async (path: string) => {
    const { status, body } = await probe({ target: { kind: 'unix', path: socket }, path })
    return { status, text: body.toString() }
  }
  await until('the socket is there', () => {
    if (running.child.exitCode !== null) throw new Error(running.stderr())
    return existsSync(socket)
  })
  return { folder, running, socket, get }
}

/** What a file holds; nothing while it is not there. */
function read(folder: Folder, name: string): string {
  const path = join(folder.path, name)
  return existsSync(path) ? readFileSync(path, 'utf8') : ''
}

describe('stand', () => {
  it('serves, and logs in JSON when nobody looks at a terminal', async () => {
    const { folder, running, socket, get } = await stand()
    expect(await get('/a')).toEqual({ status: 200, text: `hello /a in ${folder.path}` })
    await running.says('"ready"')
    const ready = running
      .stderr()
      .split('\n')
      .find(line => line.includes('"ready"')) as string
    expect(JSON.parse(ready)).toMatchObject({ level: 'info', app: join(folder.path, 'app.js'), listen: [socket] })
    await until('the application has printed', () => running.stdout().startsWith('out: loading\n'))
  })

  it('names itself after what it serves', async () => {
    const { running, socket } = await stand()
    await running.says('"ready"')
    const title = readFileSync(`/proc/${running.child.pid}/cmdline`, 'latin1')
    expect(title).toContain(`runfcgi: stand app.js on ${socket}`.slice(0, 60))
  })

  it('logs an application error with its request, and hides it from the client unless debug is set', async () => {
    const { running, get } = await stand()
    expect(await get('/fail')).toEqual({ status: 500, text: '500 Internal Server Error\n' })
    await running.says('this request failed')
    expect(running.stderr()).toMatch(/"level":"error".*"stack":"Error: this request failed.*"uri":"\/fail"/)
    const open = await stand(['debug=true'])
    expect((await open.get('/fail')).text).toContain('Error: this request failed')
  })

  it('gives the socket the mode that was asked for, under any umask', async () => {
    const { socket } = await stand(['socket-mode=0606', 'umask=077'])
    expect(statSync(socket).mode & 0o777).toBe(0o606)
  })

  it('changes to workdir, with all paths counted from where it was typed', async () => {
    const { get, folder } = await stand(['workdir=/', 'access-log=access.log'])
    expect((await get('/a')).text).toBe('hello /a in /')
    await until('the line is there', () => read(folder, 'access.log').includes('"GET /a HTTP/1.1" 200'))
  })

  it('says which settings have no effect', async () => {
    const { running } = await stand(['method=inline', 'maxchildren=3'])
    await running.says('one process serves everything: maxchildren without effect')
  })
})

describe('the end', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('on %s waits for requests that run', async signal => {
    const { folder, running, socket, get } = await stand()
    const slow = get('/slow')
    await running.says('slow began')
    running.kill(signal)
    await until('the socket is gone', () => !existsSync(socket))
    folder.file('go', '')
    expect((await slow).status).toBe(200)
    expect(await running.outcome()).toMatchObject({ code: 0, signal: null })
  })

  it('on a second signal does not', async () => {
    const { running, socket, get } = await stand()
    const slow = get('/slow')
    await running.says('slow began')
    running.kill('SIGTERM')
    await running.says('finishing what runs')
    running.kill('SIGTERM')
    expect((await slow).status).toBe(503)
    expect(await running.outcome()).toMatchObject({ code: 0 })
    expect(existsSync(socket)).toBe(false)
  })

  it('comes after graceful-timeout at the latest', async () => {
    const { running, get } = await stand(['graceful-timeout=50ms'])
    const slow = get('/slow')
    await running.says('slow began')
    running.kill('SIGTERM')
    expect((await slow).status).toBe(503)
    expect(await running.outcome()).toMatchObject({ code: 0 })
  })

  it('comes at once on SIGQUIT', async () => {
    const { running, socket, get } = await stand()
    const slow = expect(get('/slow')).rejects.toThrow()
    await running.says('slow began')
    running.kill('SIGQUIT')
    expect(await running.outcome()).toMatchObject({ code: 0 })
    expect(existsSync(socket)).toBe(false)
    await slow
  })

  it('does not wait for idle connections that a web server keeps open', async () => {
    const { running, socket } = await stand()
    const idle = connect(socket)
    await new Promise(resolve => idle.once('connect', resolve))
    const closed = new Promise(resolve => idle.once('close', resolve))
    await running.says('ready')
    running.kill('SIGTERM')
    expect(await running.outcome()).toMatchObject({ code: 0 })
    await closed
  })

  it('leaves no socket when the application ends the one process', async () => {
    const { running, socket, get } = await stand(['method=inline'])
    await expect(get('/exit')).rejects.toThrow()
    expect(await running.outcome()).toMatchObject({ code: 7 })
    expect(existsSync(socket)).toBe(false)
  })

  it('may come while the application is still loading', async () => {
    const folder = project({ 'app.js': "console.error('loading'); await new Promise(() => {})" })
    const socket = join(folder.path, 'site.sock')
    const running = launch(['stand', `socket=${socket}`], { cwd: folder.path })
    await running.says('loading')
    expect(existsSync(socket)).toBe(false)
    running.kill('SIGTERM')
    expect(await running.outcome()).toMatchObject({ code: 143 })
    expect(existsSync(socket)).toBe(false)
  })

  it("calls the application's own close()", async () => {
    const app = `export default {
      ready: async () => {}, routing: (req, res) => res.end('x'), close: async () => console.log('closed') }`
    const folder = project({ 'app.js': app })
    const running = launch(['stand', 'socket=site.sock', 'maxchildren=1'], { cwd: folder.path })
    await running.says('ready')
    running.kill('SIGTERM')
    expect(await running.outcome()).toMatchObject({ code: 0, stdout: 'closed\n' })
  })
})

describe('an exception that the application of one process did not catch', () => {
  it.each([
    ['/throw-later', 'an exception', 'thrown behind its back'],
    ['/reject', 'a rejected promise', 'rejected behind its back'],
  ])('on %s is logged, lets other requests finish and ends with 1', async (path, what, message) => {
    const { folder, running, socket, get } = await stand(['method=inline'])
    const slow = get('/slow')
    await running.says('slow began')
    await get(path)
    await running.says(`did not catch ${what}: finishing what runs, then exit 1`)
    await until('the socket is gone', () => !existsSync(socket))
    folder.file('go', '')
    expect((await slow).status).toBe(200)
    const { code, stderr } = await running.outcome()
    expect(code).toBe(1)
    expect(stderr).toMatch(new RegExp(`"stack":"Error: ${message}\\\\n    at .*app\\.js`))
  })
})

describe('an application of one process that ends it', () => {
  it('is named in the log', async () => {
    const { running, get } = await stand(['method=inline'])
    await get('/exit').catch(() => undefined)
    const { code, stderr } = await running.outcome()
    expect([code, stderr]).toEqual([
      7,
      expect.stringContaining('the application has ended the process: process.exit(7)'),
    ])
  })
})

describe('signals that do something else', () => {
  it('reopen the logs on SIGUSR1, and never the debugger', async () => {
    const { folder, running, get } = await stand([
      'method=inline',
      'errlog=err.log',
      'outlog=out.log',
      'access-log=access.log',
    ])
    await get('/1')
    const there = () => read(folder, 'access.log').includes('GET /1') && read(folder, 'err.log').includes('ready')
    await until('the lines are there', there)
    for (const name of ['err', 'out', 'access']) {
      renameSync(join(folder.path, `${name}.log`), join(folder.path, `${name}.old`))
    }
    running.kill('SIGUSR1')
    await until('a new file is there', () => existsSync(join(folder.path, 'err.log')))
    await until('it says so', () => read(folder, 'err.log').includes('log files opened again'))
    await get('/2')
    await until('the line is in the new file', () => read(folder, 'access.log').includes('GET /2'))
    expect(read(folder, 'access.old')).toMatch(/"GET \/1 HTTP\/1\.1" 200/)
    expect(read(folder, 'access.old')).not.toContain('GET /2')
    expect(read(folder, 'err.old')).toContain('err: loading')
    expect(read(folder, 'out.old')).toBe('out: loading\n')
    running.kill('SIGTERM')
    expect(await running.outcome()).toEqual({ code: 0, signal: null, stdout: '', stderr: '' })
  })

  it('are answered politely when they have no meaning', async () => {
    const { running, get } = await stand(['method=inline'])
    await running.says('ready')
    for (const signal of ['SIGHUP', 'SIGTTIN', 'SIGTTOU'] as const) {
      running.kill(signal)
      await running.says(`${signal} does nothing: `)
    }
    expect((await get('/')).status).toBe(200)
  })
})

describe('several addresses', () => {
  it('are served at once: a Unix socket, IPv4 and IPv6', async () => {
    const folder = project()
    const running = launch(['stand', 'listen=unix:site.sock,127.0.0.1:0', '--listen', '[::1]:0'], { cwd: folder.path })
    await running.says('"ready"')
    const line = running
      .stderr()
      .split('\n')
      .find(text => text.includes('"ready"')) as string
    const { listen } = JSON.parse(line) as { listen: string[] }
    expect(listen).toHaveLength(3)
    for (const address of listen) {
      const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(address) ?? []
      const target =
        port === undefined
          ? ({ kind: 'unix', path: address } as const)
          : ({ kind: 'tcp', host: host as string, port: Number(port) } as const)
      expect((await probe({ target, path: '/x' })).body.toString()).toBe('hello /x')
    }
    running.kill('SIGTERM')
    expect((await running.outcome()).code).toBe(0)
  })
})

const urlOf = (running: Running): string => /"url":"([^"]*)"/.exec(running.stderr())?.[1] as string

describe('serve', () => {
  it('has files sent by the application, whatever sendfile says: its web server would not know', async () => {
    const app = `import { createReadStream } from 'node:fs'
      export default (request, response) => createReadStream('app.js').pipe(response)`
    const folder = project({ 'app.js': app })
    const running = launch(['serve', 'http=127.0.0.1:0', 'sendfile=x-sendfile:.'], { cwd: folder.path })
    await running.says('"ready"')
    const [, url] = /"url":"([^"]+)"/.exec(running.stderr()) ?? []
    const reply = await fetch(url as string)
    expect([await reply.text(), reply.headers.get('x-sendfile')]).toEqual([app, null])
    running.kill('SIGTERM')
    expect((await running.outcome()).code).toBe(0)
  })

  it('is a whole site over HTTP, and leaves nothing behind', async () => {
    const folder = project({ 'app.js': APP })
    const running = launch(['serve', 'http=127.0.0.1:0'], { cwd: folder.path })
    await running.says('"ready"')
    const line = running
      .stderr()
      .split('\n')
      .find(text => text.includes('"ready"')) as string
    const { url, listen } = JSON.parse(line) as { url: string; listen: string[] }
    const reply = await fetch(`${url}/a`)
    expect(reply.status).toBe(200)
    expect(await reply.text()).toBe(`hello /a in ${folder.path}`)
    expect(statSync(listen[0] as string).mode & 0o777).toBe(0o600)
    running.kill('SIGTERM')
    expect((await running.outcome()).code).toBe(0)
    expect(existsSync(join(listen[0] as string, '..'))).toBe(false)
  })

  it('finishes the requests that run over HTTP', async () => {
    const folder = project({ 'app.js': APP })
    const running = launch(['serve', 'http=127.0.0.1:0'], { cwd: folder.path })
    await running.says('"ready"')
    const slow = fetch(`${urlOf(running)}/slow`)
    await running.says('slow began')
    running.kill('SIGTERM')
    await running.says('finishing what runs')
    folder.file('go', '')
    expect((await slow).status).toBe(200)
    expect((await running.outcome()).code).toBe(0)
  })

  it('tells an error of the application once, though it sees both ends', async () => {
    const folder = project({ 'app.js': APP })
    const running = launch(['serve', 'http=127.0.0.1:0'], { cwd: folder.path })
    await running.says('"ready"')
    expect((await fetch(`${urlOf(running)}/fail`)).status).toBe(500)
    await running.says('this request failed')
    running.kill('SIGTERM')
    const { stderr } = await running.outcome()
    expect(stderr.match(/Error: this request failed/g)).toHaveLength(1)
  })
})
