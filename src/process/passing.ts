/**
 * Open connections that pass from one process to another: between workers (workers/prefork.ts), and to a successor
 * (daemon/handover.ts). One that is on its way is read by nobody: the kernel keeps what arrives for whoever gets it.
 *
 * What is passed is the handle below a socket. Node would pass a socket only with bookkeeping for the server that accepted
 * it, and both sides would go on reading it.
 */

import type { ChildProcess, SendHandle } from 'node:child_process'
import { Socket } from 'node:net'

/** A connection that can be passed on; nothing reads it. */
export interface Passable {
  readonly handle: SendHandle
  /** What was read of it already and is to be read again, one character a byte. */
  readonly received: string
  /** Closes it here: the connection itself only if no other process has it. */
  close(): void
}

interface StreamHandle {
  readStop(): void
  close(): void
}

/** Stops reading a socket, which is not to be used any more. Undefined if it is closed. */
export function passable(socket: Socket, received = unreadOf(socket)): Passable | undefined {
  const { _handle: handle } = socket as unknown as { readonly _handle: (StreamHandle & SendHandle) | null }
  if (handle === null) return undefined
  handle.readStop()
  return { handle, received: received?.toString('latin1') ?? '', close: () => void socket.destroy() }
}

/** What another process had read of it already and we have not. */
const unreadOf = (socket: Socket): Buffer | null =>
  // All of it only when told how much: from Node 26 on the first piece otherwise.
  socket.readableLength > 0 ? socket.read(socket.readableLength) : null

/** What another process has passed, to be passed on; `closed` is called when it has arrived there, or is closed. */
export function passedOn(handle: SendHandle, received: string, closed = (): void => {}): Passable {
  const close = (): void => {
    const stream = handle as unknown as StreamHandle
    stream.close()
    closed()
  }
  return { handle, received, close }
}

/** What another process has passed, to be used. */
export function socketOf({ handle, received }: Pick<Passable, 'handle' | 'received'>): Socket {
  const socket = new Socket({ handle, allowHalfOpen: true } as ConstructorParameters<typeof Socket>[0])
  if (received !== '') socket.unshift(Buffer.from(received, 'latin1'))
  return socket
}

/** Connections on their way to one process; ours are closed when it says that it has them. */
export class Passage {
  readonly #onTheWay = new Map<number, Passable>()
  #lastKey = 0

  /** How many are on their way. */
  get size(): number {
    return this.#onTheWay.size
  }

  /**
   * The other process hears `{ type: 'connection', key, received, to }` and is to call `arrived` here, somehow, with the
   * same key. `to`: whom it is to pass the connection on to, if not to whomever it likes.
   */
  send(
    process: Pick<ChildProcess, 'send'>,
    connection: Passable,
    failed: (connection: Passable) => void,
    to?: number,
  ): void {
    const key = ++this.#lastKey
    this.#onTheWay.set(key, connection)
    const { handle, received } = connection
    process.send({ type: 'connection', key, received, to }, handle, error => {
      if (error !== null && this.#onTheWay.delete(key)) failed(connection)
    })
  }

  arrived(key: number): void {
    this.#onTheWay.get(key)?.close()
    this.#onTheWay.delete(key)
  }

  /** The other process is gone: what it never had. */
  takeBack(): Passable[] {
    const connections = [...this.#onTheWay.values()]
    this.#onTheWay.clear()
    return connections
  }
}
