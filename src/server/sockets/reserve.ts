/**
 * Sockets to listen on, bound and not yet listened on: TCP, Unix, or a descriptor that somebody else bound (systemd, a web
 * server, the command that started us). A server of this process listens then (listen.ts), or worker processes that inherit
 * the descriptor do (src/process/workers/prefork.ts). So nothing is accepted before there is somebody who answers.
 */

import { lookup } from 'node:dns/promises'
import type { Server } from 'node:net'
import { errnoOf, messageOf } from '../thrown.ts'
import { type Address, formatAddress, type TcpAddress } from './address.ts'
import { BoundDescriptor, bindOnly, type Handle, InheritedDescriptor, systemError } from './bound-descriptor.ts'
import { checkDescriptor } from './descriptor.ts'
import { ListenError } from './listen-error.ts'
import { reserveUnix } from './path-socket.ts'
import { holderOfPort } from './socket-holder.ts'

export interface Reserved {
  /** As asked for, with what the system filled in: an absolute path, the port that it chose. */
  readonly address: Address
  /** The number of the bound descriptor, to be inherited. It does not listen until whoever inherits it does. */
  readonly fd: number
  /**
   * Puts a Unix socket at its path. Call it when somebody listens on the descriptor; nothing to do for others.
   * @throws ListenError `in-use` if another was faster
   */
  publish(): Promise<void>
  /** Lets this process accept: `server` listens on the descriptor, and `close` closes it. @throws ListenError */
  listen(server: Server, backlog?: number): Promise<void>
  /**
   * Removes the socket file if it is still ours, at once, and closes the descriptor of this process; if it listens, when
   * everybody is accepted who has connected already.
   */
  close(options?: ClosingOptions): Promise<void>
}

export interface ClosingOptions {
  /** A successor listens on the same descriptor: the file is left to it, and so is who waits to be accepted. */
  readonly leaveFile?: boolean
  /** Who waits to be accepted is reset. */
  readonly now?: boolean
}

/**
 * Binds one address and does not listen on it.
 * @throws ListenError with one line: what failed, for which value, what to do
 */
export async function reserve(address: Address): Promise<Reserved> {
  switch (address.kind) {
    case 'tcp':
      return reserveTcp(address)
    case 'fd':
      checkDescriptor(address.fd)
      return new InheritedDescriptor(address)
    case 'unix':
      return reserveUnix(address)
    default:
      return address satisfies never
  }
}

/**
 * Binds one address and lets `server` listen there. Nothing is left of it if that fails.
 * @throws ListenError
 */
export async function serveAt(address: Address, server: Server, backlog?: number): Promise<Reserved> {
  const reserved = await reserve(address)
  try {
    await reserved.listen(server, backlog)
    await reserved.publish()
    return reserved
  } catch (error) {
    await reserved.close({ leaveFile: address.kind === 'fd', now: true })
    throw error
  }
}

/**
 * Reserves all, or none: if one fails, those before it are closed again.
 * @throws ListenError
 */
export async function reserveAll(addresses: readonly Address[]): Promise<Reserved[]> {
  const all: Reserved[] = []
  try {
    for (const address of addresses) all.push(await reserve(address))
    return all
  } catch (error) {
    for (const one of all) await one.close({ leaveFile: one.address.kind === 'fd' })
    throw error
  }
}

async function reserveTcp(address: TcpAddress): Promise<Reserved> {
  let handle: Handle | undefined
  try {
    const found = address.host === '' ? { address: null, family: 6 } : await lookup(address.host)
    handle = bindOnly(found.address, address.port, found.family)
    // libuv keeps "address in use" to itself until it is asked for something.
    const name: { port?: number } = {}
    const errno = handle.getsockname?.(name) ?? 0
    if (errno !== 0) throw systemError(errno)
    const { fd } = handle
    const actual = { ...address, port: name.port ?? address.port }
    return new BoundDescriptor(
      actual,
      fd,
      () => handle?.close(),
      error => explainTcp(error, address),
    )
  } catch (error) {
    handle?.close()
    throw explainTcp(error, address)
  }
}

function explainTcp(error: unknown, address: TcpAddress): ListenError {
  const where = formatAddress(address)
  const fail = (code: ConstructorParameters<typeof ListenError>[0], message: string): ListenError =>
    new ListenError(code, message, error)
  switch (errnoOf(error)) {
    case 'EADDRINUSE': {
      const pid = holderOfPort(address)
      const who = pid === undefined ? 'another process' : `process ${pid}`
      return fail(
        'in-use',
        `port ${address.port} of ${where} is in use by ${who}: stop it first, or choose another port`,
      )
    }
    case 'EACCES':
      return fail('permission', `no permission to listen on ${where}: ports below 1024 need root; choose a higher one`)
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAI_NODATA':
    case 'EAI_NONAME':
      return fail(
        'unknown-host',
        `host "${address.host}" of ${where} is unknown: check the name, or write an IP address`,
      )
    case 'EADDRNOTAVAIL':
      return fail('not-local', `${address.host} is no address of this machine: cannot listen on ${where}`)
    case 'EAFNOSUPPORT':
      return fail('not-local', `this machine has no support for the address family of ${where}: write an IPv4 address`)
    default:
      return fail('system', `cannot listen on ${where}: ${messageOf(error)}`)
  }
}
