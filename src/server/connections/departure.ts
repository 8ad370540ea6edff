/**
 * Connections that leave a responder without being closed, each as soon as nothing of a request is on it: how many leave,
 * how many of them at a time, and who takes them. What is on its way is served by nobody.
 */

import type { Socket } from 'node:net'

export class Departure {
  readonly #letGo: (socket: Socket) => void
  /** How many may still leave, and how many of them now. */
  #left: number
  #window: number
  /** When those that have not left by then stay after all (`performance.now()`). */
  readonly #until: number

  constructor(letGo: (socket: Socket) => void, window: number, left: number, until: number) {
    this.#letGo = letGo
    this.#window = window
    this.#left = left
    this.#until = until
  }

  /** One more may leave now. */
  get isOpen(): boolean {
    return this.#window > 0 && this.#left > 0
  }

  isOver(now: number): boolean {
    return this.#left <= 0 || now > this.#until
  }

  leave(socket: Socket): void {
    this.#left--
    this.#window--
    this.#letGo(socket)
  }

  /** One of those that have left is in use elsewhere. */
  arrived(): void {
    this.#window++
  }
}
