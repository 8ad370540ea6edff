/** What systemd does with the command: sockets that it hands down (sd_listen_fds(3)) and what it is told (sd_notify(3)). */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import * as net from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, describe, expect, it } from 'vitest'
import { type Bound, bind } from '../../src/server/sockets/listen.ts'
import { accepts } from '../support/ports.ts'
import { probe } from '../support/probe.ts'
import { until } from '../support/until.ts'
import { launch, project, type Running, type SpawnOptions } from './command.ts'

type ProbeTarget = Parameters<typeof probe>[0]['target']

const has = (command: string): boolean => spawnSync(command, ['--version']).error === undefined

const methods = [['method=inline'], ['method=threaded', 'maxchildren=1'], ['method=prefork', 'maxchildren=1']]

/** Prints what the variables of the protocols look like where the application runs. */
const APP = `
const env = JSON.stringify(Object.keys(process.env).filter(name => /^(LISTEN|NOTIFY|WATCHDOG)_/.test(name)))
export default { fetch: request => new Response(new URL(request.url).pathname === '/env' ? env : 'pid ' + process.pid) }`

const cleanUps: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function bound(address: Parameters<typeof bind>[0]): Promise<Bound> {
  const one = await bind(address)
  cleanUps.push(() => one.close({ leaveFile: true }))
  return one
}

/** At that path already when it is bound, so that the kernel knows it by this name. It does not listen yet. */
function boundInPlace(path: string): number {
  const handle = Reflect.get(net, '_createServerHandle')(path, -1, -1, -1, 0)
  cleanUps.push(() => handle.close())
  return handle.fd
}

/** Starts the command as systemd does: `LISTEN_PID` is known only after the fork. */
function activate(args: readonly string[], fds: readonly number[], options: SpawnOptions): Running {
  const via = ['/bin/sh', '-c', `LISTEN_PID=$$ LISTEN_FDS=${fds.length} exec "$@"`, 'sh']
  return launch(args, { ...options, via, inherit: fds })
}

const body = async (target: ProbeTarget, path = '/'): Promise<string> => (await probe({ target, path })).body.toString()

