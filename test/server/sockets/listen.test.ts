import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import * as net from 'node:net'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Address } from '../../../src/server/sockets/address.ts'
import { isListeningSocket } from '../../../src/server/sockets/descriptor.ts'
import { type Bound, bind, bindAll } from '../../../src/server/sockets/listen.ts'
import { ListenError } from '../../../src/server/sockets/listen-error.ts'
import { bundled } from '../../support/bundled.ts'
import { until } from '../../support/until.ts'

const isRoot = process.getuid?.() === 0
const onLinux = process.platform === 'linux'

let folder: string
let cleanUp: (() => unknown)[] = []

beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'listen-'))
})
afterEach(async () => {
  for (const one of cleanUp.reverse()) await one()
  cleanUp = []
  fs.rmSync(folder, { recursive: true, force: true })
})

async function bound(address: Address): Promise<Bound> {
  const one = await bind(address)
  cleanUp.push(() => one.close())
  return one
}

async function refusal(address: Address): Promise<ListenError> {
  const outcome = await bind(address).then(
    async one => {
      await one.close()
      return 'bound'
    },
    (error: unknown) => error,
  )
  if (!(outcome instanceof ListenError)) throw new Error(`expected a ListenError, got ${outcome}`)
  expect(outcome.message).not.toMatch(/\n/)
  return outcome
}

/** What a client reads from the server at `target` until it ends. */
function talk(target: net.NetConnectOpts): Promise<string> {
  return new Promise((settle, refuse) => {
    const socket = net.connect(target)
    let text = ''
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => {
      text += chunk
    })
    socket.once('end', () => settle(text))
    socket.once('error', refuse)
  })
}

/** Other starters connect and leave at once: that must not matter. */
function answerWith(one: Bound, text: string): void {
  one.server.on('connection', socket => socket.on('error', () => socket.destroy()).end(text))
}

const modeOf = (path: string): number => fs.statSync(path).mode & 0o7777

interface Report {
  readonly pid?: number
  readonly code?: string
  readonly message?: string
}

const program = await bundled('test/support/programs/listen.js')
const listenModule = await bundled('src/server/sockets/listen.ts')

function start(
  options: object,
  env: NodeJS.ProcessEnv = process.env,
): { child: ChildProcess; report: Promise<Report> } {
  const child = spawn(process.execPath, [program, JSON.stringify(options)], { env, stdio: ['pipe', 'pipe', 'inherit'] })
  cleanUp.push(() => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    return once(child, 'exit')
  })
  const report = once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), 'line')
  return { child, report: report.then(([line]) => JSON.parse(line)) }
}

