/**
 * A listening Unix socket at a path: made under a temporary name in the same folder, given its mode and owner, and only
 * then renamed into place, so that nobody connects to half of it, and so that libuv, which unlinks the name that it
 * bound when the handle closes, never unlinks a live socket.
 *
 * Several starters may want the same path at the same time. "Is the socket there dead?" and "put mine in its place" are
 * two steps, so they need a lock, and the temporary socket is the lock: nobody goes on while another live one stands
 * beside its own. A socket tells by itself whether its process lives (connect(2) is refused when nobody listens), so a
 * crash leaves no lock behind. Who sees a live one with a lower name gives way and tries again later; the lowest waits.
 */

import { chmodSync, chownSync, existsSync, lstatSync, readdirSync, type Stats, unlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { basename, dirname, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { errnoOf, messageOf } from '../thrown.ts'
import { groupNumber, userNumber } from './accounts.ts'
import type { UnixAddress } from './address.ts'
import { ListenError } from './listen-error.ts'
import { holderOf } from './socket-holder.ts'
import { isHeldName, isTemporaryName, isTemporaryNameOf } from './temporary-name.ts'

const DEFAULT_MODE = 0o660

/** How long others may be in the middle of starting at the same path, in milliseconds; it takes each a few. */
export const PATIENCE = 30_000

/** What tells a file from another that has taken its name, and, once it is gone, its inode. */
export interface FileIdentity {
  readonly dev: number
  readonly ino: number
  readonly born: number
}

/** What to make. */
export interface Wanted {
  readonly path: string
  readonly mode: number
  /** -1 leaves it as it is (chown(2)). */
  readonly uid: number
  readonly gid: number
}

/** The file at `path`, if there is one. */
function fileAt(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false })
}

export function identityOf(path: string): FileIdentity | undefined {
  const file = fileAt(path)
  return file && { dev: file.dev, ino: file.ino, born: file.birthtimeMs }
}

/** Removes the file at `path` if it is still the one that `identity` was taken from. */
export function removeIfSame(path: string, identity: FileIdentity): void {
  const now = identityOf(path)
  if (now?.dev === identity.dev && now.ino === identity.ino && now.born === identity.born) unlinkSync(path)
}

function kindOf(file: Stats): string {
  if (file.isFile()) return 'a regular file'
  if (file.isDirectory()) return 'a folder'
  return file.isSymbolicLink() ? 'a symbolic link' : 'a device or pipe'
}

/** What connect(2) says about the socket at `path`: `''` when somebody answers, else the error's code. */
function probe(path: string): Promise<string> {
  return new Promise(settle => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      settle('')
    })
    socket.once('error', error => settle(errnoOf(error) || 'unknown'))
  })
}

/** Nobody listens: the process is gone (ECONNREFUSED), or the file is (ENOENT). A full backlog (EAGAIN) is alive. */
const isDead = (outcome: string): boolean => outcome === 'ECONNREFUSED' || outcome === 'ENOENT'

const isForbidden = (outcome: string): boolean => outcome === 'EACCES' || outcome === 'EPERM'

/** @throws ListenError unless `path` is free or holds a dead socket */
export async function refuseIfTaken(path: string): Promise<void> {
  const file = fileAt(path)
  if (file === undefined) return
  if (!file.isSocket()) {
    const what = `${path} is ${kindOf(file)}, not a socket, and is left alone`
    throw new ListenError('not-a-socket', `${what}: choose another path, or remove it yourself`)
  }
  const outcome = await probe(path)
  if (isDead(outcome)) return
  if (isForbidden(outcome)) {
    const what = `socket ${path} belongs to user ${file.uid} and cannot be tested (permission denied)`
    throw new ListenError('permission', `${what}: choose another path, or start as that user`)
  }
  const pid = holderOf(path)
  const holder = pid === undefined ? 'another process' : `process ${pid}`
  throw new ListenError('in-use', `socket ${path} is in use by ${holder}: stop it first, or choose another path`)
}

/** Others that are starting at `path`. Dead ones are cleared away; another user's, which cannot be tested, do not count. */
async function rivalsOf(own: string, path: string): Promise<string[]> {
  const folder = dirname(path)
  const live: string[] = []
  for (const name of readdirSync(folder)) {
    if (name === basename(own) || !isTemporaryName(name, path)) continue
    const rival = join(folder, name)
    if (!fileAt(rival)?.isSocket()) continue
    const outcome = await probe(rival)
    if (isDead(outcome)) removeDead(rival)
    else if (!isForbidden(outcome)) live.push(rival)
  }
  return live
}

