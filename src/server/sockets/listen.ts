/**
 * Listens in this process, on addresses that reserve.ts binds. Nothing of it knows FastCGI.
 */

import { Server, type Socket } from 'node:net'
import type { Address } from './address.ts'
import { type Reserved, serveAt } from './reserve.ts'

export interface BindOptions {
  /** Connections that wait to be accepted; the system may cap it (net.core.somaxconn). Default 511. */
  readonly backlog?: number | undefined
}

export interface Bound extends Pick<Reserved, 'address' | 'fd' | 'close'> {
  /** Listening. Connections that come before the first 'connection' listener is added wait for it. */
  readonly server: Server
}

/**
 * A server that keeps what it accepts for the first 'connection' listener: whoever answers is attached later than the
 * bind, and Node accepts from the moment it listens, so the kernel's queue cannot keep it.
 *
 * Half-open: a web server may send its FIN after the request and still wait for the reply (DESIGN §10.11).
 */
class Listener extends Server {
  readonly #early: Socket[] = []
  /** Somebody has taken over what it accepts. */
  attended = false

  constructor() {
    super({ allowHalfOpen: true, noDelay: true })
    this.on('connection', this.#keep)
    this.on('newListener', this.#handOver)
  }

  readonly #keep = (socket: Socket): void => {
    socket.on('error', forgetError)
    this.#early.push(socket)
  }

  readonly #handOver = (event: string | symbol): void => {
    if (event !== 'connection') return
    this.off('newListener', this.#handOver)
    this.attended = true
    process.nextTick(() => {
      this.off('connection', this.#keep)
      for (const socket of this.#early.splice(0)) {
        socket.off('error', forgetError)
        // It came and went without a word: its 'end' has been emitted already, and would be missed.
        if (socket.readableEnded) socket.destroy()
        else if (!socket.destroyed) this.emit('connection', socket)
      }
    })
  }

  override close(callback?: (error?: Error) => void): this {
    for (const socket of this.#early.splice(0)) socket.destroy()
    return super.close(callback)
  }
}

/** A peer that was reset before anybody had anything to do with it: the stream is destroyed, nobody misses it. */
function forgetError(): void {}

/**
 * Binds one address and listens on it.
 * @throws ListenError with one line: what failed, for which value, what to do
 */
export async function bind(address: Address, { backlog }: BindOptions = {}): Promise<Bound> {
  const server = new Listener()
  const reserved = await serveAt(address, server, backlog)
  return {
    server,
    address: reserved.address,
    fd: reserved.fd,
    // Who waits where nobody answers is not waited for.
    close: ({ leaveFile = false, now = leaveFile || !server.attended } = {}) => reserved.close({ leaveFile, now }),
  }
}

/**
 * Binds all, or none: if one fails, those bound before it are closed again.
 * @throws ListenError
 */
export async function bindAll(addresses: readonly Address[], options: BindOptions = {}): Promise<Bound[]> {
  const all: Bound[] = []
  try {
    for (const address of addresses) all.push(await bind(address, options))
    return all
  } catch (error) {
    for (const one of all) await one.close({ leaveFile: one.address.kind === 'fd' })
    throw error
  }
}
