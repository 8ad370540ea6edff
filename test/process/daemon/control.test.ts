import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import {
  type Control,
  type ControlHandler,
  type ControlOptions,
  openControl,
} from '../../../src/process/daemon/control.ts'
import { type CallOptions, callControl } from '../../../src/process/daemon/control-client.ts'
import { soon, until } from '../../support/until.ts'

let folder: string
let path: string
const controls = new Set<Control>()
const others = new Set<{ close(): void }>()

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'runfcgi-control-')))
  path = join(folder, 'site.control')
})

afterEach(() => {
  for (const control of controls) control.close()
  for (const other of others) other.close()
  controls.clear()
  others.clear()
  rmSync(folder, { recursive: true })
})

async function open(handlers: Record<string, ControlHandler> = {}, options?: ControlOptions): Promise<Control> {
  const control = await openControl(path, new Map(Object.entries(handlers)), options)
  controls.add(control)
  return control
}

const ask = (command: string, options: CallOptions & Record<string, unknown> = {}): Promise<unknown> => {
  const { onProgress, silenceMs, ...request } = options
  return soon(command, callControl(path, { ...request, command }, { onProgress, silenceMs }))
}

/** A connection of somebody who is not our client. */
function visit(): { readonly socket: Socket; text(): string } {
  const socket = connect(path)
  others.add({ close: () => socket.destroy() })
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  return { socket, text: () => text }
}

/** Something else that listens where a control socket might. */
async function listen(onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer(onConnection)
  others.add(server)
  server.listen(path)
  await until('it listens', () => server.listening)
  return server
}

describe('a command', () => {
  it('is done by its handler, which gets the request and whose result comes back', async () => {
    await open({ add: ({ a, b }) => (a as number) + (b as number) })
    expect(await ask('add', { a: 2, b: 3 })).toBe(5)
  })

  it('tells how it goes, in order, and then the outcome', async () => {
    await open({
      async count(_request, progress) {
        for (const text of ['one', 'two', 'three']) progress(text)
      },
    })
    const told: string[] = []
    expect(await ask('count', { onProgress: text => told.push(text) })).toBeUndefined()
    expect(told).toEqual(['one', 'two', 'three'])
  })

  it('that fails comes back with the reason', async () => {
    await open({ fail: () => Promise.reject(new Error('the new code does not load')) })
    await expect(ask('fail')).rejects.toMatchObject({ code: 'refused', message: 'the new code does not load' })
  })

  it('that nobody knows is an error, also one that every object has', async () => {
    await open()
    for (const command of ['dance', '__proto__', 'constructor']) {
      await expect(ask(command)).rejects.toMatchObject({
        code: 'refused',
        message: `this daemon does not know the command '${command}'`,
      })
    }
  })

  it('may take longer than the silence that its caller bears, for the daemon gives signs of life', async () => {
    let finish: ((value: string) => void) | undefined
    await open({ slow: () => new Promise(resolve => (finish = resolve)) })
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
    onTestFinished(() => void vi.useRealTimers())
    const answer = ask('slow', { silenceMs: 1_500 })
    answer.catch(() => {})
    await until('it has begun', () => finish !== undefined)
    for (let second = 0; second < 5; second++) {
      vi.advanceTimersByTime(1_000)
      // By the time that another has its answer the caller has heard what was said before.
      expect(await ask('ping')).toEqual({ pid: process.pid })
    }
    finish?.('at last')
    expect(await answer).toBe('at last')
  })

  it('goes on when whoever asked has left', async () => {
    let finish: () => void = () => {}
    let done = false
    await open({
      async work() {
        await new Promise<void>(resolve => (finish = resolve))
        done = true
      },
    })
    const { socket, text } = visit()
    socket.write('{"command":"work"}\n')
    await until('it is accepted', () => text().includes('accepted'))
    socket.destroy()
    finish()
    await until('it is done', () => done)
    expect(await ask('ping')).toEqual({ pid: process.pid })
  })
})

describe('a peer that sends nonsense', () => {
  const nonsense = ['no JSON at all', '[]', 'null', '42', '{}', '{"command":7}', '\0\x01\x02', '\xff\xfe']

  it.each(nonsense)('such as %j is told so', async text => {
    await open()
    const peer = visit()
    peer.socket.write(`${text}\n`)
    await until('it is answered', () => peer.text().endsWith('\n'))
    expect(JSON.parse(peer.text())).toEqual({
      ok: false,
      error: 'no request: a line of JSON with a command is expected',
    })
  })

  it('of a megabyte without an end is told so and let go', async () => {
    await open()
    const peer = visit()
    const ended = new Promise<void>(resolve => peer.socket.once('close', () => resolve()))
    peer.socket.on('error', () => {})
    peer.socket.write('x'.repeat(1_048_576))
    await soon('it is let go', ended)
    expect(await ask('ping')).toEqual({ pid: process.pid })
  })

  it('or nothing, or half a request, or leaves, keeps nobody else from being heard', async () => {
    await open()
    const silent = visit()
    const half = visit()
    half.socket.write('{"comm')
    visit().socket.destroy()
    await until('they are connected', () => !silent.socket.connecting && !half.socket.connecting)
    expect(await ask('ping')).toEqual({ pid: process.pid })
  })

  it('and does not read what it is told costs the daemon no more than a buffer', async () => {
    let told = 0
    await open({
      async flood(_request, progress) {
        for (; told < 1_000; told++) {
          progress('x'.repeat(10_000))
          await new Promise(setImmediate)
        }
      },
    })
    const { socket } = visit()
    socket.pause()
    socket.write('{"command":"flood"}\n')
    await until('all is told', () => told === 1_000)
    expect(await ask('ping')).toEqual({ pid: process.pid })
  })

  it('many times at once does not use up the daemon', async () => {
    await open()
    const peers = Array.from({ length: 200 }, visit)
    for (const { socket } of peers) socket.on('error', () => {})
    await until('they are let in or turned away', () => peers.every(({ socket }) => !socket.connecting))
    await until('the others were turned away', () => peers.filter(({ socket }) => socket.closed).length >= 136)
    for (const { socket } of peers) socket.destroy()
    await until('there is room again', async () => ask('ping').then(Boolean, () => false))
  })
})

