/**
 * One daemon for a pidfile: what a second one meets, what a dead one leaves, and what a start that fails leaves.
 *
 * RUNFCGI_TEST_LONG=1 makes a hundred of what is done some times here.
 */

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { isAlive, processesIn } from '../support/processes.ts'
import { unprivileged } from '../support/unprivileged.ts'
import { until } from '../support/until.ts'
import { home } from './daemon.ts'

const LONG = process.env.RUNFCGI_TEST_LONG !== undefined
const program = fileURLToPath(new URL('../../bin/runfcgi.js', import.meta.url))

const LONG_MS = 600_000

describe('a daemon', () => {
  it('has its pidfile and a control socket beside it, for its user only', async () => {
    const site = home()
    await site.start()
    expect(readFileSync(site.pidfile, 'utf8')).toMatch(/^\d+\n$/)
    expect(isAlive(site.pid())).toBe(true)
    expect(statSync(`${site.pidfile}.control`).mode & 0o777).toBe(0o600)
    expect((await site.command('stop')).code).toBe(0)
    site.expectNothingLeft()
  })

  it('has them in the foreground as well', async () => {
    const site = home()
    const running = site.begin('stand', 'socket=site.sock')
    await running.says('"ready"')
    expect(site.pid()).toBe(running.child.pid)
    expect((await site.command('stop')).code).toBe(0)
    expect((await running.outcome()).code).toBe(0)
    site.expectNothingLeft()
  })

  it('has its control socket where control= says', async () => {
    const site = home()
    await site.start('pidfile=site.pid', 'control=other')
    expect(existsSync(`${site.pidfile}.control`)).toBe(false)
    expect((await site.command('reload', 'control=other')).code).toBe(0)
    expect((await site.command('stop', 'pidfile=site.pid', 'control=other')).code).toBe(0)
    expect(existsSync(join(site.folder.path, 'other'))).toBe(false)
    site.expectNothingLeft()
  })
})

describe('a second daemon with the same pidfile', () => {
  it.each([['start'], ['stand']])('fails at once as %s, names the first, and touches nothing of it', async command => {
    const site = home()
    await site.start()
    const pid = site.pid()
    const { code, stderr } = await site.command(command, 'socket=second.sock', './never-loaded.js')
    expect(code).toBe(1)
    expect(stderr).toBe(
      `runfcgi: already running as process ${pid} (pidfile ${site.pidfile}): stop it first, or choose another pidfile\n`,
    )
    expect(site.pid()).toBe(pid)
    expect((await site.get()).status).toBe(200)
    expect(existsSync(join(site.folder.path, 'second.sock'))).toBe(false)
    expect((await site.command('stop')).code).toBe(0)
    site.expectNothingLeft()
  })

  it('is refused before a process is started or a log file made for it', async () => {
    const site = home()
    await site.start()
    expect((await site.command('start', 'socket=second.sock', 'errlog=second.log')).code).toBe(1)
    expect(existsSync(join(site.folder.path, 'second.log'))).toBe(false)
    expect((await site.command('stop')).code).toBe(0)
  })

  it('fails also while the first is still loading', async () => {
    const site = home({ 'app.js': 'await new Promise(resolve => setTimeout(resolve, 60_000))' })
    const first = site.begin('stand', 'socket=site.sock')
    await until('it has taken its place', () => existsSync(`${site.pidfile}.control`))
    const { code, stderr } = await site.command('start', 'socket=second.sock')
    expect({ code, stderr: stderr.split(' (')[0] }).toEqual({
      code: 1,
      stderr: `runfcgi: already running as process ${first.child.pid}`,
    })
    expect((await site.command('stop')).code).toBe(0)
    await first.outcome()
    site.expectNothingLeft()
  })

  it('fails also if somebody has cleared the control socket away', async () => {
    const site = home()
    await site.start()
    rmSync(`${site.pidfile}.control`)
    const { code, stderr } = await site.command('start', 'socket=second.sock')
    expect(code).toBe(1)
    expect(stderr).toContain(`already running as process ${site.pid()}`)
    expect((await site.get()).status).toBe(200)
    expect((await site.command('stop')).code).toBe(0)
    site.expectNothingLeft()
  })

  it('fails also if its control socket would be elsewhere', async () => {
    const site = home()
    await site.start()
    const { code, stderr } = await site.command('start', 'socket=second.sock', 'pidfile=site.pid', 'control=other')
    expect(code).toBe(1)
    expect(stderr).toContain(`already running as process ${site.pid()}`)
    expect((await site.command('stop')).code).toBe(0)
    site.expectNothingLeft()
  })

  it(
    `is one of ${LONG ? 100 : 8} that start at once: exactly one runs`,
    async () => {
      const site = home()
      const count = LONG ? 100 : 8
      const starts = Array.from({ length: count }, (_, at) => site.begin('start', `socket=${at}.sock`))
      await Promise.all(starts.map(({ child }) => once(child, 'close')))
      const outcomes = await Promise.all(starts.map(start => start.outcome()))
      const winners = outcomes.filter(({ code }) => code === 0)
      expect(winners).toHaveLength(1)
      const pid = site.pid()
      for (const { code, stderr } of outcomes.filter(outcome => outcome !== winners[0])) {
        expect({ code, stderr: stderr.split(' (')[0] }).toEqual({
          code: 1,
          stderr: `runfcgi: already running as process ${pid}`,
        })
      }
      const sockets = Array.from({ length: count }, (_, at) => join(site.folder.path, `${at}.sock`))
      expect(sockets.filter(path => existsSync(path))).toHaveLength(1)
      expect((await site.command('stop')).code).toBe(0)
      expect(sockets.filter(path => existsSync(path))).toEqual([])
      site.expectNothingLeft()
    },
    LONG_MS,
  )
})

