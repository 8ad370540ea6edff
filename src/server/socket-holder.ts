/**
 * What Linux tells in /proc about sockets that Node has no call for: does this descriptor listen, and which process
 * serves a Unix socket. Elsewhere, and where /proc does not show it, the answer is `undefined`.
 */

import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { isHeldName, isTemporaryName } from './temporary-name.ts'

/** `__SO_ACCEPTCON` in the Flags column of /proc/net/unix. */
const ACCEPTS = 0x10000

/** TCP_LISTEN in the st column of /proc/net/tcp. */
const TCP_LISTEN = '0A'

/** The columns of each line but the first. Empty where there is no such file. */
function table(name: string): string[][] {
  let text: string
  try {
    text = readFileSync(`/proc/self/net/${name}`, 'utf8')
  } catch {
    return []
  }
  return text
    .split('\n')
    .slice(1)
    .map(line => line.trim().split(/\s+/))
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return '' // Closed meanwhile, or not ours to look at.
  }
}

/**
 * Whether the socket `fd` is listening; `undefined` if the system does not tell (another system, or a socket of another
 * network namespace, as systemd passes under PrivateNetwork=).
 */
export function isListening(fd: number): boolean | undefined {
  const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/self/fd/${fd}`))?.[1]
  if (inode === undefined) return undefined
  for (const family of ['tcp', 'tcp6']) {
    const row = table(family).find(columns => columns[9] === inode)
    if (row !== undefined) return row[3] === TCP_LISTEN
  }
  const row = table('unix').find(columns => columns[6] === inode)
  return row === undefined ? undefined : (Number.parseInt(row[3] ?? '0', 16) & ACCEPTS) !== 0
}

/**
 * The kernel knows a Unix socket by the name that it was bound to. For ours that is a temporary one, which is gone since
 * the socket was renamed; where it is not, somebody is only starting.
 */
function inodesAt(path: string): string[] {
  const renamed = (name: string): boolean =>
    dirname(name) === dirname(path) &&
    [isTemporaryName, isHeldName].some(isOurs => isOurs(basename(name), path)) &&
    !existsSync(name)
  const listening = table('unix').filter(columns => (Number.parseInt(columns[3] ?? '0', 16) & ACCEPTS) !== 0)
  const nameOf = (columns: string[]): string => columns.slice(7).join(' ')
  return listening
    .filter(columns => nameOf(columns) === path || renamed(nameOf(columns)))
    .map(columns => columns[6] ?? '')
}

function descriptorsOf(pid: string): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`)
  } catch {
    return [] // Gone, or another user's.
  }
}

/** The lowest process id that has the listening Unix socket at `path` open, if there is only one such socket. */
export function holderOf(path: string): number | undefined {
  const [inode, ...others] = inodesAt(path)
  if (inode === undefined || others.length > 0) return undefined
  const pids = readdirSync('/proc').filter(name => /^\d+$/.test(name))
  const holders = pids.filter(pid =>
    descriptorsOf(pid).some(fd => linkOf(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`),
  )
  return holders.length === 0 ? undefined : Math.min(...holders.map(Number))
}
