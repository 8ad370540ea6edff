import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { examinePidfile, type Pidfile, refuseIfHeld, writePidfile } from '../../../src/process/daemon/pidfile.ts'
import { isAlive } from '../../support/processes.ts'
import { until } from '../../support/until.ts'

let folder: string
let path: string
const written = new Set<Pidfile>()
const children = new Set<ChildProcess>()

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'runfcgi-pidfile-')))
  path = join(folder, 'site.pid')
})

afterEach(() => {
  for (const pidfile of written) pidfile.release()
  for (const child of children) child.kill('SIGKILL')
  written.clear()
  children.clear()
  rmSync(folder, { recursive: true })
})

function write(): Pidfile {
  const pidfile = writePidfile(path)
  written.add(pidfile)
  return pidfile
}

/** A process that writes its id to the pidfile, and keeps it open or not. It is another program by the time it is told. */
async function other(keepOpen: boolean): Promise<number> {
  const script = keepOpen ? `exec 3> '${path}'; echo $$ >&3` : `echo $$ > '${path}'`
  const child = spawn('sh', ['-c', `${script}; exec sleep 60`], { stdio: 'ignore' })
  children.add(child)
  await until('it has written its id', () => existsSync(path) && readFileSync(path, 'utf8').endsWith('\n'))
  await until('the shell has closed what it writes to', () => commandOf(child.pid as number).startsWith('sleep'))
  return child.pid as number
}

const commandOf = (pid: number): string => execFileSync('ps', ['-o', 'args=', '-p', String(pid)], { encoding: 'utf8' })

/** The id of a process that has ended. */
const deadPid = (): number => spawnSync('true').pid

describe('a pidfile', () => {
  it('holds the process id and a newline, for everybody to read, whatever the umask', () => {
    const before = execFileSync('sh', ['-c', 'umask'], { encoding: 'utf8' }).trim()
    expect(before).toMatch(/^\d+$/)
    write()
    expect(readFileSync(path, 'utf8')).toBe(`${process.pid}\n`)
    expect(statSync(path).mode & 0o777).toBe(0o644)
    expect(readdirSync(folder)).toEqual(['site.pid'])
  })

  it('is removed at the end', () => {
    write().release()
    expect(readdirSync(folder)).toEqual([])
  })

  it('is left where it is if it is another daemon’s by then', () => {
    const pidfile = write()
    const successor = write()
    pidfile.release()
    expect(readFileSync(path, 'utf8')).toBe(`${process.pid}\n`)
    successor.release()
    expect(existsSync(path)).toBe(false)
  })

  it('that somebody has removed is no reason to fail at the end', () => {
    const pidfile = write()
    rmSync(path)
    pidfile.release()
    expect(readdirSync(folder)).toEqual([])
  })
})

describe('a pidfile that is there', () => {
  it('is held while the process that it names has it open', async () => {
    const pid = await other(true)
    expect(examinePidfile(path)).toEqual({ kind: 'held', pid })
    expect(() => refuseIfHeld(path)).toThrow(`already running as process ${pid}`)
    expect(readFileSync(path, 'utf8')).toBe(`${pid}\n`)
  })

  it.runIf(existsSync('/proc/self/fd'))('is stale if its process id is another program’s by now', async () => {
    const pid = await other(false)
    expect(examinePidfile(path)).toEqual({ kind: 'stale', why: `process ${pid} is another program` })
    expect(() => refuseIfHeld(path)).not.toThrow()
  })

  it('is stale if its process has ended', async () => {
    const pid = deadPid()
    writeFileSync(path, `${pid}\n`)
    expect(examinePidfile(path)).toEqual({ kind: 'stale', why: `process ${pid} has ended` })
  })

  it('is stale if its process was killed while it had it open', async () => {
    const pid = await other(true)
    process.kill(pid, 'SIGKILL')
    await until('it is gone', () => !isAlive(pid))
    expect(examinePidfile(path)).toEqual({ kind: 'stale', why: `process ${pid} has ended` })
  })

  it('is stale if it names this very process, as in a container that was started again', () => {
    writeFileSync(path, `${process.pid}\n`)
    expect(examinePidfile(path)).toEqual({ kind: 'stale', why: `process ${process.pid} is this one` })
  })

  it.each(['', '\n', '  \n'])('is stale if it holds nothing: %j', text => {
    writeFileSync(path, text)
    expect(examinePidfile(path)).toEqual({ kind: 'stale', why: 'it is empty' })
  })

  it('may have been written with spaces, or without a newline', () => {
    const pid = deadPid()
    for (const text of [String(pid), ` ${pid} \r\n`]) {
      writeFileSync(path, text)
      expect(examinePidfile(path)).toEqual({ kind: 'stale', why: `process ${pid} has ended` })
    }
  })
})

describe('what is no pidfile is left alone', () => {
  it.each(['hello\n', '0\n', '-1\n', '12 34\n', '1e3\n', '0x10\n', '99999999999\n', 'x'.repeat(1_000_000)])(
    'such as a file that holds something else (%#)',
    text => {
      writeFileSync(path, text)
      expect(() => examinePidfile(path)).toThrow(/holds no process id, and is left alone/)
      expect(readFileSync(path, 'utf8')).toBe(text)
    },
  )

  it('such as a folder, a symbolic link or a pipe that nobody writes to', () => {
    mkdirSync(path)
    expect(() => refuseIfHeld(path)).toThrow(/is a folder, and is left alone/)
    for (const make of [() => symlinkSync('/etc/passwd', path), () => execFileSync('mkfifo', [path])]) {
      rmSync(path, { recursive: true })
      make()
      expect(() => refuseIfHeld(path)).toThrow(/is no regular file, and is left alone/)
    }
  })
})

describe('where no pidfile can be', () => {
  it('a missing folder is named, before anything and when it goes meanwhile', () => {
    path = join(folder, 'no', 'site.pid')
    const message = `folder ${join(folder, 'no')} of pidfile ${path} does not exist: create it first`
    expect(() => refuseIfHeld(path)).toThrow(message)
    expect(() => writePidfile(path)).toThrow(message)
  })

  it('a folder that is none is named', () => {
    writeFileSync(join(folder, 'file'), '')
    path = join(folder, 'file', 'site.pid')
    expect(() => refuseIfHeld(path)).toThrow(`${join(folder, 'file')}, the folder of pidfile ${path}, is no folder`)
  })

  it('missing rights are named, and nothing is left', () => {
    expect(() => writePidfile('/proc/site.pid')).toThrow(/pidfile \/proc\/site\.pid/)
  })
})
