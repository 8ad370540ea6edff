/** The command's side of the control socket (control.ts): one request, what is told meanwhile, the outcome. */

import { connect, type Socket } from 'node:net'
import { errnoOf, messageOf } from '../../server/thrown.ts'
import { type ControlReply, type ControlRequest, LineReader, line } from './control-messages.ts'
import { DaemonError } from './daemon-error.ts'

export interface CallOptions {
  /** Hears how it goes. */
  readonly onProgress?: ((text: string) => void) | undefined
  /** Milliseconds of silence after which nobody seems to be there; the outcome may take as long as it takes. Default 10,000. */
  readonly silenceMs?: number | undefined
}

const SILENCE_MS = 10_000

/** A reply is a line of no more than this: the status of ten thousand children has 2 MB. */
const MAX_REPLY = 16 * 1024 * 1024

/**
 * Asks the daemon whose control socket is at `path`, and resolves to the result.
 * @throws DaemonError `unreachable`, `no-answer`, `ended` (its process is gone, or going), `refused` (with its words)
 */
export function callControl(path: string, request: ControlRequest, options: CallOptions = {}): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    new Call(socket, options, resolve, reason => {
      socket.destroy()
      reject(reason)
    })
    socket.write(line(request))
  })
}

class Call {
  readonly #options: CallOptions
  readonly #resolve: (result: unknown) => void
  readonly #reject: (reason: DaemonError) => void
  readonly #lines = new LineReader(MAX_REPLY)
  readonly #patience: NodeJS.Timeout

  constructor(
    socket: Socket,
    options: CallOptions,
    resolve: (result: unknown) => void,
    reject: (reason: DaemonError) => void,
  ) {
    this.#options = options
    this.#resolve = resolve
    this.#reject = reject
    const { silenceMs = SILENCE_MS } = options
    const tooLate = `has not answered for ${silenceMs / 1000} s: something keeps it busy`
    this.#patience = setTimeout(() => reject(new DaemonError('no-answer', tooLate)), silenceMs)
    socket.on('error', error => this.#failed(error))
    socket.on('close', () => this.#closed())
    socket.setEncoding('utf8').on('data', (text: string) => this.#receive(text))
  }

  #receive(text: string): void {
    const lines = this.#lines.read(text)
    if (lines === undefined) this.#reject(new DaemonError('refused', 'its answer is too long'))
    else for (const reply of lines) this.#hear(parse(reply))
  }

  #hear(reply: ControlReply): void {
    this.#patience.refresh()
    if ('progress' in reply) this.#options.onProgress?.(reply.progress)
    else if ('ok' in reply && reply.ok) this.#resolve(reply.result)
    else if ('ok' in reply) this.#reject(new DaemonError('refused', reply.error))
  }

  #failed(error: Error): void {
    const gone = ['EPIPE', 'ECONNRESET'].includes(errnoOf(error))
    this.#reject(new DaemonError(gone ? 'ended' : 'unreachable', messageOf(error), error))
  }

  /** After the outcome this changes nothing. */
  #closed(): void {
    clearTimeout(this.#patience)
    this.#reject(new DaemonError('ended', 'ended before it had answered'))
  }
}

/** Control characters could write anything on the terminal. */
const printable = (_key: string, value: unknown): unknown =>
  typeof value === 'string' ? value.replaceAll(/[\x00-\x1f\x7f-\x9f]/g, ' ') : value

/** Anything may listen at a path that a person has typed, and anybody in a folder such as /tmp. */
function parse(text: string): ControlReply {
  try {
    const reply: unknown = JSON.parse(text, printable)
    if (typeof reply === 'object' && reply !== null) return reply as ControlReply
  } catch {
    // No JSON.
  }
  return { ok: false, error: 'its answer is none: something else listens there' }
}