describe('check', () => {
  it('finds out that the pidfile is held, and what else would be in the way', async () => {
    const site = home()
    const before = site.listing()
    const free = await site.command('check', 'socket=site.sock')
    expect(free.code).toBe(0)
    expect(free.stdout).toContain(`ok    pidfile: ${site.pidfile}\n`)
    expect(site.listing()).toEqual(before)
    const missing = await site.command('check', 'socket=site.sock', 'pidfile=no/site.pid')
    expect(missing.code).toBe(1)
    expect(missing.stdout).toMatch(/FAIL {2}pidfile: folder .*no of pidfile .* does not exist/)
    await site.start()
    const held = await site.command('check', 'socket=other.sock')
    expect(held.code).toBe(1)
    expect(held.stdout).toContain(`FAIL  pidfile: already running as process ${site.pid()} (pidfile ${site.pidfile})`)
    expect((await site.command('stop')).code).toBe(0)
    site.expectNothingLeft()
  })
})

describe('starting and stopping', () => {
  it(
    `${LONG ? 100 : 4} times leaves nothing`,
    async () => {
      const site = home()
      const pids = new Set<number>()
      for (let at = 0; at < (LONG ? 100 : 4); at++) {
        await site.start(`method=${['prefork', 'threaded', 'inline'][at % 3]}`)
        pids.add(site.pid())
        expect((await site.get()).status).toBe(200)
        expect((await site.command('stop')).code).toBe(0)
        site.expectNothingLeft()
      }
      expect(pids.size).toBe(LONG ? 100 : 4)
      expect(site.read('err.log')).not.toContain('left over')
    },
    LONG_MS,
  )
})

describe('what a dead daemon has left', () => {
  it('is replaced, with a line in the log', async () => {
    const site = home()
    await site.start('method=threaded')
    const dead = site.pid()
    process.kill(dead, 'SIGKILL')
    await until('it is gone', () => !isAlive(dead))
    expect(existsSync(`${site.pidfile}.control`)).toBe(true)
    await site.start('method=threaded')
    expect(site.pid()).not.toBe(dead)
    expect((await site.command('stop')).code).toBe(0)
    const line = `pidfile ${site.pidfile} is left over and will be replaced: process ${dead} has ended`
    expect(site.read('err.log').split(line)).toHaveLength(2)
    site.expectNothingLeft()
  })

  it('is replaced also if its process id is that of another program', async () => {
    const site = home()
    writeFileSync(site.pidfile, `${process.pid}\n`)
    await site.start()
    expect((await site.command('stop')).code).toBe(0)
    expect(site.read('err.log')).toContain(`process ${process.pid} is another program`)
    site.expectNothingLeft()
  })
})

