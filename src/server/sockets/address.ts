/**
 * Where to listen, as a person writes it. Text in, value out; touches neither the network nor the file system.
 */

import { ListenError } from './listen-error.ts'

export interface UnixAddress {
  readonly kind: 'unix'
  /** A relative path counts from the working directory at the time of `bind`. */
  readonly path: string
  /** Permission bits of the socket file. Default 0o660, as PHP-FPM's `listen.mode`. */
  readonly mode?: number | undefined
  /** User by name or number. Default: nobody changes it. */
  readonly owner?: string | undefined
  /** Group by name or number. Default: nobody changes it. */
  readonly group?: string | undefined
}

export interface TcpAddress {
  readonly kind: 'tcp'
  /** A name or an address without brackets; `''` is every address of the machine, IPv6 and IPv4. */
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
}

export interface DescriptorAddress {
  readonly kind: 'fd'
  readonly fd: number
  /** The file of an inherited Unix socket, if it is ours to remove when the listener closes. */
  readonly path?: string | undefined
  /** The address that it was bound to, if that is known: what people call it. */
  readonly name?: string | undefined
}

export type Address = UnixAddress | TcpAddress | DescriptorAddress

const FORMS = 'write /path/to/site.sock, unix:site.sock, host:port, [::1]:port, :port, port or fd:number'

function portOf(text: string, address: string): number {
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port > 65_535) {
    throw new ListenError('address', `bad port "${text}" in address "${address}": it must be a number from 0 to 65535`)
  }
  return port
}

function descriptorOf(text: string, address: string): DescriptorAddress {
  if (!/^\d{1,9}$/.test(text)) {
    throw new ListenError('address', `bad descriptor "${text}" in address "${address}": write fd:0 or fd:3`)
  }
  return { kind: 'fd', fd: Number(text) }
}

function unixPath(path: string, address: string): UnixAddress {
  if (path === '' || path.includes('\0')) {
    throw new ListenError('address', `address ${JSON.stringify(address)} names no file: ${FORMS}`)
  }
  return { kind: 'unix', path }
}

/**
 * Reads `unix:/p`, `/p`, `./p`, `host:port`, `[::1]:port`, `:port` or `*:port` (every address of the machine), `port`
 * (127.0.0.1: a FastCGI port open to the world lets the world set any variable) and `fd:3`.
 * @throws ListenError `address`
 */
export function parseAddress(text: string): Address {
  const address = text.trim()
  if (address.startsWith('unix:')) return unixPath(address.slice(5), address)
  if (address.startsWith('fd:')) return descriptorOf(address.slice(3), address)
  if (address.includes('/')) return unixPath(address, address)
  if (/^\d+$/.test(address)) return { kind: 'tcp', host: '127.0.0.1', port: portOf(address, address) }
  const bracketed = /^\[([^[\]]*)\]:(.*)$/.exec(address)
  if (bracketed !== null)
    return { kind: 'tcp', host: bracketed[1] as string, port: portOf(bracketed[2] as string, address) }
  const colon = address.lastIndexOf(':')
  if (colon < 0) throw new ListenError('address', `"${address}" is no address to listen on: ${FORMS}`)
  const host = address.slice(0, colon)
  if (host.includes(':')) {
    throw new ListenError('address', `address "${address}" is ambiguous: put an IPv6 address in brackets, [::1]:9000`)
  }
  return { kind: 'tcp', host: host === '*' ? '' : host, port: portOf(address.slice(colon + 1), address) }
}

/** Text that `parseAddress` reads back (mode, owner and group apart). */
export function formatAddress(address: Address): string {
  switch (address.kind) {
    case 'unix':
      return address.path.includes('/') && !/^(unix|fd):/.test(address.path) ? address.path : `unix:${address.path}`
    case 'tcp':
      return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`
    case 'fd':
      return address.name ?? `fd:${address.fd}`
    default:
      return address satisfies never
  }
}
