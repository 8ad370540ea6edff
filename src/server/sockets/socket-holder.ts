/**
 * What Linux tells in /proc about sockets that Node has no call for: does this descriptor listen, and which process
 * serves a Unix socket or a TCP port. Elsewhere, and where /proc does not show it, the answer is `undefined`.
 */

import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { isIP } from 'node:net'
import { endianness } from 'node:os'
import { basename, dirname } from 'node:path'
import type { TcpAddress, UnixAddress } from './address.ts'
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

/** SOCK_STREAM in the Type column of /proc/net/unix, and SS_CONNECTED in its St column. */
const STREAM = '0001'
const CONNECTED = '03'

/** The row of the socket `fd` in the tables of the kernel, and of which one. */
function rowOf(fd: number): { family: 'tcp' | 'tcp6' | 'unix'; columns: string[] } | undefined {
  const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/self/fd/${fd}`))?.[1]
  if (inode === undefined) return undefined
  for (const family of ['tcp', 'tcp6', 'unix'] as const) {
    const columns = table(family).find(columns => columns[family === 'unix' ? 6 : 9] === inode)
    if (columns !== undefined) return { family, columns }
  }
  return undefined
}

const accepts = (columns: readonly string[]): boolean => (Number.parseInt(columns[3] ?? '0', 16) & ACCEPTS) !== 0

/**
 * Whether the socket `fd` is listening; `undefined` if the system does not tell (another system, or a socket of another
 * network namespace, as systemd passes under PrivateNetwork=).
 */
export function isListening(fd: number): boolean | undefined {
  const row = rowOf(fd)
  if (row === undefined) return undefined
  return row.family === 'unix' ? accepts(row.columns) : row.columns[3] === TCP_LISTEN
}

/** Whether the socket `fd` listens, or could: neither a connection nor for datagrams; `undefined` as above. */
export function canListen(fd: number): boolean | undefined {
  const row = rowOf(fd)
  // A TCP socket that is only bound is in no table.
  if (row?.family !== 'unix') return isListening(fd)
  return row.columns[4] === STREAM && row.columns[5] !== CONNECTED
}

/** What the socket `fd` is bound to; `undefined` if that is nothing, or the system does not tell. */
export function boundTo(fd: number): TcpAddress | UnixAddress | undefined {
  const row = rowOf(fd)
  if (row === undefined) return undefined
  if (row.family === 'unix') {
    const path = row.columns.slice(7).join(' ')
    return path === '' ? undefined : { kind: 'unix', path }
  }
  return tcpAddressOf(row.columns)
}

function tcpAddressOf(columns: readonly string[]): TcpAddress {
  const [address = '', port = ''] = (columns[1] ?? '').split(':')
  return { kind: 'tcp', host: hostOf(address), port: Number.parseInt(port, 16) }
}

/** An address as /proc/net/tcp has it: words of four bytes, each in the order of the machine. */
function hostOf(hex: string): string {
  const bytes = Buffer.from(hex, 'hex')
  if (endianness() === 'LE') bytes.swap32()
  if (bytes.length === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(2 * at).toString(16))
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
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
  const listening = table('unix').filter(accepts)
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
export const holderOf = (path: string): number | undefined => holderOfOnly(inodesAt(path))

/** The same for a TCP port: who listens where somebody who binds `host` (an IP address, a name or '') would. */
export const holderOfPort = ({ host, port }: TcpAddress): number | undefined =>
  holderOfOnly(
    (['tcp', 'tcp6'] as const)
      .flatMap(table)
      .filter(columns => columns[3] === TCP_LISTEN)
      .filter(columns => {
        const bound = tcpAddressOf(columns)
        return bound.port === port && isInTheWay(bound.host, host)
      })
      .map(columns => columns[9] ?? ''),
  )

const EVERY = ['', '0.0.0.0', '::']

/** A name may stand for any address of this machine. */
const isInTheWay = (bound: string, host: string): boolean =>
  EVERY.includes(bound) || EVERY.includes(host) || bound === host || isIP(host) === 0

function holderOfOnly([inode, ...others]: readonly string[]): number | undefined {
  if (inode === undefined || others.length > 0) return undefined
  const pids = readdirSync('/proc').filter(name => /^\d+$/.test(name))
  const holders = pids.filter(pid =>
    descriptorsOf(pid).some(fd => linkOf(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`),
  )
  return holders.length === 0 ? undefined : Math.min(...holders.map(Number))
}
