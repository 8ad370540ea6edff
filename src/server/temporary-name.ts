/**
 * The names under which a Unix socket is made before it is renamed into place: `site.sock.<pid>-<random>`, or, where the
 * folder's name is so long that this would not fit into `sockaddr_un`, a short one. Names only: nothing is opened here.
 */

import { createHash, randomInt } from 'node:crypto'
import { basename, dirname, join } from 'node:path'
import { ListenError } from './listen-error.ts'

/** What `sockaddr_un` holds in bytes, less the NUL at its end (unix(7)). */
const MAX_PATH = process.platform === 'linux' ? 107 : 103

/** Never used twice: then a dead one may be removed at any time, whoever else is looking at it. */
const random = (): string =>
  randomInt(36 ** 5)
    .toString(36)
    .padStart(5, '0')

const digest = (name: string): string => createHash('sha256').update(name).digest('hex').slice(0, 3)

const fits = (path: string): boolean => Buffer.byteLength(path) <= MAX_PATH

/**
 * A new name beside `path`, which must be absolute.
 * @throws ListenError `path-too-long` if either does not fit
 */
export function temporaryName(path: string): string {
  if (!fits(path)) {
    const length = Buffer.byteLength(path)
    throw new ListenError(
      'path-too-long',
      `socket path ${path} is ${length} bytes long, the system allows ${MAX_PATH}: choose a shorter one`,
    )
  }
  const long = `${path}.${process.pid}-${random()}`
  if (fits(long)) return long
  const short = join(dirname(path), `.${digest(basename(path))}${random()}`)
  if (fits(short)) return short
  const excess = Buffer.byteLength(short) - MAX_PATH
  throw new ListenError(
    'path-too-long',
    `the folder of socket path ${path} leaves no room for a temporary name: choose a path shorter by ${excess} bytes`,
  )
}

/** Is `name`, found in the same folder, a temporary name for `path`? */
export function isTemporaryName(name: string, path: string): boolean {
  const base = basename(path)
  if (name.startsWith(`${base}.`)) return /^\d{1,7}-[0-9a-z]{5}$/.test(name.slice(base.length + 1))
  return name.length === 9 && name.startsWith(`.${digest(base)}`) && /^[0-9a-z]{5}$/.test(name.slice(4))
}
