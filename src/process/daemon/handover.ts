/**
 * Open connections that a process leaves to its successor (successor.ts), so that an upgrade closes none: a web server may
 * be sending a request on any of them, and would not send a POST a second time. They pass over a channel of their own
 * (passing.ts), each as soon as nothing of a request is on it.
 */

import type { ChildProcess, SendHandle } from 'node:child_process'
import { takeSend } from '../parent-channel.ts'
import { type Passable, Passage, passedOn } from '../passing.ts'
import { starter } from './starter.ts'

interface LeftConnection {
  readonly type: 'connection'
  readonly key: number
  readonly received: string
}

interface Receipt {
  readonly type: 'taken'
  readonly key: number
}

/** The successor's, taken before it loads an application. */
const send = starter.upgrade ? takeSend() : undefined

/** The predecessor's side. */
export class Handover {
  readonly #successor: ChildProcess
  readonly #passage = new Passage()
  #onSettled: (() => void)[] = []

  /** @param successor started with a channel ('ipc') */
  constructor(successor: ChildProcess) {
    this.#successor = successor
    successor.on('message', ({ type, key }: Receipt) => {
      if (type === 'taken') this.#arrived(key)
    })
    successor.once('disconnect', () => this.#lost())
  }

  /** Leaves it one connection. */
  leave(connection: Passable): void {
    if (this.#successor.connected) this.#passage.send(this.#successor, connection, lost => lost.close())
    else connection.close()
  }

  /** Resolves when all that was left has arrived, or nobody is there to take it. */
  settled(): Promise<void> {
    if (this.#passage.size === 0) return Promise.resolve()
    // There may be nothing else left that keeps this process.
    this.#successor.channel?.ref()
    return new Promise(resolve => {
      this.#onSettled.push(resolve)
    })
  }

  #arrived(key: number): void {
    this.#passage.arrived(key)
    if (this.#passage.size === 0) for (const tell of this.#onSettled.splice(0)) tell()
  }

  #lost(): void {
    for (const connection of this.#passage.takeBack()) connection.close()
    for (const tell of this.#onSettled.splice(0)) tell()
  }
}

/** The successor's side: `take` is given each connection that the predecessor leaves, from now on. */
export function inherit(take: (connection: Passable) => void): void {
  if (send === undefined) return
  process.on('message', (message: LeftConnection, handle: SendHandle) => {
    if (message.type !== 'connection') return
    if (process.connected) send({ type: 'taken', key: message.key } satisfies Receipt, undefined, undefined, () => {})
    take(passedOn(handle, message.received))
  })
  process.channel?.unref()
}
