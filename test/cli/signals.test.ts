import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { describe, expect, it } from 'vitest'
import { SIGNALS } from '../../src/cli/serving/signals.ts'
import type { Status } from '../../src/process/status.ts'
import { isAlive, listeningPorts, processesIn } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { type Home, home, slowRequest } from './daemon.ts'

async function statusOf(site: Home): Promise<Status> {
  return JSON.parse((await site.command('status', '--json')).stdout)
}

const maxchildren = async (site: Home): Promise<number | undefined> => (await statusOf(site)).pool?.maxchildren

describe('a daemon', () => {
  it('hears every signal of the table, and dies of none that is not about ending', async () => {
    const site = home()
    await site.start('method=prefork', 'maxchildren=2')
    const pid = site.pid()
    const ending = ['stop', 'quit', 'upgrade']
    for (const { signals, action } of SIGNALS) {
      if (!ending.includes(action)) for (const signal of signals) process.kill(pid, signal)
    }
    await until('the reload is done', () => site.read('err.log').includes('generation 2 serves'))
    expect(site.read('err.log')).toContain('SIGUSR1: log files opened again')
    expect(await maxchildren(site)).toBe(2)
    expect((await site.get()).status).toBe(200)
    expect((await site.command('stop')).code).toBe(0)
    site.expectNothingLeft()
  })

  it('has one child more after TTIN, and one fewer after TTOU', async () => {
    const site = home()
    await site.start('method=threaded', 'maxchildren=1')
    process.kill(site.pid(), 'SIGTTIN')
    await until('there may be one more', async () => (await maxchildren(site)) === 2)
    process.kill(site.pid(), 'SIGTTOU')
    await until('there may be one fewer', async () => (await maxchildren(site)) === 1)
    expect((await site.command('stop')).code).toBe(0)
  })

  it.each(['prefork', 'threaded', 'inline'])('with method=%s never opens the debugger', async method => {
    const site = home()
    await site.start(`method=${method}`)
    // Node itself opens the debugger of a process that is still starting, before anything of ours is loaded.
    await until('all children serve', async () =>
      ((await statusOf(site)).pool?.children ?? []).every(({ phase }) => phase === 'ready'),
    )
    const processes = processesIn(site.folder.path)
    expect(processes.length).toBeGreaterThan(method === 'prefork' ? 1 : 0)
    for (const pid of processes) process.kill(pid, 'SIGUSR1')
    await until('the log files are opened again', () => site.read('err.log').includes('opened again'))
    for (const pid of processes) {
      expect(isAlive(pid)).toBe(true)
      expect(listeningPorts(pid)).toEqual([])
    }
    expect((await site.get()).status).toBe(200)
    expect(site.read('err.log')).not.toContain('Debugger')
    expect((await site.command('stop')).code).toBe(0)
  })

  it('that opens the debugger would be noticed', async () => {
    const child = spawn(process.execPath, ['--inspect=127.0.0.1:0', '-e', 'setInterval(() => {}, 1000)'])
    let told = ''
    child.stderr.on('data', (text: Buffer) => {
      told += text
    })
    await until('the debugger listens', () => told.includes('ws://'))
    expect(listeningPorts(child.pid as number)).toEqual([Number(/:(\d+)\//.exec(told)?.[1])])
    child.kill('SIGKILL')
  })

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'stops on %s when its requests have ended, and at once on a second one',
    async signal => {
      const site = home()
      await site.start()
      const pid = site.pid()
      const { reply } = await slowRequest(site)
      process.kill(pid, signal)
      await until('it has heard', () => site.read('err.log').includes(`${signal}: finishing what runs`))
      expect(isAlive(pid)).toBe(true)
      process.kill(pid, signal)
      await until('it is gone', () => !isAlive(pid))
      expect((await reply.catch(() => ({ status: 0 }))).status).not.toBe(200)
      expect(site.read('err.log')).toContain(`${signal}: stopping now`)
      await until('nothing is left', () => processesIn(site.folder.path).filter(isAlive).length === 0)
      site.expectNothingLeft()
    },
  )

  it('stops at once on QUIT, and leaves nothing', async () => {
    const site = home()
    await site.start()
    const pid = site.pid()
    await slowRequest(site)
    process.kill(pid, 'SIGQUIT')
    await until('it is gone', () => !isAlive(pid))
    await until('nothing is left', () => processesIn(site.folder.path).filter(isAlive).length === 0)
    site.expectNothingLeft()
  })

  it.each(['prefork', 'inline'])(
    'with method=%s answers what runs when the application, too, stops on the signal: server.close(() => process.exit())',
    async method => {
      const site = home({
        'app.cjs': `
          const { existsSync, writeFileSync } = require('node:fs')
          const server = require('node:http').createServer(async (request, response) => {
            writeFileSync('slow', '')
            while (!existsSync('go')) await new Promise(resolve => setTimeout(resolve, 5))
            response.end('listening: ' + server.listening)
          })
          server.listen(3000)
          process.on('SIGTERM', () => {
            server.close(error => {
              writeFileSync('closed', String(error))
              process.exit()
            })
            writeFileSync('heard', '')
          })`,
      })
      await site.start(`method=${method}`, 'maxchildren=1')
      const { reply, go } = await slowRequest(site)
      // As at a terminal, or under systemd: every process of it hears the signal.
      for (const pid of processesIn(site.folder.path)) process.kill(pid, 'SIGTERM')
      await until('it has heard', () => site.read('err.log').includes('SIGTERM: finishing what runs'))
      await until('so has the application', () => site.listing().includes('heard'))
      expect(site.read('closed')).toBe('')
      go()
      expect(await reply).toEqual({ status: 200, text: 'listening: false' })
      await until('it is gone', () => processesIn(site.folder.path).filter(isAlive).length === 0)
      expect(site.read('closed')).toBe('undefined')
      expect(site.read('err.log')).not.toMatch(/"level":"error"|Exception/)
      site.expectNothingLeft()
    },
  )

  it.each([
    ['that is a function', 'module.exports = (request, response) => response.end()'],
    ['that calls listen()', "require('node:http').createServer((request, response) => response.end()).listen(3000)"],
    ['with a close() of its own', "module.exports = require('fastify')().get('/', async () => '')"],
  ])('ends an application %s without a word', async (_what, source) => {
    const site = home({
      'app.cjs': source.replace("'fastify'", JSON.stringify(createRequire(import.meta.url).resolve('fastify'))),
    })
    for (const method of ['prefork', 'threaded', 'inline']) {
      await site.start(`method=${method}`)
      expect((await site.get()).status).toBe(200)
      expect(await site.command('stop')).toMatchObject({ code: 0, stderr: '' })
      expect(site.read('err.log')).not.toMatch(/"level":"(warn|error)"|Exception/)
    }
    site.expectNothingLeft()
  })
})
