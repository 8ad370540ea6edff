import { spawn } from 'node:child_process'
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { isAlive } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { HELD_APP, home, slowRequest } from './daemon.ts'

const METHODS = ['prefork', 'threaded', 'inline'] as const

describe.each(METHODS)('stop of a daemon with method=%s', method => {
  it('returns when its process is gone, and leaves nothing', async () => {
    const site = home()
    const before = readdirSync(site.folder.path)
    await site.start(`method=${method}`)
    const pid = site.pid()
    expect((await site.get()).status).toBe(200)
    expect(await site.command('stop')).toEqual({ code: 0, signal: null, stdout: '', stderr: '' })
    expect(isAlive(pid)).toBe(false)
    site.expectNothingLeft()
    expect(readdirSync(site.folder.path).filter(name => name !== 'err.log')).toEqual(before)
    expect(site.read('err.log')).toContain('runfcgi stop: finishing what runs')
  })

  it('waits for the requests that run', async () => {
    const site = home()
    await site.start(`method=${method}`)
    const { reply, go } = await slowRequest(site)
    const stopping = site.begin('stop')
    await until('it is told', () => site.read('err.log').includes('runfcgi stop'))
    expect(stopping.child.exitCode).toBe(null)
    go()
    expect((await reply).status).toBe(200)
    expect((await stopping.outcome()).code).toBe(0)
    site.expectNothingLeft()
  })

  it('does not, if it is to stop now', async () => {
    const site = home()
    await site.start(`method=${method}`)
    const { reply } = await slowRequest(site)
    expect((await site.command('stop', 'now')).code).toBe(0)
    expect((await reply.catch(() => ({ status: 0 }))).status).not.toBe(200)
    site.expectNothingLeft()
  })
})