/** A PID namespace of its own, as a container has. */
const ISOLATED = ['--pid', '--fork', '--kill-child', '--mount-proc'] as const
const hasNamespaces = spawnSync('unshare', [...ISOLATED, 'true']).status === 0

describe.runIf(hasNamespaces)('process 1 of a container', () => {
  it('takes the place of process 1 of the one before, and is stopped from outside of it', async () => {
    const site = home()
    const settings = ['socket=site.sock', 'pidfile=site.pid', 'errlog=err.log']
    const contain = (): ReturnType<typeof spawn> =>
      spawn('unshare', [...ISOLATED, process.execPath, program, ...settings], {
        cwd: site.folder.path,
        stdio: 'ignore',
      })
    const serves = async (): Promise<boolean> => (await site.command('status')).stdout.includes(' serving ')
    const first = contain()
    await until('it serves', serves)
    expect(site.pid()).toBe(1)
    first.kill('SIGKILL')
    await until('all of it is gone', () => processesIn(site.folder.path).filter(isAlive).length === 0)
    const second = contain()
    const ended = once(second, 'exit')
    await until('the next one serves', serves)
    expect(site.pid()).toBe(1)
    expect((await site.command('stop')).code).toBe(0)
    expect(await ended).toEqual([0, null])
    expect(site.read('err.log')).toContain(
      `pidfile ${site.pidfile} is left over and will be replaced: process 1 is this one`,
    )
    site.expectNothingLeft()
  })
})

/** As on systems that are not Linux. Their ps(1) reads no /proc; that of Linux does, so that another stands for it. */
const hidesProc = spawnSync('unshare', ['--mount', 'sh', '-c', 'mount -t tmpfs none /proc']).status === 0

