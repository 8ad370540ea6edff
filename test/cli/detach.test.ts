import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { probe } from '../support/probe.ts'
import { isAlive, kill, openIn, processesIn } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { project as createProject, FETCH_APP, type Folder, launch, run } from './command.ts'
import { HELD_APP } from './daemon.ts'

const used: Folder[] = []

/** A project whose daemons do not outlive the test. */
function project(files?: Readonly<Record<string, string>>): Folder {
  const folder = createProject(files)
  used.push(folder)
  return folder
}

afterEach(() => {
  for (const { path } of used.splice(0)) [path, join(path, 'elsewhere')].flatMap(processesIn).forEach(kill)
})

/** The daemon in a folder that logs to `e.log` there. */
async function daemonOf(folder: Folder): Promise<number> {
  const log = join(folder.path, 'e.log')
  let pid = 0
  await until('the daemon says that it is ready', () => {
    const line = readFileSync(log, 'utf8')
      .split('\n')
      .find(text => text.includes('"msg":"ready"'))
    pid = line === undefined ? 0 : JSON.parse(line).pid
    return pid !== 0
  })
  return pid
}

const gone = (pid: number): Promise<void> => until(`process ${pid} ends`, () => !isAlive(pid))

describe('start', () => {
  it('returns when the daemon serves, which TERM ends', async () => {
    const folder = project()
    const socket = join(folder.path, 'site.sock')
    const { code, stdout, stderr } = await run(['socket=site.sock', 'errlog=e.log'], { cwd: folder.path })
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '', stderr: '' })
    const pid = await daemonOf(folder)
    const { status, body } = await probe({ target: { kind: 'unix', path: socket }, path: '/x' })
    expect([status, body.toString()]).toEqual([200, 'hello /x'])
    process.kill(pid, 'SIGTERM')
    await gone(pid)
    expect(existsSync(socket)).toBe(false)
    expect(processesIn(folder.path).filter(isAlive)).toEqual([])
  })

  it('leaves the daemon in a session of its own, with nothing open of the one who started it', async () => {
    const folder = project()
    const lock = openSync(join(folder.path, 'lock'), 'a')
    const { child } = launch(['socket=site.sock', 'errlog=e.log'], { cwd: folder.path, inherit: [lock] })
    await until('the command ends', () => child.exitCode !== null)
    const pid = await daemonOf(folder)
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /, '')
      .split(' ')
    expect({ session: Number(stat[3]), terminal: Number(stat[4]) }).toEqual({ session: pid, terminal: 0 })
    expect(Number(stat[1])).not.toBe(child.pid)
    expect(openIn(pid)).not.toContain(join(folder.path, 'lock'))
    expect(readlinkSync(`/proc/${pid}/fd/0`)).toBe('/dev/null')
    expect(readlinkSync(`/proc/${pid}/fd/2`)).toBe(join(folder.path, 'e.log'))
  })

  it('writes what the application prints, and what it lets others print, to the log files', async () => {
    const long = 'x'.repeat(100_000)
    const folder = project({
      'app.js': `import { spawnSync } from 'node:child_process'
        console.log('${long}')
        console.error('to err')
        spawnSync('echo', ['of a child'], { stdio: 'inherit' })
        ${FETCH_APP}`,
    })
    const settings = ['socket=site.sock', 'errlog=e.log', 'outlog=o.log', 'method=threaded', 'maxchildren=1']
    expect(await run(settings, { cwd: folder.path })).toMatchObject({ code: 0, stdout: '', stderr: '' })
    await daemonOf(folder)
    const lines = (name: string): string[] => readFileSync(join(folder.path, name), 'utf8').split('\n')
    expect(lines('o.log')).toContain('of a child')
    // What a thread prints takes another way than its word that it is ready.
    await until('it is printed', () => lines('o.log').includes(long) && lines('e.log').includes('to err'))
  })

  it('counts relative paths from where the command was typed, whatever workdir says', async () => {
    const folder = project({ 'app.js': "export default (req, res) => res.end(process.cwd() + ' ' + process.umask())" })
    mkdirSync(join(folder.path, 'elsewhere'))
    const settings = ['./app.js', 'socket=site.sock', 'errlog=e.log', 'workdir=elsewhere', 'umask=027']
    expect(await run(settings, { cwd: folder.path })).toMatchObject({ code: 0, stderr: '' })
    await daemonOf(folder)
    const { body } = await probe({ target: { kind: 'unix', path: join(folder.path, 'site.sock') }, path: '/' })
    expect(body.toString()).toBe(`${join(folder.path, 'elsewhere')} ${0o027}`)
  })

  it('ends the daemon when it is interrupted before that serves', async () => {
    const folder = project({
      'app.js':
        "import { writeFileSync } from 'node:fs'; writeFileSync('loading', ''); await new Promise(() => {}); setInterval(() => {}, 1000)",
    })
    const running = launch(['socket=site.sock', 'errlog=e.log'], { cwd: folder.path })
    await until('the application loads', () => existsSync(join(folder.path, 'loading')))
    running.kill('SIGINT')
    expect((await running.outcome()).signal).toBe('SIGINT')
    await until('nothing runs', () => processesIn(folder.path).filter(isAlive).length === 0)
    expect(existsSync(join(folder.path, 'site.sock'))).toBe(false)
  })

  it('leaves no daemon when the command is killed before that serves', async () => {
    const folder = project({ 'app.js': HELD_APP, hold: '' })
    const running = launch(['socket=site.sock', 'pidfile=site.pid', 'errlog=e.log'], { cwd: folder.path })
    await until('the application loads', () => existsSync(join(folder.path, 'loading')))
    running.kill('SIGKILL')
    expect((await running.outcome()).signal).toBe('SIGKILL')
    rmSync(join(folder.path, 'hold'))
    await until('nothing runs', () => processesIn(folder.path).filter(isAlive).length === 0)
    expect(readdirSync(folder.path).filter(name => name.startsWith('site.'))).toEqual([])
    const log = readFileSync(join(folder.path, 'e.log'), 'utf8')
    expect(log).toMatch(/^runfcgi: the command that started this process was killed before it served$/m)
    expect(log).not.toContain('"ready"')
  })

  it.each([2, 3, 4])('starts no daemon when it is ended as soon as there are %i processes', async count => {
    const folder = project({ 'app.js': 'await new Promise(() => setInterval(() => {}, 1000))' })
    const running = launch(['socket=site.sock', 'pidfile=site.pid', 'errlog=e.log'], { cwd: folder.path })
    const seen = new Set<number>()
    await until(`there have been ${count}`, () => {
      for (const pid of processesIn(folder.path)) seen.add(pid)
      return seen.size >= count
    })
    running.kill('SIGTERM')
    expect((await running.outcome()).signal).toBe('SIGTERM')
    await until('nothing runs', () => processesIn(folder.path).filter(isAlive).length === 0)
    for (const name of ['site.sock', 'site.pid'])
      expect([name, existsSync(join(folder.path, name))]).toEqual([name, false])
  })
})

