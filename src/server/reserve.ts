/**
 * Listening sockets for others to listen on: bound here, inherited by worker processes (src/process/workers/prefork.ts), which
 * call listen(2) and accept. Nothing is accepted here: a `net.Server` would do that, and its descriptor closes with it.
 *
 * A Unix socket stays under a name of its own until somebody listens on it; then `publish` puts it in its place by the
 * rules of src/server/unix-socket.ts.
 */

import { lookup } from 'node:dns/promises'
import { closeSync, renameSync, rmSync } from 'node:fs'
import * as net from 'node:net'
import { getSystemErrorName } from 'node:util'
import type { Address, DescriptorAddress, TcpAddress, UnixAddress } from './address.ts'
import { closeWhenQuiet } from './last-connections.ts'
import { type ClosingOptions, checkDescriptor, explainTcp, freeStandard } from './listen.ts'
import { ListenError } from './listen-error.ts'
import { heldName, temporaryName } from './temporary-name.ts'
import {
  becomeOnly,
  clearAbandoned,
  explain,
  type FileIdentity,
  giveRights,
  identityOf,
  PATIENCE,
  privately,
  refuseIfTaken,
  removeIfSame,
  shortWhile,
  type Wanted,
  wantedAt,
} from './unix-socket.ts'

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
  /** Lets this process accept after all: `server` listens on the descriptor, and `close` closes it. @throws ListenError */
  listen(server: net.Server, backlog?: number): Promise<void>
  /**
   * Removes the socket file if it is still ours, at once, and closes the descriptor of this process; if it listens, when
   * everybody is accepted who has connected already.
   */
  close(options?: ClosingOptions): Promise<void>
}

/** What there is of a libuv handle. */
interface Handle {
  readonly fd: number
  getsockname?(out: { port?: number }): number
  close(): void
}

type CreateHandle = (address: string | null, port: number, addressType: number, fd: number, flags: number) => unknown

/**
 * Binds without listening. The one use of a private function: Node has no public way to a bound socket that it does not
 * poll. It is what node:cluster uses; the same in Node 20 to 26.
 * @throws Error with the `code` of the system
 */
function bindOnly(address: string | null, port: number, addressType: number): Handle {
  const create = Reflect.get(net, '_createServerHandle') as CreateHandle
  const handle = create(address, port, addressType, -1, 0)
  if (typeof handle === 'number') throw systemError(handle)
  return handle as Handle
}

function systemError(errno: number): Error {
  const code = getSystemErrorName(errno)
  return Object.assign(new Error(code), { code, errno })
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
      return reserveDescriptor(address)
    case 'unix':
      return reserveUnix(address)
    default:
      return address satisfies never
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
    return reserved(handle, { ...address, port: name.port ?? address.port })
  } catch (error) {
    handle?.close()
    throw explainTcp(error, address)
  }
}

/** A descriptor of this process: closed once, by whoever polls it. */
class Descriptor {
  readonly fd: number
  #close: () => void
  #server: net.Server | undefined

  constructor(fd: number, close: () => void) {
    this.fd = fd
    this.#close = close
  }

  async listen(server: net.Server, backlog?: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      server.once('error', error => reject(new ListenError('system', `cannot listen: ${error.message}`, error)))
      server.listen({ fd: this.fd }, backlog, resolve)
    })
    this.#server = server
    this.#close = () => {
      if (server.listening) server.close()
      freeStandard(this.fd)
    }
  }

  async close({ leaveFile = false, now = leaveFile }: ClosingOptions): Promise<void> {
    const close = this.#close
    this.#close = () => {}
    if (this.#server !== undefined && !now) await closeWhenQuiet(this.#server)
    close()
  }
}

function reserved(handle: Handle, address: Address): Reserved {
  const descriptor = new Descriptor(handle.fd, () => handle.close())
  return {
    address,
    fd: handle.fd,
    publish: async () => {},
    listen: (server, backlog) => descriptor.listen(server, backlog),
    close: options => descriptor.close({ ...options }),
  }
}

function reserveDescriptor(address: DescriptorAddress): Reserved {
  const { fd, path } = address
  checkDescriptor(fd)
  const identity = path === undefined ? undefined : identityOf(path)
  const descriptor = new Descriptor(fd, () => (fd > 2 ? closeSync(fd) : freeStandard(fd)))
  let open = true
  return {
    address,
    fd,
    publish: async () => {},
    listen: (server, backlog) => descriptor.listen(server, backlog),
    close: async (options = {}) => {
      if (!open) return
      open = false
      if (path !== undefined && identity !== undefined && !options.leaveFile) removeIfSame(path, identity)
      await descriptor.close(options)
    },
  }
}

async function reserveUnix(address: UnixAddress): Promise<Reserved> {
  const wanted = wantedAt(address)
  try {
    await refuseIfTaken(wanted.path)
    return new ReservedPath(address, wanted)
  } catch (error) {
    throw explain(error, wanted.path)
  }
}

class ReservedPath implements Reserved {
  readonly address: Address
  readonly #wanted: Wanted
  readonly #descriptor: Descriptor
  /** Where the socket is until it is published. It was bound to this name, so libuv removes at most that. */
  readonly #held: string
  /** Where the socket is now. */
  #name: string
  #published: FileIdentity | undefined
  #open = true

  constructor(address: UnixAddress, wanted: Wanted) {
    this.address = { ...address, path: wanted.path }
    this.#wanted = wanted
    this.#held = heldName(wanted.path)
    this.#name = this.#held
    const handle = privately(() => bindOnly(this.#held, -1, -1))
    this.#descriptor = new Descriptor(handle.fd, () => handle.close())
    try {
      giveRights(this.#held, wanted)
    } catch (error) {
      handle.close()
      throw error
    }
  }

  get fd(): number {
    return this.#descriptor.fd
  }

  listen(server: net.Server, backlog?: number): Promise<void> {
    return this.#descriptor.listen(server, backlog)
  }

  async publish(): Promise<void> {
    const { path } = this.#wanted
    const deadline = performance.now() + PATIENCE
    try {
      for (let attempts = 1; this.#open && this.#published === undefined; attempts++) {
        await refuseIfTaken(path)
        if (performance.now() > deadline)
          throw new ListenError('in-use', `too many others are starting at ${path}: try again`)
        if (!(await this.#attempt(deadline))) await shortWhile(attempts)
      }
      clearAbandoned(path)
    } catch (error) {
      throw explain(error, path)
    }
  }

  /** Under a temporary name the socket, now that it answers, is the lock. False: another comes first. */
  async #attempt(deadline: number): Promise<boolean> {
    const { path } = this.#wanted
    const own = temporaryName(path)
    this.#moveTo(own)
    try {
      if (!(await becomeOnly(own, path, deadline))) return false
      await refuseIfTaken(path)
      const identity = identityOf(own)
      this.#moveTo(path)
      this.#published = identity
      return true
    } finally {
      if (this.#published === undefined) this.#moveTo(this.#held)
    }
  }

  #moveTo(name: string): void {
    if (!this.#open) return
    try {
      renameSync(this.#name, name)
    } catch (error) {
      const what = `socket ${this.#name} was removed before it could become ${this.#wanted.path}`
      throw new ListenError('system', `${what}: start again`, error)
    }
    this.#name = name
  }

  async close(options: ClosingOptions = {}): Promise<void> {
    if (!this.#open) return
    this.#open = false
    if (this.#published === undefined) rmSync(this.#name, { force: true })
    else if (!options.leaveFile) removeIfSame(this.#name, this.#published)
    await this.#descriptor.close(options)
  }
}
