/** `lame-duck`: a server that is to stop goes on serving for a while, and health checks hear of it. */

import { describe, expect, it } from 'vitest'
import type { Status } from '../../src/process/status.ts'
import { isAlive } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { type Home, home, slowRequest } from './daemon.ts'

const METHODS = ['prefork', 'threaded', 'inline'] as const

/** Longer than any test takes. */
const LONG = 'lame-duck=10m'

const statusOf = async (site: Home): Promise<Status> => JSON.parse((await site.command('status', '--json')).stdout)

const gone = (pid: number): Promise<void> => until('it has ended', () => !isAlive(pid))

async function ping(site: Home): Promise<number> {
  return (await site.get('/ping')).status
}

/** Started and told to stop. */
async function lameDuck(...settings: string[]): Promise<{ site: Home; pid: number }> {
  const site = home()
  await site.start('ping=/ping', ...settings)
  const pid = site.pid()
  expect(await ping(site)).toBe(200)
  process.kill(pid, 'SIGTERM')
  await until('ping says 503', async () => (await ping(site)) === 503)
  return { site, pid }
}

describe.each(METHODS)('lame-duck with method=%s', method => {
  it('stops by itself when its time is over', async () => {
    const site = home()
    await site.start('lame-duck=1', `method=${method}`)
    const pid = site.pid()
    const { reply, go } = await slowRequest(site)
    process.kill(pid, 'SIGTERM')
    await until('it stops', () => site.read('err.log').includes('lame-duck is over: finishing what runs'))
    expect(isAlive(pid)).toBe(true)
    go()
    expect((await reply).status).toBe(200)
    await gone(pid)
    expect(site.read('err.log')).toContain('SIGTERM: serving for 1 s more (lame-duck)')
    site.expectNothingLeft()
  })

  it('serves everything on new connections while ping says 503, and a second TERM ends that: what runs is finished', async () => {
    const { site, pid } = await lameDuck(LONG, `method=${method}`)
    expect((await statusOf(site)).state).toBe('lame-duck')
    const { reply, go } = await slowRequest(site)
    expect(await site.get()).toMatchObject({ status: 200 })
    expect(await ping(site)).toBe(503)
    process.kill(pid, 'SIGTERM')
    await until('it is told', () => site.read('err.log').includes('SIGTERM: finishing what runs'))
    go()
    expect((await reply).status).toBe(200)
    await gone(pid)
    site.expectNothingLeft()
  })

  it('is skipped by stop now', async () => {
    const { site, pid } = await lameDuck(LONG, `method=${method}`)
    const { reply } = await slowRequest(site)
    expect((await site.command('stop', 'now')).code).toBe(0)
    expect(isAlive(pid)).toBe(false)
    expect((await reply.catch(() => ({ status: 0 }))).status).not.toBe(200)
    site.expectNothingLeft()
  })
})

describe('lame-duck', () => {
  it('holds for runfcgi stop, which waits; a second one does not hurry it', async () => {
    const site = home()
    await site.start('ping=/ping', LONG)
    const waiting = [site.begin('stop')]
    await until('ping says 503', async () => (await ping(site)) === 503)
    waiting.push(site.begin('stop'))
    await until('it is told twice', () =>
      site.read('err.log').includes('runfcgi stop: it will stop when lame-duck is over'),
    )
    expect((await site.get()).status).toBe(200)
    process.kill(site.pid(), 'SIGTERM')
    for (const one of waiting) expect((await one.outcome()).code).toBe(0)
    site.expectNothingLeft()
  })

  it('refuses a reload and an upgrade: it is stopping', async () => {
    const { site, pid } = await lameDuck(LONG)
    for (const command of ['reload', 'upgrade']) {
      const { code, stderr } = await site.command(command)
      expect({ code, stderr }).toEqual({ code: 1, stderr: `runfcgi: process ${pid}: it is stopping\n` })
    }
    process.kill(pid, 'SIGTERM')
    await gone(pid)
  })

  it('is known to a worker that is started meanwhile', async () => {
    const { site, pid } = await lameDuck(LONG, 'method=prefork', 'maxchildren=1')
    const before = (await statusOf(site)).pool?.children[0]
    process.kill(before?.pid as number, 'SIGKILL')
    await until('another serves', async () => {
      const child = (await statusOf(site)).pool?.children[0]
      return child?.phase === 'ready' && child.id !== before?.id
    })
    expect(await ping(site)).toBe(503)
    expect((await site.get()).status).toBe(200)
    process.kill(pid, 'SIGTERM')
    await gone(pid)
  })

  it('is as long as it was at the last reload', async () => {
    const site = home()
    const settings = (text: string): string => site.folder.file('runfcgi.config.json', `{ "lame-duck": "${text}" }`)
    settings('0')
    await site.start('ping=/ping')
    settings('10m')
    expect((await site.command('reload')).code).toBe(0)
    process.kill(site.pid(), 'SIGTERM')
    await until('ping says 503', async () => (await ping(site)) === 503)
    const pid = site.pid()
    process.kill(pid, 'SIGTERM')
    await gone(pid)
  })
})