describe('sockets of the service manager', () => {
  it.each(methods)('are served, all of them, and left where they are: %s', async (...settings) => {
    const { path } = project({ 'app.js': APP })
    const one = await bound({ kind: 'unix', path: join(path, 's.sock') })
    const two = await bound({ kind: 'tcp', host: '127.0.0.1', port: 0 })
    const running = activate(settings, [one.fd, two.fd], { cwd: path })
    await one.close({ leaveFile: true })
    await two.close()
    await running.says('"ready"')
    for (const { address } of [one, two]) {
      expect(await body(address as ProbeTarget)).toMatch(/^pid/)
      expect(await body(address as ProbeTarget, '/env')).toBe('[]')
    }
    running.kill('SIGTERM')
    expect(await running.outcome()).toMatchObject({ code: 0 })
    expect(existsSync(join(path, 's.sock'))).toBe(true)
  })

  it.each(methods)(
    'stand for the settings that name their address, and need not listen yet: %s %s',
    async (...settings) => {
      const { path } = project({ 'app.js': APP })
      const unix = boundInPlace(join(path, 's.sock'))
      const tcp = await bound({ kind: 'tcp', host: '127.0.0.1', port: 0 })
      const { port } = tcp.address as { port: number }
      const listen = ['listen=./s.sock', `listen=localhost:${port}`, 'listen=./own.sock']
      const running = activate([...settings, ...listen], [tcp.fd, unix], { cwd: path })
      await running.says('"ready"')
      await tcp.close()
      expect(running.stderr()).toContain(`"listen":["${join(path, 's.sock')}","localhost:${port}","${path}/own.sock"]`)
      const files = ['s.sock', 'own.sock'].map(file => ({ kind: 'unix', path: join(path, file) }) as const)
      for (const target of [...files, { kind: 'tcp', host: '127.0.0.1', port } as const]) {
        expect(await body(target)).toMatch(/^pid/)
      }
      running.kill('SIGTERM')
      expect(await running.outcome()).toMatchObject({ code: 0 })
      expect({ ours: existsSync(join(path, 'own.sock')), theirs: existsSync(join(path, 's.sock')) }).toEqual({
        ours: false,
        theirs: true,
      })
    },
  )

  it('are refused in one line if they are connections', async () => {
    const { path } = project({ 'app.js': APP })
    const running = launch([], {
      cwd: path,
      stdin: 'pipe',
      via: ['/bin/sh', '-c', 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&0', 'sh'],
    })
    const { code, stderr } = await running.outcome()
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr:
        'runfcgi: descriptor 3 is a connection, or a socket for datagrams: pass a listening one (Accept=no in a socket unit)\n',
    })
  })

  it('are not touched if they are for another process', async () => {
    const { path } = project({ 'app.js': APP })
    const one = await bound({ kind: 'unix', path: join(path, 's.sock') })
    const env = { LISTEN_PID: '1', LISTEN_FDS: '1' }
    const running = launch(['daemonize=false', 'socket=./own.sock'], { cwd: path, env, inherit: [one.fd] })
    await running.says('"ready"')
    expect(running.stderr()).toContain(`"listen":["${path}/own.sock"]`)
    expect(await body({ kind: 'unix', path: join(path, 'own.sock') }, '/env')).toBe('[]')
  })

  it.each(methods)('survive an upgrade: %s', async (...settings) => {
    const { path } = project({ 'app.js': APP })
    const one = await bound({ kind: 'unix', path: join(path, 's.sock') })
    const target = one.address as ProbeTarget
    const running = activate([...settings, 'errlog=log'], [one.fd], { cwd: path })
    await one.close({ leaveFile: true })
    const log = () => (existsSync(join(path, 'log')) ? readFileSync(join(path, 'log'), 'utf8') : '')
    await until('it serves', () => log().includes('"ready"'))
    running.kill('SIGUSR2')
    await until('the successor serves', () => log().includes('"successor":'))
    const successor = Number(/"successor":(\d+)/.exec(log())?.[1])
    cleanUps.push(() => kill(successor, 'SIGKILL'))
    await until('the old one has ended', () => running.child.exitCode === 0)
    expect(await body(target)).toMatch(/^pid/)
    kill(successor, 'SIGTERM')
    await until('the successor has ended', () => !kill(successor, 0))
    expect(existsSync(join(path, 's.sock'))).toBe(true)
  })

  it.runIf(has('systemd-socket-activate'))('come from systemd-socket-activate as well', async () => {
    const { path } = project({ 'app.js': APP })
    const target: ProbeTarget = { kind: 'unix', path: join(path, 's.sock') }
    const via = ['systemd-socket-activate', '-l', target.path]
    const running = launch(['method=prefork', 'maxchildren=1'], { cwd: path, via })
    await until('the socket is there', () => existsSync(target.path))
    // It starts the program when somebody connects.
    expect(await body(target)).toMatch(/^pid/)
    running.kill('SIGTERM')
    expect(await running.outcome()).toMatchObject({ code: 0 })
  })
})

function kill(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    return false
  }
}

interface Told {
  readonly pid: number
  readonly message: string
}

const receiver = new URL('../support/programs/receive-notify.py', import.meta.url).pathname

/** Stands for systemd. */
async function receive(path: string, command: readonly string[] = []): Promise<{ told: Told[]; child: ChildProcess }> {
  const child = spawn('python3', [receiver, path, ...command], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, WATCHDOG_USEC: '400000' },
  })
  cleanUps.push(() => child.kill('SIGKILL'))
  const told: Told[] = []
  let isBound = false
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', line => {
    if (isBound) told.push(JSON.parse(line))
    isBound = true
  })
  await until('the receiver is there', () => isBound)
  return { told, child }
}

const firstLines = (told: readonly Told[]): string[] => told.map(({ message }) => message.split('\n')[0] as string)

