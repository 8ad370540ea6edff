/**
 * The names under which a Unix socket is made before it is renamed into place: `site.sock.<pid>-<random>`, or, where the
 * folder's name is so long that this would not fit into `sockaddr_un`, a short one. Names only: nothing is opened here.
 */

import { createHash } from 'node:crypto'
import { basename, dirname, join } from 'node:path'
import { ListenError } from './listen-error.ts'

/** What `sockaddr_un` holds in bytes, less the NUL at its end (unix(7)). */
const MAX_PATH = process.platform === 'linux' ? 107 : 103

/**
 * Never used twice: then a dead one may be removed at any time, whoever else is looking at it. Nothing depends on nobody
 * guessing it, and node:crypto would be loaded for this alone (3 ms of a start).
 */
const random = (): string =>
  Math.floor(Math.random() * 36 ** 5)
    .toString(36)
    .padStart(5, '0')

const digest = (name: string): string => createHash('sha256').update(name).digest('hex').slice(0, 3)

const fits = (path: string): boolean => Buffer.byteLength(path) <= MAX_PATH

/** How the two kinds of names differ: what stands before the random part, and what a short one begins with. */
const MARKS = { temporary: ['-', '.'], held: ['_', '~'] } as const

type Kind = keyof typeof MARKS

/**
 * A new name beside `path`, which must be absolute.
 * @throws ListenError `path-too-long` if either does not fit
 */
export const temporaryName = (path: string): string => nameBeside(path, 'temporary')

/**
 * A name for a socket that nobody listens on yet: `site.sock.<pid>_<random>`. It is no temporary name, for a temporary
 * socket that does not answer counts as dead, and any starter may remove it.
 * @throws ListenError as `temporaryName`
 */
export const heldName = (path: string): string => nameBeside(path, 'held')

/** Is `name`, found in the same folder, a temporary name for `path`? */
export const isTemporaryName = (name: string, path: string): boolean => isName(name, path, 'temporary')

/** Is it one that process `pid` has made? Of a short name nobody can tell. */
export const isTemporaryNameOf = (pid: number, name: string, path: string): boolean =>
  isTemporaryName(name, path) && name.startsWith(`${basename(path)}.${pid}-`)

export const isHeldName = (name: string, path: string): boolean => isName(name, path, 'held')

function nameBeside(path: string, kind: Kind): string {
  if (!fits(path)) {
    const length = Buffer.byteLength(path)
    throw new ListenError(
      'path-too-long',
      `socket path ${path} is ${length} bytes long, the system allows ${MAX_PATH}: choose a shorter one`,
    )
  }
  const [mark, start] = MARKS[kind]
  const long = `${path}.${process.pid}${mark}${random()}`
  if (fits(long)) return long
  const short = join(dirname(path), `${start}${digest(basename(path))}${random()}`)
  if (fits(short)) return short
  const excess = Buffer.byteLength(short) - MAX_PATH
  throw new ListenError(
    'path-too-long',
    `the folder of socket path ${path} leaves no room for a temporary name: choose a path shorter by ${excess} bytes`,
  )
}

function isName(name: string, path: string, kind: Kind): boolean {
  const base = basename(path)
  const [mark, start] = MARKS[kind]
  if (name.startsWith(`${base}.`)) {
    const [pid = '', rest = '', ...more] = name.slice(base.length + 1).split(mark)
    return more.length === 0 && /^\d{1,7}$/.test(pid) && /^[0-9a-z]{5}$/.test(rest)
  }
  if (name.length !== 9 || !name.startsWith(start)) return false
  return name.startsWith(digest(base), 1) && /^[0-9a-z]{5}$/.test(name.slice(4))
}
