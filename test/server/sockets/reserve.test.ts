import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import * as net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Address } from '../../../src/server/sockets/address.ts'
import { bind } from '../../../src/server/sockets/listen.ts'
import { ListenError } from '../../../src/server/sockets/listen-error.ts'
import { type Reserved, reserve, reserveAll } from '../../../src/server/sockets/reserve.ts'
import { bundled } from '../../support/bundled.ts'

let folder: string
let cleanUp: (() => unknown)[] = []

beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'reserve-'))
})
afterEach(async () => {
  for (const one of cleanUp.reverse()) await one()
  cleanUp = []
  fs.rmSync(folder, { recursive: true, force: true })
})

async function reserved(address: Address): Promise<Reserved> {
  const one = await reserve(address)
  cleanUp.push(() => one.close())
  return one
}

async function refusal(attempt: Promise<unknown>): Promise<ListenError> {
  const outcome = await attempt.then(
    () => 'no error',
    (error: unknown) => error,
  )
  if (!(outcome instanceof ListenError)) throw new Error(`expected a ListenError, got ${outcome}`)
  expect(outcome.message).not.toMatch(/\n/)
  return outcome
}

/** What a client reads until the server ends the connection; the code of the error if there is no server. */
function talk(target: net.NetConnectOpts): Promise<string> {
  return new Promise(settle => {
    let text = ''
    const socket = net.connect(target).setEncoding('latin1')
    socket.on('data', (chunk: string) => {
      text += chunk
    })
    socket.once('end', () => settle(text))
    socket.once('error', (error: NodeJS.ErrnoException) => settle(error.code ?? ''))
  })
}

/** Listens in this process, as `balance=round-robin` does. */
async function answer(one: Reserved, text: string): Promise<void> {
  await one.listen(net.createServer(socket => socket.on('error', () => socket.destroy()).end(text)))
}

interface Report {
  readonly pid?: number
  readonly code?: string
  readonly message?: string
}

const program = await bundled('test/support/programs/reserve.js')

/** A process that reserves, with a child that listens. */
function start(options: object): { child: ChildProcess; report: Promise<Report> } {
  const child = spawn(process.execPath, [program, JSON.stringify(options)], { stdio: ['pipe', 'pipe', 'inherit'] })
  cleanUp.push(() => child.kill('SIGKILL'))
  const report = once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), 'line')
  return { child, report: report.then(([line]) => JSON.parse(line)) }
}

