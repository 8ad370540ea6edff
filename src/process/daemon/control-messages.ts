/**
 * What a daemon (control.ts) and its commands (control-client.ts) say to each other: lines of JSON over a Unix socket. One
 * request per connection, any number of lines that tell how it goes, one that tells the outcome.
 */

/** `pid` and `version` are of the daemon; every daemon answers this one, whatever it is doing. */
export const PING = 'ping'

export interface Pong {
  readonly pid: number
}

export interface ControlRequest {
  readonly command: string
  readonly [argument: string]: unknown
}

export type ControlReply =
  /** It was understood and is being done; once a second, so that whoever waits knows that the daemon lives. */
  | { readonly accepted: true }
  /** For people, on a terminal. */
  | { readonly progress: string }
  | { readonly ok: true; readonly result?: unknown }
  | { readonly ok: false; readonly error: string }

export const line = (message: ControlRequest | ControlReply): string => `${JSON.stringify(message)}\n`

/** Cuts a stream into lines. Bytes of a line that has not ended count against `limit`. */
export class LineReader {
  readonly #limit: number
  #rest = ''

  constructor(limit: number) {
    this.#limit = limit
  }

  /** The lines that are complete now; undefined if one is too long. `text` is decoded by the stream. */
  read(text: string): string[] | undefined {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop() ?? ''
    return this.#rest.length > this.#limit ? undefined : lines
  }
}
