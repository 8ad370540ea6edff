/**
 * balance=round-robin: the primary accepts, and hands each connection to the worker that has the fewest, in turn among
 * equals. Slower than letting the workers accept (DESIGN §5), but no connection goes to a worker that is at its limit while
 * another one is idle.
 */

import { Server, type Socket } from 'node:net'
import type { Reserved } from '../server/reserve.ts'

/** Who can be given a connection. */
export interface Receiver {
  /** Connections that it was given and that are open. */
  readonly connections: number
  /** False if it cannot be reached any more. `failed` is called if the connection did not get there after all. */
  give(socket: Socket, failed: () => void): boolean
}

export class RoundRobin {
  readonly #receivers: Receiver[] = []
  /** Connections for which there was nobody. */
  readonly #waiting: Socket[] = []

  async listen(sockets: readonly Reserved[], backlog: number | undefined): Promise<void> {
    for (const socket of sockets) {
      // Not a byte must be read here: it would be missing there.
      const server = new Server({ allowHalfOpen: true, pauseOnConnect: true })
      server.on('connection', connection => this.#take(connection))
      await socket.listen(server, backlog)
    }
  }

  add(receiver: Receiver): void {
    this.#receivers.push(receiver)
    for (const socket of this.#waiting.splice(0)) this.#take(socket)
  }

  remove(receiver: Receiver): void {
    const at = this.#receivers.indexOf(receiver)
    if (at >= 0) this.#receivers.splice(at, 1)
  }

  #take(socket: Socket): void {
    const next = this.#next()
    if (next === undefined) this.#waiting.push(socket)
    else if (next.give(socket, () => this.#take(socket))) this.#receivers.push(next)
    else this.#take(socket)
  }

  /** Taken out of the list: whoever was given something goes to its end. */
  #next(): Receiver | undefined {
    let best = 0
    this.#receivers.forEach(({ connections }, at) => {
      if (connections < (this.#receivers[best] as Receiver).connections) best = at
    })
    return this.#receivers.splice(best, 1)[0]
  }
}
