/** A descriptor that is bound, and not polled by anybody before it is listened on: of libuv's making, or inherited. */

import { closeSync } from 'node:fs'
import * as net from 'node:net'
import { getSystemErrorName } from 'node:util'
import { messageOf } from '../thrown.ts'
import type { Address, DescriptorAddress } from './address.ts'
import { freeStandard } from './descriptor.ts'
import { closeWhenQuiet } from './last-connections.ts'
import { ListenError } from './listen-error.ts'
import type { ClosingOptions, Reserved } from './reserve.ts'
import { type FileIdentity, identityOf, removeIfSame } from './unix-socket.ts'

/** What there is of a libuv handle. */
export interface Handle {
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
export function bindOnly(address: string | null, port: number, addressType: number): Handle {
  const create = Reflect.get(net, '_createServerHandle') as CreateHandle
  const handle = create(address, port, addressType, -1, 0)
  if (typeof handle === 'number') throw systemError(handle)
  return handle as Handle
}

export function systemError(errno: number): Error {
  const code = getSystemErrorName(errno)
  return Object.assign(new Error(code), { code, errno })
}

/** Closed once, by whoever polls it. */
export class BoundDescriptor implements Reserved {
  readonly address: Address
  readonly fd: number
  #close: () => void
  readonly #explain: (error: unknown) => unknown
  #server: net.Server | undefined

  /** @param explain what it means that nobody can listen */
  constructor(address: Address, fd: number, close: () => void, explain: (error: unknown) => unknown) {
    this.address = address
    this.fd = fd
    this.#close = close
    this.#explain = explain
  }

  async publish(): Promise<void> {}

  async listen(server: net.Server, backlog?: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      server.once('error', error => reject(this.#explain(error)))
      server.listen({ fd: this.fd }, backlog, resolve)
    })
    this.#server = server
    this.#close = () => {
      if (server.listening) server.close()
      freeStandard(this.fd)
    }
  }

  async close({ leaveFile = false, now = leaveFile }: ClosingOptions = {}): Promise<void> {
    const close = this.#close
    this.#close = () => {}
    this.removeFile(leaveFile)
    if (this.#server?.listening && !now) await closeWhenQuiet(this.#server)
    close()
  }

  /**
   * `kept`: a successor has it. While the socket is listened on no other starter takes the path, so that the file cannot
   * have become theirs.
   */
  protected removeFile(_kept: boolean): void {}
}

/** One that somebody else bound: systemd, a web server, the command that started us. */
export class InheritedDescriptor extends BoundDescriptor {
  /** The file of a Unix socket, if it is ours to remove. */
  #file: { readonly path: string; readonly identity: FileIdentity } | undefined

  constructor(address: DescriptorAddress) {
    const { fd, path } = address
    const close = (): void => (fd > 2 ? closeSync(fd) : freeStandard(fd))
    const explain = (error: unknown): ListenError =>
      new ListenError('descriptor', `cannot listen on descriptor ${fd}: ${messageOf(error)}`, error)
    super(address, fd, close, explain)
    const identity = path === undefined ? undefined : identityOf(path)
    if (path !== undefined && identity !== undefined) this.#file = { path, identity }
  }

  protected override removeFile(kept: boolean): void {
    if (this.#file !== undefined && !kept) removeIfSame(this.#file.path, this.#file.identity)
    this.#file = undefined
  }
}