interface Mishap {
  readonly what: string
  readonly settings: readonly string[]
  readonly app?: string
  readonly code: number
  readonly message: RegExp
}

const mishaps: Mishap[] = [
  { what: 'a folder is missing', settings: ['socket=no/site.sock'], code: 1, message: /folder .*no of socket/ },
  { what: 'the path is a file', settings: ['socket=package.json'], code: 1, message: /regular file/ },
  { what: 'a port is taken', settings: ['port=PORT'], code: 1, message: /port \d+ .*in use/ },
  { what: 'workdir is missing', settings: ['socket=s', 'workdir=no'], code: 1, message: /workdir=no .*ENOENT/ },
  { what: 'a log cannot be written', settings: ['socket=s', 'outlog=no/o.log'], code: 1, message: /outlog=no.*ENOENT/ },
  { what: 'a setting is unknown', settings: ['socket=s', 'maxspar=3'], code: 2, message: /did you mean 'maxspare'/ },
  {
    what: 'the owner of the socket is unknown',
    settings: ['socket=s', 'socket-owner=nobody-of-that-name'],
    code: 1,
    message: /no user/,
  },
  { what: 'the application is missing', settings: ['socket=s', 'app=none.js'], code: 3, message: /none\.js/ },
  {
    what: 'the application throws',
    settings: ['socket=s'],
    app: 'throw new Error("not today")',
    code: 3,
    message: /not today/,
  },
  {
    what: 'the application ends the process',
    settings: ['socket=s', 'method=prefork'],
    app: 'process.exit(7)',
    code: 3,
    message: /cannot load the application: a worker ended before it was ready: exit code 7/,
  },
]

describe('a start that fails', () => {
  for (const method of [[], ['method=threaded'], ['method=inline']]) {
    it.each(mishaps.filter(({ settings }) => method.length === 0 || !settings.includes('method=prefork')))(
      `because $what says the same detached as in the foreground ${method}`,
      async ({ settings, app = FETCH_APP, code, message }) => {
        const folder = project({ 'app.js': app })
        const taken = createServer().listen(0, '127.0.0.1')
        await until('a port is taken', () => taken.listening)
        const { port } = taken.address() as { port: number }
        const words = [...settings.map(text => text.replace('PORT', String(port))), ...method]
        const before = readdirSync(folder.path)
        try {
          const foreground = await run(['daemonize=false', 'errlog=/dev/null', ...words], { cwd: folder.path })
          const detached = await run(['daemonize=true', 'errlog=/dev/null', ...words], { cwd: folder.path })
          expect(detached.stderr).toMatch(message)
          expect(detached).toMatchObject({ code, stderr: foreground.stderr })
          expect(foreground.code).toBe(code)
        } finally {
          taken.close()
        }
        await until('nothing runs', () => !processesIn(folder.path).some(isAlive))
        expect(readdirSync(folder.path)).toEqual(before)
      },
    )
  }

  it('says so when the daemon was killed before it served', async () => {
    const folder = project({ 'app.js': 'process.kill(process.pid, "SIGKILL")' })
    const { code, stderr } = await run(['socket=s', 'errlog=e.log', 'method=threaded'], { cwd: folder.path })
    expect(code).toBe(1)
    expect(stderr).toBe(`runfcgi: the daemon ended before it served: see ${join(folder.path, 'e.log')}\n`)
  })
})