/** Reserved sockets (src/server/sockets/reserve.ts) of starters that were killed; nobody takes so long to start. */
const ABANDONED_MS = 24 * 3_600_000

/** A reserved socket that does not answer may only be waiting for its worker: it is its age that tells. */
export function clearAbandoned(path: string): void {
  const folder = dirname(path)
  for (const name of readdirSync(folder)) {
    if (!isHeldName(name, path)) continue
    const file = fileAt(join(folder, name))
    if (file?.isSocket() && Date.now() - file.mtimeMs > ABANDONED_MS) removeDead(join(folder, name))
  }
}

/** What a process that was killed has left of its attempt to listen at `path`. */
export function clearTemporaryOf(pid: number, path: string): void {
  const folder = dirname(path)
  for (const name of readdirSync(folder)) if (isTemporaryNameOf(pid, name, path)) removeDead(join(folder, name))
}

function removeDead(socket: string): void {
  try {
    unlinkSync(socket)
  } catch (error) {
    // Gone meanwhile, or in a sticky folder and another user's: a dead one is in nobody's way.
    if (!['ENOENT', 'EPERM', 'EACCES'].includes(errnoOf(error))) throw error
  }
}

/** Longer each time: whoever gives way again and again must leave the others a moment in which they are alone. */
export const shortWhile = (attempts = 0): Promise<void> => delay(2 + Math.random() * 8 * 2 ** Math.min(attempts, 6))

/** Waits until `own` is the only one. False: another comes first, give way. */
export async function becomeOnly(own: string, path: string, deadline: number): Promise<boolean> {
  for (;;) {
    const rivals = await rivalsOf(own, path)
    if (rivals.length === 0) return true
    if (performance.now() > deadline) {
      throw new ListenError('in-use', `another process has been starting at ${path} for too long: see ${rivals[0]}`)
    }
    if (rivals.some(rival => rival < own)) return false
    await shortWhile()
  }
}

/**
 * The file is made with no rights for others whatever the umask is. It is set for the synchronous bind(2) only; a worker
 * thread may not set it and lives with the window between bind(2) and chmod(2).
 */
export function privately<T>(make: () => T): T {
  let before: number | undefined
  try {
    before = process.umask(0o177)
  } catch (error) {
    if (errnoOf(error) !== 'ERR_WORKER_UNSUPPORTED_OPERATION') throw error
  }
  try {
    return make()
  } finally {
    if (before !== undefined) process.umask(before)
  }
}

/** Owner first: then nobody but the new owner ever has the rights of the mode. */
export function giveRights(file: string, { path, mode, uid, gid }: Wanted): void {
  try {
    if (uid !== -1 || gid !== -1) chownSync(file, uid, gid)
  } catch (error) {
    if (errnoOf(error) !== 'EPERM') throw error
    const wanted = [uid === -1 ? '' : `user ${uid}`, gid === -1 ? '' : `group ${gid}`].filter(Boolean).join(' and ')
    const what = `no permission to give socket ${path} to ${wanted}`
    throw new ListenError('permission', `${what}: start as root, or choose a group that you are a member of`, error)
  }
  chmodSync(file, mode)
}

export function explain(error: unknown, path: string): unknown {
  if (error instanceof ListenError) return error
  const folder = dirname(path)
  // libuv reports a missing folder as EACCES, for the sake of Windows.
  switch (existsSync(folder) ? errnoOf(error) : 'ENOENT') {
    case 'ENOENT':
      return new ListenError('no-folder', `folder ${folder} of socket ${path} does not exist: create it first`, error)
    case 'ENOTDIR':
      return new ListenError('no-folder', `${folder}, the folder of socket ${path}, is no folder`, error)
    case 'EACCES':
    case 'EPERM':
    case 'EROFS': {
      const what = `no permission to create socket ${path} in folder ${folder}`
      return new ListenError('permission', `${what}: change the rights of the folder, or choose another path`, error)
    }
    default:
      return new ListenError('system', `cannot create socket ${path}: ${messageOf(error)}`, error)
  }
}

/** @throws ListenError `unknown-account` */
export const wantedAt = (address: UnixAddress): Wanted => ({
  path: resolve(address.path),
  mode: address.mode ?? DEFAULT_MODE,
  uid: address.owner === undefined ? -1 : userNumber(address.owner),
  gid: address.group === undefined ? -1 : groupNumber(address.group),
})