describe.runIf(has('python3') && has('systemd-notify'))('the service manager', () => {
  const notified = async (args: readonly string[], env = {}, app = APP) => {
    const { path } = project({ 'app.js': app })
    const socket = join(path, 'notify')
    const { told } = await receive(socket)
    const running = launch(['socket=./s.sock', ...args], { cwd: path, env: { NOTIFY_SOCKET: socket, ...env } })
    return { path, told, running, target: { kind: 'unix', path: join(path, 's.sock') } as const }
  }

  it.each(methods)('hears that it serves, and that it stops: %s', async (...settings) => {
    const { path, told, running, target } = await notified(settings)
    await until('it is ready', () => told.length === 1)
    expect(told[0]?.message).toMatch(new RegExp(`^READY=1\nSTATUS=Serving on ${path}/s.sock; .*0 requests, 0 of them`))
    expect(await body(target, '/env')).toBe('[]')
    // Neither detached nor left: it is the process that was started.
    expect(running.child.exitCode).toBe(null)
    running.kill('SIGTERM')
    expect(await running.outcome()).toMatchObject({ code: 0 })
    await until('it stops', () => told.length === 2)
    expect(told[1]?.message).toMatch(/^STOPPING=1\n/)
  })

  it('hears that it stops also from a process that ends while the message before is still on its way', async () => {
    const programs = project().path
    const slow = '#!/bin/sh\n/bin/sleep 0.3; PATH=/usr/bin:/bin exec systemd-notify "$@"\n'
    writeFileSync(join(programs, 'systemd-notify'), slow, { mode: 0o755 })
    const { told, running } = await notified(['method=inline'], { PATH: programs })
    await running.says('"ready"')
    running.kill('SIGTERM')
    expect(await running.outcome()).toMatchObject({ code: 0 })
    await until('both are heard', () => told.length === 2)
    expect(firstLines(told)).toEqual(['READY=1', 'STOPPING=1'])
  })

  it('hears when a reload begins and when it is over, with the time of Type=notify-reload', async () => {
    const { told, running } = await notified(['method=threaded', 'maxchildren=1'])
    await until('it is ready', () => told.length === 1)
    const before = process.hrtime.bigint() / 1000n
    running.kill('SIGHUP')
    await until('it has reloaded', () => told.length === 3)
    expect(firstLines(told)).toEqual(['READY=1', 'RELOADING=1', 'READY=1'])
    const time = BigInt(/^MONOTONIC_USEC=(\d+)$/m.exec(told[1]?.message ?? '')?.[1] ?? 0)
    expect(time >= before && time <= process.hrtime.bigint() / 1000n).toBe(true)
  })

  it('hears of a reload that fails, and is not left waiting for one that cannot be', async () => {
    const { path, told, running } = await notified(['method=threaded', 'maxchildren=1'])
    await until('it is ready', () => told.length === 1)
    spawnSync('sh', ['-c', 'echo "throw new Error(1)" > app.js'], { cwd: path })
    running.kill('SIGHUP')
    await until('it has failed', () => told.length === 3)
    expect(told[2]?.message).toMatch(/^READY=1\nSTATUS=Reload failed, nothing has changed: .*app\.js/)
    const inline = await notified(['method=inline'])
    await until('it is ready', () => inline.told.length === 1)
    inline.running.kill('SIGHUP')
    await until('it has answered', () => inline.told.length === 3)
    expect(firstLines(inline.told)).toEqual(['READY=1', 'RELOADING=1', 'READY=1'])
  })

  it('hears which process is the main one after an upgrade, before the old one ends', async () => {
    const { told, running } = await notified(['method=inline', 'errlog=log'], { WATCHDOG_USEC: '400000' })
    await until('it is ready', () => told.length >= 1)
    running.kill('SIGUSR2')
    await until('the old one has ended', () => running.child.exitCode === 0)
    const main = () => told.find(({ message }) => message.startsWith('MAINPID='))
    await until('it is told', () => main() !== undefined)
    const successor = Number(/^MAINPID=(\d+)\n/.exec(main()?.message ?? '')?.[1])
    cleanUps.push(() => kill(successor, 'SIGKILL'))
    expect(kill(successor, 0)).toBe(true)
    expect(firstLines(told)).not.toContain('STOPPING=1')
    const sofar = told.length
    await until('the new one feeds the watchdog', () => firstLines(told.slice(sofar)).includes('WATCHDOG=1'))
  })

  it('has its watchdog fed, at least twice in the time that it allows', async () => {
    const { told } = await notified([], { WATCHDOG_USEC: '400000' })
    await until('it is fed', () => firstLines(told).filter(line => line === 'WATCHDOG=1').length >= 3)
  })

  it.each([[['method=inline']], [['method=threaded', 'maxchildren=1']]])(
    'has its watchdog fed no more when nothing serves: %s',
    async settings => {
      const app = `export default { fetch: () => { for (;;); } }`
      const { told, target, running } = await notified(
        [...settings, 'hang-timeout=0'],
        { WATCHDOG_USEC: '400000' },
        app,
      )
      const fed = () => firstLines(told).filter(line => line === 'WATCHDOG=1').length
      await until('it is fed', () => fed() >= 1)
      const asked = probe({ target }).catch(() => undefined)
      cleanUps.push(() => {
        running.kill('SIGKILL')
        return asked
      })
      if (settings[0] !== 'method=inline') {
        // The thread is stuck, but the pool would still answer other requests, if only with 503.
        const before = fed()
        await until('it is fed', () => fed() > before)
        return
      }
      let last = -1
      let unchangedSince = performance.now()
      await until('it is not fed for two times the time that is allowed', () => {
        if (fed() !== last) unchangedSince = performance.now()
        last = fed()
        return performance.now() - unchangedSince > 800
      })
    },
  )

  it('is told through a socket that it has opened for that, without another program', async () => {
    const { path } = project({ 'app.js': APP })
    const program = new URL('../../bin/runfcgi.js', import.meta.url).pathname
    const command = [process.execPath, program, 'stand', 'method=inline', `socket=${path}/s.sock`, `${path}/app.js`]
    const { told } = await receive(join(path, 'notify'), command)
    await until('it is fed', () => told.length >= 3)
    const [pid] = new Set(told.map(({ pid }) => pid))
    cleanUps.push(() => kill(pid as number, 'SIGKILL'))
    expect(await body({ kind: 'unix', path: join(path, 's.sock') })).toBe(`pid ${pid}`)
    expect(firstLines(told).slice(0, 3)).toEqual(['READY=1', 'WATCHDOG=1', 'WATCHDOG=1'])
    kill(pid as number, 'SIGTERM')
    await until('it stops', () => firstLines(told).includes('STOPPING=1'))
  })

  it('that does not listen costs one warning, and nothing else', async () => {
    const { path } = project({ 'app.js': APP })
    const env = { NOTIFY_SOCKET: join(path, 'nobody'), WATCHDOG_USEC: '100000' }
    const running = launch(['socket=./s.sock'], { cwd: path, env })
    await running.says('the service manager cannot be told')
    expect(await accepts(join(path, 's.sock'))).toBe(true)
    running.kill('SIGTERM')
    const { code, stderr } = await running.outcome()
    expect(code).toBe(0)
    expect(stderr.match(/cannot be told/g)).toHaveLength(1)
  })
})

it('a process that systemd has started itself does not detach, whatever the type of the unit', async () => {
  const { path } = project({ 'app.js': APP })
  const via = ['/bin/sh', '-c', 'SYSTEMD_EXEC_PID=$$ exec "$@"', 'sh']
  const running = launch(['method=inline', 'socket=./s.sock'], { cwd: path, via })
  await running.says('"ready"')
  expect(await body({ kind: 'unix', path: join(path, 's.sock') })).toBe(`pid ${running.child.pid}`)
})