describe('a reserved Unix socket', () => {
  it('is not at its path before it is published, and alone in its folder after', async () => {
    const path = join(folder, 'site.sock')
    const one = await reserved({ kind: 'unix', path })
    expect(fs.existsSync(path)).toBe(false)
    await answer(one, 'hello')
    await one.publish()
    expect(await talk({ path })).toBe('hello')
    expect(fs.readdirSync(folder)).toEqual(['site.sock'])
    await one.close()
    expect(fs.readdirSync(folder)).toEqual([])
  })

  it('is served by a child that has inherited it, and gone when both have ended', async () => {
    const path = join(folder, 'site.sock')
    const { child, report } = start({ address: { kind: 'unix', path } })
    expect(await report).toHaveProperty('pid', child.pid)
    expect(await talk({ path })).toBe(`${child.pid}\n`)
    child.stdin?.end()
    await once(child, 'exit')
    expect(fs.readdirSync(folder)).toEqual([])
  })

  it('has exactly the mode that was asked for, and nobody else has any rights before', async () => {
    const before = process.umask(0)
    try {
      const one = await reserved({ kind: 'unix', path: join(folder, 's'), mode: 0o640 })
      expect(fs.readdirSync(folder)).toHaveLength(1)
      expect(fs.statSync(join(folder, fs.readdirSync(folder)[0] as string)).mode & 0o777).toBe(0o640)
      expect(process.umask()).toBe(0)
      await answer(one, '')
      await one.publish()
      expect(fs.statSync(join(folder, 's')).mode & 0o777).toBe(0o640)
    } finally {
      process.umask(before)
    }
  })

  it('leaves nothing behind when it is never published', async () => {
    const one = await reserve({ kind: 'unix', path: join(folder, 'site.sock') })
    await one.close()
    await one.close()
    expect(fs.readdirSync(folder)).toEqual([])
  })

  it('is not removed by somebody who starts at the same path before anybody listens on it', async () => {
    const path = join(folder, 'site.sock')
    const one = await reserved({ kind: 'unix', path })
    const other = await bind({ kind: 'unix', path })
    await other.close()
    await answer(one, 'hello')
    await one.publish()
    expect(await talk({ path })).toBe('hello')
  })

  it('is an error at once where another is served, and when it is published if another was faster', async () => {
    const path = join(folder, 'site.sock')
    const late = await reserved({ kind: 'unix', path })
    const first = await bind({ kind: 'unix', path })
    cleanUp.push(() => first.close())
    first.server.on('connection', socket => socket.on('error', () => socket.destroy()).end('first'))
    expect((await refusal(reserve({ kind: 'unix', path }))).code).toBe('in-use')
    await answer(late, 'late')
    expect((await refusal(late.publish())).code).toBe('in-use')
    await late.close()
    expect(await talk({ path })).toBe('first')
    expect(fs.readdirSync(folder)).toEqual(['site.sock'])
  })

  it('keeps others from its path', async () => {
    const path = join(folder, 'site.sock')
    const one = await reserved({ kind: 'unix', path })
    await answer(one, 'hello')
    await one.publish()
    expect((await refusal(bind({ kind: 'unix', path }))).message).toContain(`process ${process.pid}`)
    expect((await refusal(reserve({ kind: 'unix', path }))).code).toBe('in-use')
    expect(await talk({ path })).toBe('hello')
  })

  it('is removed at close only if the file is still its own', async () => {
    const path = join(folder, 'site.sock')
    const one = await reserved({ kind: 'unix', path })
    await answer(one, 'one')
    await one.publish()
    fs.unlinkSync(path)
    const other = await reserved({ kind: 'unix', path })
    await answer(other, 'other')
    await other.publish()
    await one.close()
    expect(await talk({ path })).toBe('other')
  })

  it('is left to a successor if asked to', async () => {
    const path = join(folder, 'site.sock')
    const one = await reserved({ kind: 'unix', path })
    await answer(one, 'one')
    await one.publish()
    await one.close({ leaveFile: true })
    expect(fs.readdirSync(folder)).toEqual(['site.sock'])
  })

  it('says so if its file was taken away before it could be published', async () => {
    const one = await reserved({ kind: 'unix', path: join(folder, 'site.sock') })
    for (const name of fs.readdirSync(folder)) fs.unlinkSync(join(folder, name))
    const error = await refusal(one.publish())
    expect(error.code).toBe('system')
    expect(error.message).toContain('was removed before it could become')
  })

  it('clears away what a start that was killed long ago left behind, and nothing younger', async () => {
    const path = join(folder, 'site.sock')
    await reserved({ kind: 'unix', path })
    await reserved({ kind: 'unix', path })
    const [first = '', second = ''] = fs.readdirSync(folder)
    fs.utimesSync(join(folder, first), 0, 0)
    const one = await reserved({ kind: 'unix', path })
    await answer(one, '')
    await one.publish()
    expect(fs.readdirSync(folder).sort()).toEqual(['site.sock', second].sort())
  })

  it('closed in the middle of publishing leaves nothing behind', async () => {
    const one = await reserve({ kind: 'unix', path: join(folder, 'site.sock') })
    await answer(one, '')
    const publishing = one.publish()
    await one.close()
    await publishing
    expect(fs.readdirSync(folder)).toEqual([])
  })

  it.each([
    ['a missing folder', 'no/such/site.sock', 'no-folder'],
    ['a regular file', 'file', 'not-a-socket'],
    ['a long path', 'x'.repeat(120), 'path-too-long'],
  ])('at %s is an error', async (_, name, code) => {
    fs.writeFileSync(join(folder, 'file'), 'precious')
    expect((await refusal(reserve({ kind: 'unix', path: join(folder, name) }))).code).toBe(code)
    expect(fs.readdirSync(folder)).toEqual(['file'])
  })

  it('goes to exactly one of eight that publish at once, each with a process that listens', async () => {
    const path = join(folder, 'site.sock')
    const release = join(folder, 'gate')
    const gate = net.createServer().listen(release)
    cleanUp.push(() => gate.close())
    const waiting: net.Socket[] = []
    const starters = Array.from({ length: 8 }, () => start({ address: { kind: 'unix', path }, release }))
    while (waiting.length < starters.length) waiting.push((await once(gate, 'connection'))[0])
    for (const socket of waiting) socket.end()
    const reports = await Promise.all(starters.map(({ report }) => report))
    const winners = reports.filter(({ pid }) => pid !== undefined)
    expect(winners).toHaveLength(1)
    for (const report of reports) if (report !== winners[0]) expect(report.code).toBe('in-use')
    expect(await talk({ path })).toBe(`${winners[0]?.pid}\n`)
    expect(fs.readdirSync(folder).sort()).toEqual(['gate', 'site.sock'])
  })
})

