import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { until } from '../support/until.ts'
import { run } from './command.ts'
import { APP, HELD_APP, type Home, home } from './daemon.ts'

const NEW_APP = APP.replace('one ', 'two ')

const DONE = { code: 0, stderr: '' }

const answers = async (site: Home): Promise<string> => (await site.get()).text.split(' ')[0] as string

describe.each(['prefork', 'threaded'] as const)('reload with method=%s', method => {
  it('returns when the new code serves', async () => {
    const site = home()
    await site.start(`method=${method}`)
    expect(await answers(site)).toBe('one')
    const pid = site.pid()
    site.folder.file('app.js', NEW_APP)
    expect(await site.command('reload')).toEqual({ code: 0, signal: null, stdout: '', stderr: '' })
    for (let at = 0; at < 8; at++) expect(await answers(site)).toBe('two')
    expect(site.pid()).toBe(pid)
    expect((await site.command('stop')).code).toBe(0)
    site.expectNothingLeft()
  })

  it('says why the new code does not load, ends with 1, and leaves the old one serving', async () => {
    const site = home()
    await site.start(`method=${method}`)
    const pid = site.pid()
    site.folder.file('app.js', "throw new Error('half an edit')")
    const { code, stderr } = await site.command('reload')
    expect(code).toBe(1)
    expect(stderr).toMatch(new RegExp(`^runfcgi: process ${pid}: .*half an edit.*\n$`))
    expect(await answers(site)).toBe('one')
    site.folder.file('app.js', NEW_APP)
    expect((await site.command('reload')).code).toBe(0)
    expect(await answers(site)).toBe('two')
    expect((await site.command('stop')).code).toBe(0)
  })

  it('follows a link that leads to another release: its code, and its folder', async () => {
    const site = home({})
    const at = (name: string): string => join(site.folder.path, name)
    const app = (n: number) => `
      import { readFileSync } from 'node:fs'
      export default (request, response) => response.end('code ${n}, ' + readFileSync('data', 'utf8'))`
    for (const n of [1, 2]) {
      mkdirSync(at(`release${n}`))
      site.folder.file(`release${n}/app.js`, app(n))
      site.folder.file(`release${n}/data`, `data ${n}`)
    }
    const release = (n: number): void => {
      symlinkSync(`release${n}`, at('next'))
      renameSync(at('next'), at('current'))
    }
    release(1)
    await site.start(`method=${method}`, 'workdir=current', './current/app.js')
    expect((await site.get()).text).toBe('code 1, data 1')
    release(2)
    expect(await site.command('reload')).toMatchObject({ code: 0, stderr: '' })
    expect((await site.get()).text).toBe('code 2, data 2')
    // What is no longer used is removed.
    rmSync(at('release1'), { recursive: true })
    expect(await site.command('reload')).toMatchObject({ code: 0, stderr: '' })
    expect((await site.get()).text).toBe('code 2, data 2')
    rmSync(at('current'))
    const { code, stderr } = await site.command('reload')
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/workdir=.*cannot change to that folder/),
    })
    expect((await site.get()).text).toBe('code 2, data 2')
    expect((await site.command('stop')).code).toBe(0)
    site.expectNothingLeft()
  })

  it('says who did not get ready, and that nothing else has ended', async () => {
    const site = home()
    await site.start(`method=${method}`)
    site.folder.file('app.js', 'process.exit(7)')
    const { code, stderr } = await site.command('reload')
    expect(code).toBe(1)
    expect(stderr).toMatch(/: (worker|thread) \d ended before it was ready: exit code 7\n$/)
    expect(site.read('err.log')).toMatch(/reload failed, the old application goes on: (worker|thread) \d ended before/)
    expect(await answers(site)).toBe('one')
    expect((await site.command('stop')).code).toBe(0)
  })

  it('that comes while another is under way speaks for both, with the settings of both', async () => {
    const site = home({ 'app.js': HELD_APP, 'runfcgi.config.json': '{ "maxchildren": 1 }' })
    await site.start(`method=${method}`)
    const loads = (): Promise<void> => until('it loads', () => existsSync(join(site.folder.path, 'loading')))
    site.folder.file('runfcgi.config.json', '{ "maxchildren": 2 }')
    site.folder.file('hold', '')
    const first = site.command('reload')
    await loads()
    rmSync(join(site.folder.path, 'loading'))
    const second = site.command('reload')
    await loads()
    rmSync(join(site.folder.path, 'hold'))
    for (const { code, stderr } of await Promise.all([first, second])) expect({ code, stderr }).toEqual(DONE)
    const { pool } = JSON.parse((await site.command('status', '--json')).stdout)
    expect(pool).toMatchObject({ generation: 3, maxchildren: 2, failedReloads: 0 })
    const log = site.read('err.log')
    expect(log).not.toMatch(/"level":"(error|warn)"/)
    expect(log.match(/"setting":"maxchildren"/g)).toHaveLength(1)
    expect((await site.command('stop')).code).toBe(0)
  })
})