describe.runIf(hidesProc)('without /proc', () => {
  it.each([
    ['runfcgi: start app.js on /tmp/site.sock', 1],
    ['/usr/bin/node /usr/local/bin/runfcgi socket=/tmp/site.sock', 1],
    ['sleep 60', 0],
  ])('ps tells whose the process id of a pidfile is: "%s"', async (commandLine, code) => {
    const site = home()
    const stranger = spawn('sleep', ['60'])
    onTestFinished(() => void stranger.kill('SIGKILL'))
    writeFileSync(site.pidfile, `${stranger.pid}\n`)
    const path = site.folder.path
    const ps = `#!/bin/sh\n[ "$*" = '-o command= -p ${stranger.pid}' ] && echo '${commandLine}'\n`
    writeFileSync(join(path, 'ps'), ps, { mode: 0o755 })
    const hidden = 'mount -t tmpfs none /proc && exec "$@"'
    const start = [process.execPath, program, 'start', 'socket=site.sock', 'pidfile=site.pid', 'errlog=err.log']
    const child = spawn('unshare', ['--mount', 'sh', '-c', hidden, 'sh', ...start], {
      cwd: path,
      env: { PATH: `${path}:${process.env.PATH}` },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let told = ''
    child.stderr.on('data', text => {
      told += text
    })
    expect(await once(child, 'close')).toEqual([code, null])
    if (code === 1) expect(told).toContain(`already running as process ${stranger.pid}`)
    else {
      const replaced = `process ${stranger.pid} is another program`
      await until('the log says so', () => site.read('err.log').includes(replaced))
      expect((await site.get()).status).toBe(200)
      expect((await site.command('status')).code).toBe(0)
      expect((await site.command('stop')).code).toBe(0)
    }
    expect(isAlive(stranger.pid as number)).toBe(true)
  })
})

describe.runIf(unprivileged !== undefined)('a daemon that gives up the rights of root', () => {
  it.each(['prefork', 'threaded', 'inline'])(
    'with method=%s holds its place all the same, and the next one may have it when it ends',
    async method => {
      const site = home()
      chmodSync(site.folder.path, 0o755)
      const account = [`user=${unprivileged?.name}`, `method=${method}`]
      await site.start(...account)
      const pid = site.pid()
      expect((await site.command('start', 'socket=second.sock', ...account)).stderr).toContain(`process ${pid}`)
      rmSync(`${site.pidfile}.control`)
      expect((await site.command('start', 'socket=second.sock', ...account)).stderr).toContain(`process ${pid}`)
      expect((await site.command('stop')).code).toBe(0)
      expect(isAlive(pid)).toBe(false)
      expect(site.read('site.pid')).toBe('')
      expect((await site.command('stop')).stderr).toContain('not running')
      await site.start(...account)
      expect((await site.get()).status).toBe(200)
      expect(JSON.parse((await site.command('status', '--json')).stdout)).toMatchObject({ pid: site.pid() })
      expect((await site.command('stop')).code).toBe(0)
      expect(processesIn(site.folder.path).filter(isAlive)).toEqual([])
    },
  )
})

interface Mishap {
  readonly what: string
  readonly settings: readonly string[]
  readonly message: RegExp
  readonly prepare?: (folder: string) => void
}

const mishaps: readonly Mishap[] = [
  {
    what: 'the folder of the pidfile is missing',
    settings: ['pidfile=no/site.pid'],
    message: /^runfcgi: folder .*no of pidfile .*no\/site\.pid does not exist: create it first\n$/,
  },
  {
    what: 'the pidfile is a folder',
    settings: ['pidfile=dir'],
    prepare: folder => mkdirSync(join(folder, 'dir')),
    message: /^runfcgi: pidfile .*dir is a folder, and is left alone/,
  },
  {
    what: 'the pidfile is something else',
    settings: ['pidfile=package.json'],
    message: /^runfcgi: pidfile .*package\.json holds no process id, and is left alone/,
  },
  {
    what: 'nobody may write the pidfile',
    settings: ['pidfile=/proc/sys/site.pid', 'control=here'],
    message: /^runfcgi: .*pidfile \/proc\/sys\/site\.pid/,
  },
  {
    what: 'the path of the control socket is too long',
    settings: [`pidfile=${'x'.repeat(120)}`],
    message: /^runfcgi: control socket path .* bytes long, .*control=PATH puts the control socket elsewhere\n$/,
  },
  {
    what: 'the control socket is a file',
    settings: ['pidfile=site.pid', 'control=package.json'],
    message: /^runfcgi: control .*package\.json is a regular file, not a socket, and is left alone/,
  },
]

describe('a daemon that cannot have its place', () => {
  it.each(mishaps)('because $what says so with 1, detached as in the foreground, and leaves nothing', async mishap => {
    const site = home()
    const { settings, message, prepare } = mishap
    prepare?.(site.folder.path)
    const before = site.listing()
    for (const how of ['daemonize=true', 'daemonize=false']) {
      const { code, stderr } = await site.command('start', 'socket=site.sock', how, ...settings)
      expect(stderr).toMatch(message)
      expect(code).toBe(1)
      expect(site.listing()).toEqual(before)
    }
    site.expectNothingLeft()
  })

  it('leaves neither pidfile nor control socket when something else fails', async () => {
    const site = home()
    site.folder.file('broken.js', "throw new Error('half an edit')")
    const taken = createServer().listen(0, '127.0.0.1')
    await until('a port is taken', () => taken.listening)
    const { port } = taken.address() as { port: number }
    const before = site.listing()
    for (const method of ['prefork', 'threaded', 'inline']) {
      expect((await site.command('start', 'socket=site.sock', './broken.js', `method=${method}`)).code).toBe(3)
      expect((await site.command('start', `port=${port}`, `method=${method}`)).code).toBe(1)
      expect(site.listing()).toEqual(before)
    }
    taken.close()
    site.expectNothingLeft()
  })
})