async function exitOf(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

/** A socket file that nobody listens on: what a killed process leaves. */
async function leaveDeadSocket(path: string): Promise<void> {
  const { child, report } = start({ address: { kind: 'unix', path } })
  expect(await report).toHaveProperty('pid')
  child.kill('SIGKILL')
  await exitOf(child)
  expect(fs.statSync(path).isSocket()).toBe(true)
}

describe('a Unix socket', () => {
  it('is served at its path, and nothing else is left in the folder', async () => {
    const path = join(folder, 'site.sock')
    const one = await bound({ kind: 'unix', path })
    answerWith(one, 'hello')
    expect(await talk({ path })).toBe('hello')
    expect(fs.readdirSync(folder)).toEqual(['site.sock'])
    expect(one.address).toEqual({ kind: 'unix', path })
    await one.close()
    expect(fs.readdirSync(folder)).toEqual([])
  })

  it('may be named by a relative path', async () => {
    const path = join(folder, 'site.sock')
    const one = await bound({ kind: 'unix', path: relative(process.cwd(), path) })
    expect(one.address).toEqual({ kind: 'unix', path })
    expect(fs.statSync(path).isSocket()).toBe(true)
  })

  it.each([0o600, 0o660, 0o666, 0o777])('gets mode %o whatever the umask', async mode => {
    for (const umask of [0, 0o022, 0o777]) {
      const path = join(folder, `${umask}.sock`)
      const before = process.umask(umask)
      try {
        await bound({ kind: 'unix', path, mode })
        expect(process.umask()).toBe(umask)
      } finally {
        process.umask(before)
      }
      expect(modeOf(path)).toBe(mode)
    }
  })

  it('gets mode 0660 when none is asked for', async () => {
    await bound({ kind: 'unix', path: join(folder, 's') })
    expect(modeOf(join(folder, 's'))).toBe(0o660)
  })

  it.runIf(isRoot)('is given to a user and a group, by name or by number', async () => {
    const path = join(folder, 's')
    const one = await bound({ kind: 'unix', path, owner: 'nobody', group: '12345', mode: 0o640 })
    const file = fs.statSync(path)
    const nobody = fs.readFileSync('/etc/passwd', 'latin1').match(/^nobody:[^:]*:(\d+):/m)?.[1]
    expect([file.uid, file.gid, file.mode & 0o777]).toEqual([Number(nobody), 12_345, 0o640])
    await one.close()
    await bound({ kind: 'unix', path, group: 'daemon' })
    expect(fs.statSync(path).uid).toBe(process.getuid?.())
    expect(fs.statSync(path).gid).not.toBe(process.getgid?.())
  })

  it.each([
    ['owner', 'user'],
    ['group', 'group'],
  ])('with an unknown %s is an error, and nothing is created', async (key, word) => {
    const error = await refusal({ kind: 'unix', path: join(folder, 's'), [key]: 'no-such-name' })
    expect(error.code).toBe('unknown-account')
    expect(error.message).toBe(`there is no ${word} "no-such-name" on this system: check the name`)
    expect((await refusal({ kind: 'unix', path: join(folder, 's'), [key]: '' })).code).toBe('unknown-account')
    expect((await refusal({ kind: 'unix', path: join(folder, 's'), [key]: '4294967295' })).code).toBe('unknown-account')
    expect(fs.readdirSync(folder)).toEqual([])
  })

  it('that is live is an error which names the path and the process', async () => {
    const path = join(folder, 'site.sock')
    const { report } = start({ address: { kind: 'unix', path } })
    const { pid } = await report
    const error = await refusal({ kind: 'unix', path })
    expect(error.code).toBe('in-use')
    const holder = onLinux ? `process ${pid}` : 'another process'
    expect(error.message).toBe(`socket ${path} is in use by ${holder}: stop it first, or choose another path`)
    expect(await talk({ path })).toBe(`${pid}\n`)
    expect(fs.readdirSync(folder)).toEqual(['site.sock'])
  })

  it('that is live counts as live when its backlog is full', async () => {
    const path = join(folder, 's')
    const { child, report } = start({ address: { kind: 'unix', path } })
    await report
    child.kill('SIGSTOP')
    const error = await refusal({ kind: 'unix', path })
    expect(error.code).toBe('in-use')
    child.kill('SIGCONT')
  })

  it('that is dead is replaced', async () => {
    const path = join(folder, 'site.sock')
    await leaveDeadSocket(path)
    const one = await bound({ kind: 'unix', path })
    answerWith(one, 'second')
    expect(await talk({ path })).toBe('second')
  })

  it('clears away what a start that was killed left behind', async () => {
    const path = join(folder, 'site.sock')
    await leaveDeadSocket(path)
    fs.renameSync(path, `${path}.4242-abcde`)
    fs.writeFileSync(join(folder, 'site.sock.4242-abcdf'), 'a file of somebody else')
    await bound({ kind: 'unix', path })
    expect(fs.readdirSync(folder).sort()).toEqual(['site.sock', 'site.sock.4242-abcdf'])
  })

  it.each([
    ['a regular file', (path: string) => fs.writeFileSync(path, 'precious')],
    ['a folder', (path: string) => fs.mkdirSync(path)],
    ['a symbolic link', (path: string) => fs.symlinkSync('/nowhere', path)],
  ])('never replaces %s', async (kind, make) => {
    const path = join(folder, 'site.sock')
    make(path)
    const before = fs.lstatSync(path)
    const error = await refusal({ kind: 'unix', path })
    expect(error.code).toBe('not-a-socket')
    expect(error.message).toContain(`${path} is ${kind}, not a socket`)
    expect(fs.lstatSync(path).ino).toBe(before.ino)
    expect(fs.readdirSync(folder)).toEqual(['site.sock'])
  })

  it('in a missing folder is an error', async () => {
    const error = await refusal({ kind: 'unix', path: join(folder, 'no', 's') })
    expect(error.code).toBe('no-folder')
    expect(error.message).toBe(
      `folder ${join(folder, 'no')} of socket ${join(folder, 'no', 's')} does not exist: create it first`,
    )
  })

  it('below a file is an error', async () => {
    fs.writeFileSync(join(folder, 'file'), '')
    const error = await refusal({ kind: 'unix', path: join(folder, 'file', 's') })
    expect(error.code).toBe('no-folder')
    expect(error.message).toContain('is no folder')
  })

  it('without permission is an error', async () => {
    // Root may write everywhere but where nobody may.
    const path = isRoot ? '/proc/s' : join(folder, 'closed', 's')
    if (!isRoot) fs.mkdirSync(join(folder, 'closed'), { mode: 0o500 })
    const error = await refusal({ kind: 'unix', path })
    if (!isRoot) expect(error.code).toBe('permission')
    expect(['permission', 'no-folder', 'system']).toContain(error.code)
  })

  describe('with a path near the limit', () => {
    const limit = onLinux ? 107 : 103
    const named = (length: number, name: string): string => {
      const parent = join(folder, 'd'.repeat(length - folder.length - name.length - 2))
      fs.mkdirSync(parent)
      return join(parent, name)
    }
    it.each(['site.sock', 's'.repeat(40)])('works up to the last byte (%s)', async name => {
      const path = named(limit, name)
      const one = await bound({ kind: 'unix', path })
      answerWith(one, 'hello')
      expect(await talk({ path })).toBe('hello')
      expect(fs.readdirSync(join(path, '..'))).toEqual([name])
      expect((await refusal({ kind: 'unix', path })).code).toBe('in-use')
    })

    it('refuses one byte more, and counts bytes, not characters', async () => {
      const error = await refusal({ kind: 'unix', path: named(limit + 1, 'site.sock') })
      expect(error.code).toBe('path-too-long')
      expect(error.message).toContain(`is ${limit + 1} bytes long, the system allows ${limit}`)
      const umlauts = join(folder, 'ü'.repeat(50))
      expect((await refusal({ kind: 'unix', path: umlauts })).code).toBe('path-too-long')
    })

    it('says so where only a temporary name does not fit', async () => {
      const error = await refusal({ kind: 'unix', path: named(limit, 'sock') })
      expect(error.code).toBe('path-too-long')
      expect(error.message).toContain('choose a path shorter by 5 bytes')
    })

    it('refuses a path that no file can have', async () => {
      expect((await refusal({ kind: 'unix', path: join(folder, 'x'.repeat(300)) })).code).toBe('path-too-long')
    })
  })

  it('is removed at close only if the file is still the one that was made', async () => {
    const path = join(folder, 's')
    const first = await bound({ kind: 'unix', path })
    fs.unlinkSync(path)
    const second = await bound({ kind: 'unix', path })
    answerWith(second, 'second')
    await first.close()
    expect(await talk({ path })).toBe('second')
    await first.close()
    expect(await talk({ path })).toBe('second')
  })

  it('stays when the file is left to a successor on the same descriptor', async () => {
    const path = join(folder, 's')
    const first = await bound({ kind: 'unix', path })
    await first.close({ leaveFile: true })
    expect(fs.readdirSync(folder)).toEqual(['s'])
  })

  it('goes to exactly one of twenty that start at once, over a free path', async () => {
    await race(join(folder, 'site.sock'))
  })

  it('goes to exactly one of twenty that start at once, over a dead socket', async () => {
    const path = join(folder, 'site.sock')
    await leaveDeadSocket(path)
    await race(path)
  })

  it('goes to exactly one where temporary names are the short ones', async () => {
    const limit = onLinux ? 107 : 103
    const parent = join(folder, 'd'.repeat(limit - folder.length - 11))
    fs.mkdirSync(parent)
    await race(join(parent, 'site.sock'))
  })

  async function race(path: string): Promise<void> {
    const release = join(folder, 'gate')
    const gate = net.createServer().listen(release)
    const waiting: net.Socket[] = []
    const starters = Array.from({ length: 20 }, () => start({ address: { kind: 'unix', path }, release }))
    for await (const [socket] of connections(gate)) if (waiting.push(socket) === starters.length) break
    for (const socket of waiting) socket.end()
    gate.close()

    const reports = await Promise.all(starters.map(starter => starter.report))
    const winners = reports.filter(report => report.pid !== undefined)
    expect(winners).toHaveLength(1)
    for (const report of reports) {
      if (report === winners[0]) continue
      expect(report.code).toBe('in-use')
      expect(report.message).toMatch(
        new RegExp(`^socket ${path} is in use by (another process|process ${winners[0]?.pid}):`),
      )
    }
    expect(await talk({ path })).toBe(`${winners[0]?.pid}\n`)
    expect(fs.readdirSync(join(path, '..')).filter(name => !/^(gate|d+)$/.test(name))).toEqual(['site.sock'])
    for (const { child } of starters) child.stdin?.end()
    await Promise.all(starters.map(({ child }) => exitOf(child)))
    expect(fs.existsSync(path)).toBe(false)
  }

  async function* connections(server: net.Server): AsyncGenerator<[net.Socket]> {
    const queue: net.Socket[] = []
    server.on('connection', socket => queue.push(socket))
    for (;;) {
      const socket = queue.shift()
      if (socket !== undefined) yield [socket]
      else await once(server, 'connection')
    }
  }
})

describe('a TCP port', () => {
  it('that is 0 is chosen by the system and told', async () => {
    const one = await bound({ kind: 'tcp', host: '127.0.0.1', port: 0 })
    answerWith(one, 'hello')
    expect(one.address).toEqual({ kind: 'tcp', host: '127.0.0.1', port: expect.any(Number) })
    const { port } = one.address as { port: number }
    expect(port).toBeGreaterThan(0)
    expect(await talk({ host: '127.0.0.1', port })).toBe('hello')
  })

  it('is served over IPv6', async () => {
    const one = await bound({ kind: 'tcp', host: '::1', port: 0 })
    answerWith(one, 'six')
    expect(await talk({ host: '::1', port: (one.address as { port: number }).port })).toBe('six')
  })

  it('without a host is served on every address, IPv4 and IPv6', async () => {
    const one = await bound({ kind: 'tcp', host: '', port: 0 })
    answerWith(one, 'all')
    const { port } = one.address as { port: number }
    expect(await talk({ host: '127.0.0.1', port })).toBe('all')
    expect(await talk({ host: '::1', port })).toBe('all')
  })

  it.each(['127.0.0.1', 'localhost', ''])(
    'in use is an error which names the process, also for the host "%s"',
    async host => {
      const one = await bound({ kind: 'tcp', host: '127.0.0.1', port: 0 })
      const { port } = one.address as { port: number }
      const error = await refusal({ kind: 'tcp', host, port })
      expect(error.code).toBe('in-use')
      const who = onLinux ? `process ${process.pid}` : 'another process'
      expect(error.message).toContain(`is in use by ${who}: stop it first, or choose another port`)
    },
  )

  it.runIf(onLinux)('in use by one process on this address and another on the next names the right one', async () => {
    const one = await bound({ kind: 'tcp', host: '127.0.0.1', port: 0 })
    const { port } = one.address as { port: number }
    const { report } = start({ address: { kind: 'tcp', host: '127.0.0.2', port } })
    const { pid } = await report
    expect((await refusal({ kind: 'tcp', host: '127.0.0.2', port })).message).toContain(`in use by process ${pid}:`)
    expect((await refusal({ kind: 'tcp', host: '127.0.0.1', port })).message).toContain(
      `in use by process ${process.pid}:`,
    )
  })

  it('of an unknown host is an error', async () => {
    const error = await refusal({ kind: 'tcp', host: 'no-such-host.invalid', port: 9000 })
    expect(error.code).toBe('unknown-host')
    expect(error.message).toContain('host "no-such-host.invalid"')
  })

  it('of an address of another machine is an error', async () => {
    const error = await refusal({ kind: 'tcp', host: '192.0.2.1', port: 9000 })
    expect(error.code).toBe('not-local')
    expect(error.message).toContain('192.0.2.1 is no address of this machine')
  })

  it.runIf(onLinux && isRoot)('below 1024 is an error for a user who may not', async () => {
    const user = { uid: 65_534, gid: 65_534 }
    const program = `import('${listenModule}').then(({ bind }) =>
      bind({ kind: 'tcp', host: '127.0.0.1', port: 81 })).then(() => console.log('bound'), e => console.log(e.code, e.message))`
    const child = spawn(process.execPath, ['-e', program], { ...user, cwd: '/', stdio: ['ignore', 'pipe', 'inherit'] })
    const [text] = await once(child.stdout as NodeJS.ReadableStream, 'data')
    const lowest = Number(fs.readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'))
    if (lowest <= 81) expect(String(text)).toMatch(/^bound/)
    else expect(String(text)).toMatch(/^permission no permission to listen on 127.0.0.1:81: ports below 1024/)
    await exitOf(child)
  })
})

describe('an inherited descriptor', () => {
  it('is served, whatever its kind', async () => {
    const path = join(folder, 's')
    for (const address of [{ kind: 'unix', path } as const, { kind: 'tcp', host: '127.0.0.1', port: 0 } as const]) {
      const original = await bound(address)
      expect(isListeningSocket(original.fd)).toBe(true)
      const child = spawn(process.execPath, [program, JSON.stringify({ address: { kind: 'fd', fd: 3 } })], {
        stdio: ['pipe', 'pipe', 'inherit', original.fd],
      })
      await original.close({ leaveFile: true })
      await once(child.stdout as NodeJS.ReadableStream, 'data')
      const target = address.kind === 'unix' ? { path } : { port: (original.address as { port: number }).port }
      expect(await talk(target)).toBe(`${child.pid}\n`)
      child.stdin?.end()
      await exitOf(child)
    }
    expect(fs.readdirSync(folder)).toEqual(['s'])
  })

  it('takes its file along if told which it is', async () => {
    const path = join(folder, 's')
    const original = await bound({ kind: 'unix', path })
    const { fd } = original
    const child = spawn(process.execPath, [program, JSON.stringify({ address: { kind: 'fd', fd: 3, path } })], {
      stdio: ['pipe', 'pipe', 'inherit', fd],
    })
    await original.close({ leaveFile: true })
    await once(child.stdout as NodeJS.ReadableStream, 'data')
    child.stdin?.end()
    await exitOf(child)
    expect(fs.readdirSync(folder)).toEqual([])
  })

  it('that is not open is an error', async () => {
    const error = await refusal({ kind: 'fd', fd: 9999 })
    expect(error.code).toBe('descriptor')
    expect(error.message).toBe('descriptor 9999 is not open: whoever starts the program must pass it')
    expect(isListeningSocket(9999)).toBe(false)
  })

  it('that is a file is an error', async () => {
    const fd = fs.openSync(join(folder, 'file'), 'w')
    cleanUp.push(() => fs.closeSync(fd))
    expect((await refusal({ kind: 'fd', fd })).message).toContain(`descriptor ${fd} is not a socket`)
    expect(isListeningSocket(fd)).toBe(false)
  })

  it.runIf(onLinux)('that is a connected socket is an error', async () => {
    for (const address of [
      { kind: 'unix', path: join(folder, 's') } as const,
      { kind: 'tcp', host: '127.0.0.1', port: 0 } as const,
    ]) {
      const one = await bound(address)
      const target = address.kind === 'unix' ? { path: address.path } : { port: (one.address as { port: number }).port }
      const client = net.connect(target)
      await once(client, 'connect')
      const fd: number = Reflect.get(Reflect.get(client, '_handle'), 'fd')
      const error = await refusal({ kind: 'fd', fd })
      expect(error.message).toContain(`descriptor ${fd} is a connection, or a socket for datagrams`)
      expect(isListeningSocket(fd)).toBe(false)
      client.destroy()
    }
  })
})

describe('any listener', () => {
  it('keeps connections that come before anybody answers', async () => {
    const path = join(folder, 's')
    const one = await bound({ kind: 'unix', path })
    const early = Promise.all([talk({ path }), talk({ path })])
    // A third connection that was accepted proves that the two before it were.
    let accepted = 0
    const counted = new Promise<void>(settle => {
      const count = (): void => void (++accepted === 3 && settle())
      const emit = one.server.emit.bind(one.server)
      one.server.emit = (event: string | symbol, ...rest: unknown[]) => {
        if (event === 'connection' && accepted < 3) count()
        return emit(event, ...rest)
      }
    })
    const third = net.connect(path)
    await counted
    third.destroy()
    answerWith(one, 'at last')
    expect(await early).toEqual(['at last', 'at last'])
    expect(await talk({ path })).toBe('at last')
  })

  it('forgets those that ended without a word before anybody answers', async () => {
    const path = join(folder, 's')
    const one = await bound({ kind: 'unix', path })
    const connections = () => new Promise<number>(settle => one.server.getConnections((_, number) => settle(number)))
    const clients = [net.connect(path), net.connect(path)]
    await until('both are accepted', async () => (await connections()) === 2)
    for (const client of clients) client.destroy()
    // The end of one that came later is read after theirs.
    const late = net.connect(path).end('hello')
    await until('so is the third', async () => (await connections()) === 3)
    one.server.on('connection', socket => socket.resume().once('end', () => socket.end('after your end')))
    expect(String((await once(late, 'data'))[0])).toBe('after your end')
    await until('all are gone', async () => (await connections()) === 0)
  })

  it('closes those connections when it is closed before anybody answers', async () => {
    const path = join(folder, 's')
    const one = await bound({ kind: 'unix', path })
    const client = net.connect(path)
    const closed = once(client, 'close')
    client.resume()
    const connections = () => new Promise(settle => one.server.getConnections((_, number) => settle(number)))
    await until('it is accepted', async () => (await connections()) === 1)
    await one.close()
    await closed
  })

  it('accepts half-closed connections', async () => {
    const one = await bound({ kind: 'tcp', host: '127.0.0.1', port: 0 })
    one.server.on('connection', socket => socket.resume().once('end', () => socket.end('after your end')))
    const client = net.connect({ port: (one.address as { port: number }).port, allowHalfOpen: true })
    client.end()
    const [text] = await once(client, 'data')
    expect(String(text)).toBe('after your end')
  })

  it('is bound with all others or none is', async () => {
    const paths = ['a', 'b'].map(name => join(folder, name))
    const all = await bindAll(paths.map(path => ({ kind: 'unix', path })))
    expect(all.map(one => one.address)).toEqual(paths.map(path => ({ kind: 'unix', path })))
    for (const one of all) await one.close()
    const failing = bindAll([
      { kind: 'unix', path: join(folder, 'a') },
      { kind: 'unix', path: join(folder, 'missing', 'b') },
    ])
    await expect(failing).rejects.toThrow(ListenError)
    expect(fs.readdirSync(folder)).toEqual([])
  })
})