describe('reload', () => {
  it('is refused where one process runs everything, with what to do', async () => {
    const site = home()
    await site.start('method=inline')
    const { code, stderr } = await site.command('reload')
    expect(code).toBe(1)
    expect(stderr).toBe(
      `runfcgi: process ${site.pid()}: one process serves everything: restart it, or choose a method=\n`,
    )
  })

  it('is a signal where the control socket is gone, and says that the log tells the outcome', async () => {
    const site = home()
    await site.start('method=prefork')
    rmSync(`${site.pidfile}.control`)
    site.folder.file('app.js', NEW_APP)
    const { code, stderr } = await site.command('reload')
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: `runfcgi: sent SIGHUP to process ${site.pid()}; its log says what came of it\n`,
    })
    await until('the new code serves', async () => (await answers(site)) === 'two')
    expect((await site.command('stop')).code).toBe(0)
  })

  it.each(['reload', 'reopen', 'upgrade', 'status'])('%s of a daemon that does not run ends with 1', async command => {
    const site = home()
    const { code, stderr } = await site.command(command)
    expect({ code, stderr }).toEqual({ code: 1, stderr: `runfcgi: not running (pidfile ${site.pidfile})\n` })
  })
})

describe('reopen', () => {
  it('returns when the log goes to a new file, with nothing lost', async () => {
    const site = home()
    await site.start('access-log=access.log')
    await site.get('/before')
    const logs = ['err.log', 'access.log']
    await until('both are there', () => logs.every(name => existsSync(join(site.folder.path, name))))
    for (const name of logs) {
      renameSync(join(site.folder.path, name), join(site.folder.path, `${name}.1`))
    }
    expect(await site.command('reopen')).toEqual({ code: 0, signal: null, stdout: '', stderr: '' })
    expect(existsSync(join(site.folder.path, 'err.log'))).toBe(true)
    expect(site.read('err.log')).toContain('runfcgi reopen: log files opened again')
    await site.get('/after')
    expect((await site.command('stop')).code).toBe(0)
    expect(site.read('access.log.1') + site.read('access.log')).toMatch(/GET \/before [\s\S]*GET \/after /)
    expect(site.read('access.log.1')).not.toContain('/after')
  })
})

describe('reopen where a file cannot be opened', () => {
  it('ends with 1 and says which; the log goes on in the old one', async () => {
    const site = home()
    const logs = join(site.folder.path, 'logs')
    mkdirSync(logs)
    await site.start('access-log=logs/access.log')
    await site.get('/before')
    await until('it is there', () => existsSync(join(logs, 'access.log')))
    renameSync(logs, join(site.folder.path, 'moved'))
    const { code, stderr } = await site.command('reopen')
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/^runfcgi: process \d+: its log goes to the old files: ENOENT.*access\.log'\n$/),
    })
    expect(site.read('err.log')).toContain('cannot write a log file')
    mkdirSync(logs)
    expect(await site.command('reopen')).toMatchObject({ code: 0, stderr: '' })
    await site.get('/after')
    expect((await site.command('stop')).code).toBe(0)
    expect(site.read('logs/access.log')).toContain('/after')
  })
})

