import { spawnSync } from 'node:child_process'
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLog } from '../src/log.ts'
import { until } from './support/until.ts'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'runfcgi-log-'))
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

const file = (name: string) => join(folder, name)
const text = (name: string) => readFileSync(file(name), 'utf8')
const lines = (name: string): Record<string, unknown>[] =>
  text(name)
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line))

describe('the log', () => {
  it('writes JSON with level, time, process and the stack of an error', () => {
    const log = createLog({ level: 'info', err: file('err') })
    log.error({ err: new Error('no luck'), uri: '/x' }, 'it failed')
    log.flush()
    const [line] = lines('err')
    expect(line).toMatchObject({ level: 'error', pid: process.pid, uri: '/x', msg: 'it failed' })
    expect(line?.err).toMatchObject({
      type: 'Error',
      message: 'no luck',
      stack: expect.stringContaining('log.test.ts'),
    })
    expect(new Date(line?.time as string).toISOString()).toBe(line?.time)
  })

  it('keeps the time and order of lines that wait for it to be loaded', async () => {
    const log = createLog({ level: 'info', err: file('err') })
    const before = Date.now()
    log.info({}, 'one')
    const after = Date.now()
    await until('the clock goes on', () => Date.now() > after)
    log.print('err', '"not the log"\n')
    log.info({}, 'two')
    log.flush()
    log.info({}, 'three')
    log.flush()
    expect(text('err').match(/one|not the log|two|three/g)).toEqual(['one', 'not the log', 'two', 'three'])
    const time = Date.parse(JSON.parse(text('err').split('\n')[0] as string).time)
    expect(time).toBeGreaterThanOrEqual(before)
    expect(time).toBeLessThanOrEqual(after)
  })

  it('writes by itself, without being told to flush', async () => {
    const log = createLog({ level: 'info', err: file('err') })
    log.info({}, 'one')
    await until('it is written', () => {
      try {
        return text('err').includes('one')
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
        return false
      }
    })
  })

  it('leaves out what is less important than its level', () => {
    for (const level of ['debug', 'info', 'warn', 'error', 'silent'] as const) {
      const log = createLog({ level, err: file(level) })
      log.print('err', '')
      for (const name of ['debug', 'info', 'warn', 'error'] as const) log[name]({}, name)
      log.flush()
      log.debug({}, 'debug again')
      log.flush()
    }
    expect(lines('debug').map(({ msg }) => msg)).toEqual(['debug', 'info', 'warn', 'error', 'debug again'])
    expect(lines('warn').map(({ msg }) => msg)).toEqual(['warn', 'error'])
    expect(text('silent')).toBe('')
  })

  it('writes lines for people when asked, and no colours unless asked', () => {
    const log = createLog({ level: 'info', err: file('err'), pretty: true })
    log.warn({ uri: '/x' }, 'careful')
    log.flush()
    expect(text('err')).toMatch(/^\[\d\d:\d\d:\d\d\] WARN: careful\n {4}uri: "\/x"\n$/)
  })

  it('goes on in a new file under the same name when it is opened again, and loses nothing', async () => {
    const log = createLog({ level: 'info', err: file('err'), out: file('out'), access: file('access') })
    log.info({}, 'one')
    log.print('out', 'one\n')
    log.print('access', 'one\n')
    log.flush()
    for (const name of ['err', 'out', 'access']) renameSync(file(name), file(`${name}.old`))
    log.print('access', 'late\n')
    log.reopen()
    log.info({}, 'two')
    log.print('out', 'two\n')
    log.print('access', 'two\n')
    log.flush()
    await until('everything is written', () => (text('access') + text('access.old')).includes('two'))
    expect(lines('err.old').map(({ msg }) => msg)).toEqual(['one'])
    expect(lines('err').map(({ msg }) => msg)).toEqual(['two'])
    expect(text('out.old')).toBe('one\n')
    expect(text('out')).toBe('two\n')
    expect((text('access.old') + text('access')).split('\n')).toEqual(['one', 'late', 'two', ''])
  })

  it('uses one file for two channels with the same name', () => {
    const log = createLog({ level: 'info', err: file('all'), out: file('all'), access: file('all') })
    log.print('out', 'out\n')
    log.print('access', 'access\n')
    log.print('err', 'err\n')
    log.flush()
    expect(text('all')).toBe('out\naccess\nerr\n')
  })

  it('opens no file before there is a line for it, and costs nothing until then', () => {
    const log = createLog({ level: 'info', err: file('err') })
    log.flush()
    log.reopen()
    expect(() => text('err')).toThrow('ENOENT')
  })

  it('goes on without a file that cannot be opened, and says so', () => {
    const log = createLog({ level: 'info', err: file('err'), access: file('none/access') })
    log.info({}, 'one')
    log.flush()
    log.info({}, 'two')
    log.flush()
    expect(lines('err').map(({ msg }) => msg)).toEqual(['cannot write a log file', 'one', 'two'])
  })

  it('goes on in the old file when a new one cannot be opened', async () => {
    mkdirSync(file('logs'))
    const log = createLog({ level: 'info', err: file('logs/err') })
    log.info({}, 'one')
    log.flush()
    renameSync(file('logs'), file('moved'))
    log.reopen()
    log.info({}, 'two')
    log.flush()
    expect(lines('moved/err').map(({ msg }) => msg)).toEqual(['one', 'cannot write a log file', 'two'])
  })

  it.runIf(existsSync('/dev/full'))('does not wait for a disk that is full, and says so once', () => {
    const log = createLog({ level: 'info', err: file('err'), access: '/dev/full' })
    for (let i = 0; i < 3; i++) {
      log.print('access', 'lost\n')
      log.flush()
    }
    expect(lines('err').map(({ msg }) => msg)).toEqual(['cannot write a log file'])
    const nowhere = createLog({ level: 'info', err: '/dev/full' })
    nowhere.info({}, 'lost')
    nowhere.flush()
  })

  it('waits for a reader that is slow, but not for ever', () => {
    // A named pipe opened for reading and writing without blocking: nobody reads, so that it is full after 64 KiB.
    spawnSync('mkfifo', [file('pipe')])
    const fd = openSync(file('pipe'), constants.O_RDWR | constants.O_NONBLOCK)
    const log = createLog({ level: 'info', err: file('err'), out: fd })
    log.print('out', 'x'.repeat(100_000))
    log.flush()
    expect(lines('err').map(({ msg }) => msg)).toEqual(['cannot write a log file'])
    closeSync(fd)
  })
})