describe('a reserved TCP port', () => {
  it('is told when the system chooses it, and refuses until somebody listens', async () => {
    const one = await reserved({ kind: 'tcp', host: '127.0.0.1', port: 0 })
    const { port } = one.address as { port: number }
    expect(port).toBeGreaterThan(0)
    expect(await talk({ host: '127.0.0.1', port })).toBe('ECONNREFUSED')
    await answer(one, 'hello')
    expect(await talk({ host: '127.0.0.1', port })).toBe('hello')
    await one.close()
    expect(await talk({ host: '127.0.0.1', port })).toBe('ECONNREFUSED')
  })

  it.each([
    ['localhost', 'localhost'],
    ['::1', '::1'],
    ['', '127.0.0.1'],
  ])('on host "%s" is reached at %s', async (host, target) => {
    const one = await reserved({ kind: 'tcp', host, port: 0 })
    await answer(one, 'hello')
    expect(await talk({ host: target, port: (one.address as { port: number }).port })).toBe('hello')
  })

  it('in use is an error, as is a host that is unknown or of another machine', async () => {
    const one = await bind({ kind: 'tcp', host: '127.0.0.1', port: 0 })
    cleanUp.push(() => one.close())
    const { port } = one.address as { port: number }
    expect((await refusal(reserve({ kind: 'tcp', host: '127.0.0.1', port }))).code).toBe('in-use')
    expect((await refusal(reserve({ kind: 'tcp', host: 'no-such-host.invalid', port: 0 }))).code).toBe('unknown-host')
    expect((await refusal(reserve({ kind: 'tcp', host: '192.0.2.1', port: 0 }))).code).toBe('not-local')
  })
})

describe('a descriptor', () => {
  it('that listens is passed on as it is; any other is refused', async () => {
    const path = join(folder, 's')
    const listening = await bind({ kind: 'unix', path })
    cleanUp.push(() => listening.close())
    const one = await reserve({ kind: 'fd', fd: listening.fd })
    expect(one.fd).toBe(listening.fd)
    await one.publish()
    await one.close()
    expect(listening.server.listening).toBe(true)
    expect(fs.existsSync(path)).toBe(true)

    const file = fs.openSync(join(folder, 'file'), 'w')
    cleanUp.push(() => fs.closeSync(file))
    expect((await refusal(reserve({ kind: 'fd', fd: file }))).code).toBe('descriptor')
    expect((await refusal(reserve({ kind: 'fd', fd: 9_999 }))).code).toBe('descriptor')
  })
})

it('several addresses are reserved together or not at all', async () => {
  const addresses: Address[] = [
    { kind: 'unix', path: join(folder, 'a') },
    { kind: 'unix', path: join(folder, 'missing', 'b') },
  ]
  await refusal(reserveAll(addresses))
  expect(fs.readdirSync(folder)).toEqual([])
})