describe.each(['prefork', 'threaded', 'inline'])('reopen under load with method=%s', method => {
  it('loses no line, and none goes to the old file after it has returned', async () => {
    const site = home()
    await site.start(`method=${method}`, 'access-log=access.log')
    const asked: string[] = []
    let asking = true
    const load = Promise.all(
      Array.from({ length: 4 }, async (_, client) => {
        for (let at = 0; asking; at++) {
          const path = `/${client}-${at}`
          expect((await site.get(path)).status).toBe(200)
          asked.push(path)
        }
      }),
    )
    const sizes: number[] = []
    for (const round of [1, 2, 3]) {
      const before = asked.length
      await until('requests are answered', () => asked.length > before + 20)
      await until('some are in the file', () => site.read('access.log').includes('GET '))
      renameSync(join(site.folder.path, 'access.log'), join(site.folder.path, `access.log.${round}`))
      expect((await site.command('reopen')).code).toBe(0)
      sizes.push(site.read(`access.log.${round}`).length)
    }
    const before = asked.length
    await until('more requests are answered', () => asked.length > before + 20)
    asking = false
    await load
    expect((await site.command('stop')).code).toBe(0)
    expect([1, 2, 3].map(round => site.read(`access.log.${round}`).length)).toEqual(sizes)
    const logged = ['.1', '.2', '.3', ''].map(suffix => site.read(`access.log${suffix}`)).join('')
    const paths = [...logged.matchAll(/"GET (\S+) HTTP/g)].map(([, path]) => path)
    expect(paths.toSorted()).toEqual(asked.toSorted())
    for (const suffix of ['.1', '.2', '.3', '']) expect(site.read(`access.log${suffix}`)).toContain('GET ')
  })
})

describe('upgrade', () => {
  it('returns when another process serves, under the same pidfile and control socket', async () => {
    const site = home()
    await site.start()
    const old = site.pid()
    site.folder.file('app.js', NEW_APP)
    const { code, stderr } = await site.command('upgrade')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(site.pid()).not.toBe(old)
    expect(await answers(site)).toBe('two')
    const { stdout } = await site.command('status', '--json')
    expect(JSON.parse(stdout)).toMatchObject({ pid: site.pid(), state: 'serving' })
    expect((await site.command('stop')).code).toBe(0)
    await until('the old one has ended as well', () => spawnSync('kill', ['-0', String(old)]).status !== 0)
    site.expectNothingLeft()
  })

  it('takes the place of its predecessor only: that of another daemon is refused, whatever the settings say now', async () => {
    const site = home()
    const settings = (pidfile: string): string => site.folder.file('runfcgi.config.json', JSON.stringify({ pidfile }))
    settings('second.pid')
    await site.start('method=inline')
    const first = site.pid()
    const { code } = await run(['socket=second.sock', 'method=inline'], { cwd: site.folder.path })
    expect(code).toBe(0)
    const second = site.read('second.pid')
    settings('site.pid')
    const upgrade = await site.command('upgrade', 'pidfile=second.pid')
    expect(upgrade.code).toBe(1)
    expect(upgrade.stderr).toContain(`already running as process ${first} (pidfile ${site.pidfile})`)
    expect([site.pid(), site.read('second.pid')]).toEqual([first, second])
    for (const pidfile of ['site.pid', 'second.pid']) {
      expect((await site.command('reload', `pidfile=${pidfile}`)).stderr).toContain('one process serves everything')
      expect((await site.command('stop', `pidfile=${pidfile}`)).code).toBe(0)
    }
    site.expectNothingLeft()
  })

  it('ends with 1 if the new one does not get to serve, and leaves pidfile and control socket to the old one', async () => {
    const site = home()
    await site.start()
    const old = site.pid()
    site.folder.file('app.js', "throw new Error('half an edit')")
    const { code, stderr } = await site.command('upgrade')
    expect(code).toBe(1)
    expect(stderr).toMatch(/half an edit/)
    expect(site.pid()).toBe(old)
    expect(await answers(site)).toBe('one')
    expect((await site.command('stop')).code).toBe(0)
    site.expectNothingLeft()
  })
})
