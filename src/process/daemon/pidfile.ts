/**
 * The pidfile: the process id and a newline, for `kill $(cat site.pid)` and for init scripts. It is there while the
 * daemon serves, appears whole (a temporary file is renamed into place) and is removed only by the daemon it names.
 *
 * A file that a dead daemon left behind must be told from one whose daemon lives, though the id in it may be another
 * process's by now. So the daemon keeps its pidfile open, and who has it open is the one it names (identity.ts).
 * That two daemons do not start at the same time is the control socket's business (control.ts).
 */

import { randomUUID } from 'node:crypto'
import {
  accessSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { errnoOf, messageOf } from '../../server/thrown.ts'
import { DaemonError } from './daemon-error.ts'
import { hasOpen, isCalledLikeUs, isGone } from './identity.ts'

export type PidfileState =
  | { readonly kind: 'absent' }
  /** Of a daemon that lives. */
  | { readonly kind: 'held'; readonly pid: number }
  /** Left behind. `why` completes "pidfile x is stale: ". */
  | { readonly kind: 'stale'; readonly why: string }

export interface Pidfile {
  readonly path: string
  /** Removes the file if it is still ours: that of a successor stays. Synchronous, and never throws. */
  release(): void
}

/** Everybody may know the process id. */
const MODE = 0o644

/** No process id is longer than this; a longer file is something else. */
const MAX_BYTES = 32

/**
 * What there is at `path`.
 * @throws DaemonError `pidfile` if it is no pidfile, or cannot be read
 */
export function examinePidfile(path: string): PidfileState {
  const file = fileAt(path)
  if (file === undefined) return { kind: 'absent' }
  const pid = readPid(path, file)
  if (pid === undefined) return { kind: 'stale', why: 'it is empty' }
  if (pid === process.pid) return { kind: 'stale', why: `process ${pid} is this one` }
  if (isGone(pid)) return { kind: 'stale', why: `process ${pid} has ended` }
  if (hasOpen(pid, file) ?? isCalledLikeUs(pid)) return { kind: 'held', pid }
  return { kind: 'stale', why: `process ${pid} is another program` }
}

function fileAt(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })
  } catch (error) {
    throw explain(error, path)
  }
}

/** Undefined: the file is empty. Something that a person wrote, or mistyped the path of, is not ours to replace. */
function readPid(path: string, file: Stats): number | undefined {
  if (!file.isFile()) throw notOurs(path, file.isDirectory() ? 'is a folder' : 'is no regular file')
  const text = file.size > MAX_BYTES ? '-' : read(path).trim()
  if (text === '') return undefined
  const pid = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (pid === 0) throw notOurs(path, 'holds no process id')
  return pid
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch (error) {
    throw explain(error, path, 'read')
  }
}

const notOurs = (path: string, what: string): DaemonError =>
  new DaemonError('pidfile', `pidfile ${path} ${what}, and is left alone: choose another path, or remove it yourself`)

/**
 * For before anything else is done: no daemon that lives has the file, and there is a folder to write it in.
 * `predecessor` is the process whose place is to be taken, if there is one.
 * @throws DaemonError `already-running`, `pidfile`
 */
export function refuseIfHeld(path: string, predecessor?: number): void {
  const state = examinePidfile(path)
  if (state.kind === 'held' && state.pid !== predecessor)
    throw new DaemonError('already-running', `already running as process ${state.pid}`)
  try {
    accessSync(dirname(path), constants.W_OK)
  } catch (error) {
    throw explain(error, path)
  }
}

/** Removes the pidfile of a process that has ended; that of another stays. @throws DaemonError `pidfile` */
export function removeLeftover(path: string, pid: number): void {
  const file = fileAt(path)
  if (file === undefined || readPid(path, file) !== pid) return
  try {
    unlinkSync(path)
  } catch (error) {
    throw explain(error, path, 'remove')
  }
}

/**
 * Writes the pidfile of this process. Whatever is there is replaced: see `refuseIfHeld` and `examinePidfile`.
 * @throws DaemonError `pidfile`
 */
export function writePidfile(path: string): Pidfile {
  const temporary = `${path}.${randomUUID().slice(0, 8)}`
  let fd: number | undefined
  try {
    fd = openSync(temporary, 'wx', MODE)
    writePid(fd)
    fchmodSync(fd, MODE)
    renameSync(temporary, path)
    return new OpenPidfile(path, fd)
  } catch (error) {
    if (fd !== undefined) {
      closeSync(fd)
      rmSync(temporary, { force: true })
    }
    throw explain(error, path)
  }
}

/** Through the descriptor: it works whoever this process is by then, and whatever the file is called. */
const writePid = (fd: number): number => writeSync(fd, `${process.pid}\n`, 0)

/** Cleaners of /tmp remove what has not changed for ten days; PostgreSQL, too, touches its lock files once an hour. */
const TOUCH_MS = 58 * 60_000

class OpenPidfile implements Pidfile {
  readonly path: string
  readonly #fd: number
  readonly #touching: NodeJS.Timeout

  constructor(path: string, fd: number) {
    this.path = path
    this.#fd = fd
    this.#touching = setInterval(() => writePid(fd), TOUCH_MS).unref()
  }

  release(): void {
    clearInterval(this.#touching)
    try {
      if (this.#isStillOurs()) unlinkSync(this.path)
    } catch {
      // The folder is root's and we are not any more: an empty pidfile names nobody.
      ftruncateSync(this.#fd)
    }
  }

  #isStillOurs(): boolean {
    const [ours, there] = [fstatSync(this.#fd), lstatSync(this.path, { throwIfNoEntry: false })]
    return there?.dev === ours.dev && there.ino === ours.ino
  }
}

function explain(error: unknown, path: string, verb = 'write'): DaemonError {
  const folder = dirname(path)
  switch (errnoOf(error)) {
    case 'ENOENT':
      return new DaemonError('pidfile', `folder ${folder} of pidfile ${path} does not exist: create it first`, error)
    case 'ENOTDIR':
      return new DaemonError('pidfile', `${folder}, the folder of pidfile ${path}, is no folder`, error)
    case 'EACCES':
    case 'EPERM':
    case 'EROFS': {
      const what = `no permission to ${verb} pidfile ${path} in folder ${folder}`
      return new DaemonError('pidfile', `${what}: change the rights of the folder, or choose another path`, error)
    }
    default:
      return new DaemonError('pidfile', `cannot ${verb} pidfile ${path}: ${messageOf(error)}`, error)
  }
}