describe('the caller', () => {
  it('learns that nobody is there', async () => {
    await expect(ask('ping')).rejects.toMatchObject({ code: 'unreachable' })
    const server = await listen(() => {})
    const kept = join(folder, 'kept')
    renameSync(path, kept)
    server.close()
    renameSync(kept, path)
    await expect(ask('ping')).rejects.toMatchObject({ code: 'unreachable' })
  })

  it('learns that somebody is there who does not answer', async () => {
    await listen(() => {})
    await expect(ask('ping', { silenceMs: 100 })).rejects.toMatchObject({ code: 'no-answer' })
  })

  it('learns that the daemon ended instead of answering', async () => {
    await listen(socket => socket.once('data', () => socket.destroy()))
    await expect(ask('stop')).rejects.toMatchObject({ code: 'ended' })
  })

  it.each(['HTTP/1.1 400 Bad Request\r\n\r\n', '"ok"\n', 'null\n'])('is not taken in by %j', async text => {
    await listen(socket => socket.end(text))
    await expect(ask('ping')).rejects.toMatchObject({ code: 'refused', message: /something else listens there/ })
  })
})

describe('what is told', () => {
  it('has no control characters: it is for terminals', async () => {
    await open({
      tell(_request, progress) {
        progress('\x1b[2Jgone\r\n')
        return { app: '/srv/\x07\x9b31m.js' }
      },
      fail: () => Promise.reject(new Error('one\ntwo\x1b]0;title\x07')),
    })
    const told: string[] = []
    expect(await ask('tell', { onProgress: text => told.push(text) })).toEqual({ app: '/srv/  31m.js' })
    expect(told).toEqual([' [2Jgone  '])
    await expect(ask('fail')).rejects.toMatchObject({ message: 'one two ]0;title ' })
  })
})

describe('the socket', () => {
  it('lets in nobody but its user', async () => {
    await open()
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readdirSync(folder)).toEqual(['site.control'])
  })

  it('is a lock: a second daemon fails with the id of the first, and leaves it alone', async () => {
    await open({ who: () => 'the first' })
    await expect(open({ who: () => 'the second' })).rejects.toMatchObject({
      code: 'already-running',
      message: `already running as process ${process.pid}`,
    })
    expect(await ask('who')).toBe('the first')
    expect(readdirSync(folder)).toEqual(['site.control'])
  })

  it('is had by exactly one of many that want it at once', async () => {
    const outcomes = await Promise.allSettled(Array.from({ length: 30 }, () => open()))
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'already-running' })
    }
    expect(readdirSync(folder)).toEqual(['site.control'])
  })

  it('of a process that has died is replaced', async () => {
    const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
    spawnSync(process.execPath, ['-e', script])
    expect(statSync(path).isSocket()).toBe(true)
    await open({ who: () => 'the next' })
    expect(await ask('who')).toBe('the next')
  })

  it('is removed by the one who made it, and by no other', async () => {
    const control = await open()
    rmSync(path)
    writeFileSync(path, 'somebody else has put this here')
    control.close()
    expect(existsSync(path)).toBe(true)
  })

  it('passes to a successor without a moment in which nobody answers', async () => {
    const old = await open({ who: () => 'old' })
    const successor = await open({ who: () => 'new' }, { takeOver: true })
    expect(await ask('who')).toBe('old')
    await successor.publish()
    expect(await ask('who')).toBe('new')
    old.close()
    expect(await ask('who')).toBe('new')
    successor.close()
    expect(readdirSync(folder)).toEqual([])
  })

  it('stays with the old daemon if the successor does not get that far', async () => {
    await open({ who: () => 'old' })
    const successor = await open({ who: () => 'new' }, { takeOver: true })
    successor.close()
    expect(await ask('who')).toBe('old')
    expect(readdirSync(folder)).toEqual(['site.control'])
  })

  it('is the successor’s also if the old daemon dies meanwhile and a stranger wants it', async () => {
    const old = await open({ who: () => 'old' })
    const successor = await open({ who: () => 'new' }, { takeOver: true })
    old.close()
    const stranger = open({ who: () => 'stranger' })
    const outcome = expect(stranger).rejects.toMatchObject({ code: 'already-running' })
    await until('the stranger waits beside it', () => readdirSync(folder).length === 2)
    await successor.publish()
    await outcome
    expect(await ask('who')).toBe('new')
    expect(readdirSync(folder)).toEqual(['site.control'])
  })

  it('cannot be made where the path is too long: control= is named', async () => {
    path = join(folder, 'x'.repeat(120))
    await expect(open()).rejects.toMatchObject({ code: 'control', message: /bytes long.*control=PATH puts/ })
  })

  it('cannot be made in a folder that is not there, or over a file', async () => {
    path = join(folder, 'no', 'site.control')
    await expect(open()).rejects.toMatchObject({ code: 'control', message: /folder .*no of socket .* does not exist/ })
    path = join(folder, 'file')
    writeFileSync(path, '')
    await expect(open()).rejects.toMatchObject({ code: 'control', message: /is a regular file, not a socket/ })
    expect(statSync(path).isFile()).toBe(true)
  })
})
