/**
 * The head of a reply: what an HTTP/1.1 response says, as ServerResponse writes it, turned into that of a CGI reply (RFC 3875
 * §6.2). The header fields are left as they are: what must not be sent has been taken out before (src/app/node/response.ts).
 */

import { hasNoBody, withStatus } from '../../cgi/reply.ts'
import type { Exchange } from '../exchange.ts'

/** The length of `HTTP/1.1 `, with which ServerResponse begins every head. */
const VERSION_LENGTH = 9

const digit = (text: string, position: number): number => text.charCodeAt(position) - 0x30

/** Where the head of `text` ends and the body begins. */
function headLength(text: string): number {
  return text.indexOf('\r\n\r\n') + 4
}

function headStatus(text: string): number {
  return digit(text, VERSION_LENGTH) * 100 + digit(text, VERSION_LENGTH + 1) * 10 + digit(text, VERSION_LENGTH + 2)
}

/**
 * The CGI head. `dispositions`: the values of Content-Disposition as the application gave them. node:http decodes them as
 * UTF-8 when it knows the length of the body, because it then sends the head as UTF-8. Ours is sent as latin1.
 */
function cgiHead(text: string, length: number, located: boolean, dispositions: readonly string[] | undefined): string {
  let block = `Status: ${text.substring(VERSION_LENGTH, length)}`
  if (located) {
    const headers = block.indexOf('\r\n') + 2
    block = `${withStatus(block.slice(0, headers), block.slice(headers, -2), true)}\r\n`
  }
  for (const value of dispositions ?? []) {
    block = block.replace(`: ${Buffer.from(value, 'latin1')}\r\n`, () => `: ${value}\r\n`)
  }
  return block
}

export class ReplyHead {
  /** As declared by the head that is to come; -1: not declared. */
  contentLength = -1
  /** Its Content-Disposition headers as the application gave them. */
  dispositions: readonly string[] | undefined
  /** Whether it has a Content-Encoding. */
  encoded = false
  /** Whether it has a Location. */
  located = false
  #status = 0
  /** Until the exchange has it. */
  #block = ''
  #rewrite: ((block: string) => string) | undefined

  /** The response has written it. */
  get written(): boolean {
    return this.#status !== 0
  }

  /** The exchange is still to get it. */
  get waits(): boolean {
    return this.#block !== ''
  }

  /** The response is about to make its head. */
  expect(): void {
    this.contentLength = -1
    this.dispositions = undefined
    this.encoded = false
    this.located = false
  }

  /** It will be another one, of a reply that has no body here. False: it is too late for that. */
  rewrite(rewrite: (block: string) => string): boolean {
    if (this.written && !this.waits) return false
    this.#rewrite = rewrite
    if (this.waits) this.#block = this.#rewritten(this.#block)
    return true
  }

  /** Takes it from the front of what a response writes, and returns the rest. Informational ones are dropped: CGI has none. */
  take(text: string): string {
    const length = headLength(text)
    const status = headStatus(text)
    if (status >= 200) {
      this.#status = status
      this.#block = this.#rewritten(cgiHead(text, length, this.located, this.dispositions))
    }
    return text.substring(length)
  }

  give(exchange: Exchange, method: string): void {
    const bodyless = this.contentLength >= 0 && hasNoBody(method, this.#status)
    exchange.head(this.#status, this.#block, bodyless ? -1 : this.contentLength)
    this.#block = ''
  }

  #rewritten(block: string): string {
    if (this.#rewrite === undefined) return block
    this.#status = 200
    this.contentLength = -1
    return this.#rewrite(block)
  }
}