describe('stop', () => {
  it('that comes second waits as the first does; stop now ends the waiting of both', async () => {
    const site = home()
    await site.start()
    await slowRequest(site)
    const waiting = [site.begin('stop'), site.begin('stop')]
    await until('it is told twice', () => site.read('err.log').split('runfcgi stop: ').length === 3)
    expect((await site.command('stop', 'now')).code).toBe(0)
    for (const one of waiting) expect((await one.outcome()).code).toBe(0)
    site.expectNothingLeft()
  })

  it('during an upgrade ends the process to come as well, and leaves nothing of it', async () => {
    const site = home({ 'app.js': HELD_APP })
    await site.start('method=threaded')
    site.folder.file('hold', '')
    const upgrade = site.command('upgrade')
    await until('it loads', () => existsSync(join(site.folder.path, 'loading')))
    expect((await site.command('stop')).code).toBe(0)
    expect((await upgrade).code).toBe(1)
    expect(site.listing().filter(name => name.startsWith('site.'))).toEqual([])
    site.expectNothingLeft()
  })

  it('after an upgrade waits for the requests of the process before as well', async () => {
    const site = home()
    await site.start()
    const before = site.pid()
    const { reply, go } = await slowRequest(site)
    expect((await site.command('upgrade')).code).toBe(0)
    const stopping = site.begin('stop')
    await until('it is told', () => site.read('err.log').includes('runfcgi stop'))
    expect(isAlive(before)).toBe(true)
    expect(stopping.child.exitCode).toBe(null)
    go()
    expect((await reply).status).toBe(200)
    expect((await stopping.outcome()).code).toBe(0)
    site.expectNothingLeft()
  })

  it('now, after an upgrade, cuts off the requests of the process before', async () => {
    const site = home()
    await site.start()
    const { reply } = await slowRequest(site)
    expect((await site.command('upgrade')).code).toBe(0)
    expect((await site.command('stop', 'now')).code).toBe(0)
    expect((await reply.catch(() => ({ status: 0 }))).status).not.toBe(200)
    site.expectNothingLeft()
  })

  it('now, after an upgrade, kills the process before if that hears nothing any more', async () => {
    const site = home()
    await site.start('method=inline')
    const before = site.pid()
    const { reply } = await slowRequest(site)
    expect((await site.command('upgrade')).code).toBe(0)
    process.kill(before, 'SIGSTOP')
    expect((await site.command('stop', 'now')).code).toBe(0)
    await expect(reply).rejects.toThrow()
    site.expectNothingLeft()
  })

  it('says that nothing runs, and ends with 1', async () => {
    const site = home()
    const { code, stderr } = await site.command('stop')
    expect({ code, stderr }).toEqual({ code: 1, stderr: `runfcgi: not running (pidfile ${site.pidfile})\n` })
  })

  it('says that the pidfile is left over', async () => {
    const site = home()
    await site.start('method=inline')
    const pid = site.pid()
    process.kill(pid, 'SIGKILL')
    await until('it is gone', () => !isAlive(pid))
    const { code, stderr } = await site.command('stop')
    const message = `not running (pidfile ${site.pidfile}): the file is left over, process ${pid} has ended`
    expect({ code, stderr }).toEqual({ code: 1, stderr: `runfcgi: ${message}\n` })
  })

  it('needs the control socket or the pidfile, not both', async () => {
    const site = home()
    await site.start('method=inline')
    rmSync(`${site.pidfile}.control`)
    expect((await site.command('stop')).code).toBe(0)
    site.expectNothingLeft()
    await site.start('method=inline')
    rmSync(site.pidfile)
    expect((await site.command('stop')).code).toBe(0)
    site.expectNothingLeft()
  })

  it('finds a daemon that has only a control socket', async () => {
    const site = home()
    await site.start('control=here')
    expect(existsSync(site.pidfile)).toBe(false)
    expect((await site.command('stop', 'control=here')).code).toBe(0)
    expect(existsSync(join(site.folder.path, 'here'))).toBe(false)
    site.expectNothingLeft()
  })

  it('leaves another program alone that has the process id of the pidfile', async () => {
    const site = home()
    const stranger = spawn('sleep', ['60'])
    try {
      writeFileSync(site.pidfile, `${stranger.pid}\n`)
      const { code, stderr } = await site.command('stop')
      expect(code).toBe(1)
      expect(stderr).toContain(`process ${stranger.pid} is another program`)
      expect(isAlive(stranger.pid as number)).toBe(true)
    } finally {
      stranger.kill('SIGKILL')
    }
  })

  it('now ends a daemon that hears nothing any more', async () => {
    const site = home()
    await site.start('method=inline')
    const pid = site.pid()
    site.get('/loop').catch(() => {})
    await until('it is stuck', () => existsSync(join(site.folder.path, 'loop')))
    expect((await site.command('stop', 'now')).code).toBe(0)
    expect(isAlive(pid)).toBe(false)
    expect(site.listing().filter(name => name.startsWith('site.pid'))).toEqual([])
    await site.start('method=inline')
    expect((await site.get()).status).toBe(200)
    expect((await site.command('stop')).code).toBe(0)
    expect(site.read('err.log')).not.toContain('is left over')
    site.expectNothingLeft()
  })

  it('is what kill does with the process id of the pidfile', async () => {
    const site = home()
    await site.start()
    const pid = site.pid()
    process.kill(pid, 'SIGTERM')
    await until('it is gone', () => !isAlive(pid))
    site.expectNothingLeft()
  })

  it.each([
    [['stop', 'later'], /'stop' takes the word 'now' or nothing, not 'later'/],
    [['stop', 'pidfile='], /pidfile= \(command line\): must be/],
  ])('refuses %j', async (args, message) => {
    const { code, stderr } = await home().command(...args)
    expect(code).toBe(2)
    expect(stderr).toMatch(message)
  })

  it.each(['stop', 'restart', 'reload', 'reopen', 'upgrade', 'status'])(
    '%s asks which server is meant, if no setting says it',
    async command => {
      const { folder } = home()
      const { run } = await import('./command.ts')
      const { code, stderr } = await run([command, 'socket=site.sock'], { cwd: folder.path })
      expect(code).toBe(2)
      expect(stderr).toBe('runfcgi: which server? say pidfile=PATH or control=PATH, as when it was started\n')
    },
  )

  it('takes the pidfile from the configuration file and from the environment as well', async () => {
    const site = home()
    site.folder.file('runfcgi.config.json', '{ "pidfile": "site.pid", "socket": "site.sock" }')
    const { run } = await import('./command.ts')
    const cwd = site.folder.path
    expect((await run([], { cwd })).code).toBe(0)
    expect((await run(['status'], { cwd })).code).toBe(0)
    rmSync(join(cwd, 'runfcgi.config.json'))
    expect((await run(['stop'], { cwd, env: { RUNFCGI_PIDFILE: 'site.pid' } })).code).toBe(0)
    site.expectNothingLeft()
  })
})

describe('restart', () => {
  it('replaces the process, with the settings of now', async () => {
    const site = home()
    await site.start('method=inline')
    const [before, old] = [await site.get(), site.pid()]
    const { code, stderr } = await site.command('restart', 'socket=site.sock', 'method=prefork', 'errlog=err.log')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(isAlive(old)).toBe(false)
    expect(site.pid()).not.toBe(old)
    expect((await site.get()).text).not.toBe(before.text)
    expect((await site.command('stop')).code).toBe(0)
    site.expectNothingLeft()
  })

  it('starts what does not run', async () => {
    const site = home()
    expect((await site.command('restart', 'socket=site.sock')).code).toBe(0)
    expect((await site.get()).status).toBe(200)
    expect((await site.command('stop')).code).toBe(0)
    site.expectNothingLeft()
  })

  it('stops nothing if the settings of now are wrong', async () => {
    const site = home()
    await site.start()
    const pid = site.pid()
    expect((await site.command('restart', 'socket=site.sock', 'maxspar=3')).code).toBe(2)
    expect((await site.command('restart')).code).toBe(2)
    expect((await site.command('restart', 'socket=site.sock', './missing.js')).code).toBe(3)
    expect(site.pid()).toBe(pid)
    expect((await site.get()).status).toBe(200)
    expect((await site.command('stop')).code).toBe(0)
  })
})
