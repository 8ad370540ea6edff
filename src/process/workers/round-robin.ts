/**
 * Hands connections to workers, each to the one that was given the fewest, in turn among equals. With balance=round-robin
 * these are all connections: slower than letting the workers accept (DESIGN §5), but none goes to a worker that is at its
 * limit while another one is idle. Else they are those that a worker leaves behind, when it is replaced or has too many.
 */

import { Server } from 'node:net'
import type { Reserved } from '../../server/sockets/reserve.ts'
import { type Passable, passable } from '../passing.ts'

/** Who can be given a connection. */
export interface Receiver {
  readonly id: number
  readonly generation: number
  /** Connections that it was given and that are open; far more if it is the last choice. */
  readonly load: number
  /** How many requests it could begin at once. */
  readonly room: number
  /** False if it takes no more. One that it was given and did not get after all comes to `RoundRobin.give` again. */
  give(connection: Passable): boolean
}

export class RoundRobin {
  readonly #receivers: Receiver[] = []
  /** Connections for which there was nobody. */
  readonly #waiting: Passable[] = []
  #successor: ((connection: Passable) => void) | null = null

  async listen(sockets: readonly Reserved[], backlog: number | undefined): Promise<void> {
    for (const socket of sockets) {
      // Not a byte must be read here: it would be missing there.
      const server = new Server({ allowHalfOpen: true, pauseOnConnect: true })
      server.on('connection', accepted => {
        const connection = passable(accepted)
        if (connection !== undefined) this.give(connection)
      })
      await socket.listen(server, backlog)
    }
  }

  add(receiver: Receiver): void {
    this.#receivers.push(receiver)
    for (const connection of this.#waiting.splice(0)) this.give(connection)
  }

  remove(receiver: Receiver): void {
    const at = this.#receivers.indexOf(receiver)
    if (at >= 0) this.#receivers.splice(at, 1)
  }

  /** All connections go there from now on. */
  leaveTo(successor: (connection: Passable) => void): void {
    this.#successor = successor
    for (const connection of this.#waiting.splice(0)) successor(connection)
  }

  get hasSuccessor(): boolean {
    return this.#successor !== null
  }

  /** Gives the connection to somebody, or keeps it until there is somebody. */
  give(connection: Passable): void {
    this.#give(connection, this.#receivers)
  }

  /** Gives a connection that a worker leaves behind to receiver `to`, or else to one of those that will be there longest. */
  passOn(connection: Passable, to?: number): void {
    const chosen = this.#receivers.find(({ id }) => id === to)
    if (chosen !== undefined && this.#successor === null && chosen.give(connection)) return
    const newest = Math.max(...this.#receivers.map(({ generation }) => generation))
    const receivers = this.#receivers.filter(({ generation }) => generation === newest)
    this.#give(connection, receivers)
  }

  #give(connection: Passable, receivers: readonly Receiver[]): void {
    if (this.#successor !== null) {
      this.#successor(connection)
      return
    }
    const next = leastBusy(receivers)
    if (next === undefined) {
      this.#waiting.push(connection)
      return
    }
    // Whoever takes it goes to the end; whoever takes no more is never asked again.
    this.remove(next)
    if (next.give(connection)) this.#receivers.push(next)
    else this.give(connection)
  }

  /** How many requests others could begin at once. */
  roomBeside(receiver: Receiver): number {
    if (this.#successor !== null) return 0
    return this.#receivers.reduce((sum, other) => sum + (other === receiver ? 0 : other.room), 0)
  }

  /** Nobody will come for those that wait. */
  close(): void {
    for (const connection of this.#waiting.splice(0)) connection.close()
  }
}

/** The first of those with the least load. */
function leastBusy(receivers: readonly Receiver[]): Receiver | undefined {
  let best = receivers[0]
  for (const receiver of receivers) if (receiver.load < (best as Receiver).load) best = receiver
  return best
}
