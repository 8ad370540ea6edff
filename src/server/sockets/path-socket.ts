/**
 * A Unix socket on its way to its path. It is bound under a name of its own, where it stays until somebody listens on it;
 * then `publish` puts it in its place by the rules of src/server/sockets/unix-socket.ts.
 */

import { renameSync, rmSync } from 'node:fs'
import type { UnixAddress } from './address.ts'
import { BoundDescriptor, bindOnly } from './bound-descriptor.ts'
import { ListenError } from './listen-error.ts'
import type { Reserved } from './reserve.ts'
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

/** @throws ListenError */
export async function reserveUnix(address: UnixAddress): Promise<Reserved> {
  const wanted = wantedAt(address)
  try {
    const held = heldName(wanted.path)
    await refuseIfTaken(wanted.path)
    return new PathSocket(address, wanted, held)
  } catch (error) {
    throw explain(error, wanted.path)
  }
}

class PathSocket extends BoundDescriptor {
  readonly #wanted: Wanted
  /** Where the socket is until it is published. It was bound to this name, so libuv removes at most that. */
  readonly #held: string
  /** Where the socket is now. */
  #name: string
  #published: FileIdentity | undefined
  #open = true

  constructor(address: UnixAddress, wanted: Wanted, held: string) {
    const handle = privately(() => bindOnly(held, -1, -1))
    const explained = (error: unknown): unknown => explain(error, wanted.path)
    super({ ...address, path: wanted.path }, handle.fd, () => handle.close(), explained)
    this.#wanted = wanted
    this.#held = held
    this.#name = held
    try {
      giveRights(held, wanted)
    } catch (error) {
      handle.close()
      throw error
    }
  }

  override async publish(): Promise<void> {
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

  /** An unpublished one is nobody else's. */
  protected override removeFile(kept: boolean): void {
    if (!this.#open) return
    this.#open = false
    if (this.#published === undefined) rmSync(this.#name, { force: true })
    else if (!kept) removeIfSame(this.#name, this.#published)
  }
}
