/**
 * What a worker writes to a standard stream that leads to its primary, in whole lines: other workers and the log write to the
 * same file.
 */

import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { soon } from '../blocked.ts'

/** How much of a line may wait for its end, and for how many milliseconds. */
const MOST_HELD = 65_536
const HOLD_MS = 100

/** When nothing has come for so long from a worker that has ended, what comes later is not its own. In milliseconds. */
const QUIET_MS = 100

/** How long something that it has started may go on writing before nobody waits for it any more. */
const PATIENCE_MS = 5_000

export class WorkerOutput {
  readonly #print: (text: string) => void
  readonly #closed: Promise<unknown>
  #open = true
  #pieces = 0
  #held = ''
  #timer: NodeJS.Timeout | undefined

  constructor(stream: Readable, print: (text: string) => void) {
    this.#print = print
    this.#closed = once(stream, 'close').finally(() => {
      this.#open = false
    })
    this.#closed.catch(() => undefined)
    stream.setEncoding('utf8').on('data', (text: string) => this.#take(text))
  }

  /** Resolves when everything is printed that the worker wrote; it has ended. A process that it has started may hold the stream. */
  async drained(): Promise<void> {
    const started = performance.now()
    for (let before = -1; this.#open && before !== this.#pieces && performance.now() - started < PATIENCE_MS; ) {
      before = this.#pieces
      await soon(this.#closed, QUIET_MS)
      // If this process was busy for so long, what has come is still to be read.
      await turn()
    }
    this.#release()
  }

  #take(text: string): void {
    this.#pieces++
    const all = this.#held + text
    const end = all.lastIndexOf('\n') + 1
    if (end > 0) {
      this.#stopTimer()
      this.#print(all.slice(0, end))
    }
    this.#held = all.slice(end)
    if (this.#held.length > MOST_HELD) this.#release()
    else if (this.#held !== '') this.#timer ??= setTimeout(() => this.#release(), HOLD_MS).unref()
  }

  #release(): void {
    this.#stopTimer()
    const text = this.#held
    this.#held = ''
    if (text !== '') this.#print(text)
  }

  #stopTimer(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}
