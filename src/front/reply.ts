/**
 * The reply of a responder on its way to an HTTP client: CGI head in, HTTP response out, streaming. Knows node:http and
 * the CGI response head; nothing of FastCGI.
 *
 * The HTTP head is held back until all that arrived with it has been seen: a reply that came whole gets its exact
 * Content-Length instead of chunks.
 */

import type { ServerResponse } from 'node:http'
import { hasNoBody } from '../cgi/reply.ts'
import { type ResponseHead, ResponseHeadParser } from '../cgi/response.ts'
import { hopByHop } from './hop-by-hop.ts'

export class ReplyWriter {
  readonly #res: ServerResponse
  readonly #method: string
  readonly #parser = new ResponseHeadParser()
  #head: ResponseHead | null = null
  /** Body bytes that came before the HTTP head was written. */
  #held: Buffer[] = []
  /** What the declared Content-Length still allows. */
  #left = Number.POSITIVE_INFINITY
  /** Add `Connection: close`. */
  closing = false
  /** Body bytes passed on. */
  bytes = 0

  constructor(res: ServerResponse, method: string) {
    this.#res = res
    this.#method = method
  }

  /** The head, once it is complete. */
  get head(): ResponseHead | null {
    return this.#head
  }

  get #bodyless(): boolean {
    if (this.#head === null) return false
    const { status, localRedirect } = this.#head
    return localRedirect !== null || hasNoBody(this.#method, status)
  }

  /**
   * Bytes of STDOUT. False: the client is slow, wait for `drain` of the response.
   * @throws ResponseHeadError before anything was sent
   */
  receive(chunk: Buffer): boolean {
    if (this.#head !== null) return this.#body(chunk)
    const parsed = this.#parser.receive(chunk)
    if (parsed === null) return true
    this.#head = parsed.head
    if (parsed.head.contentLength >= 0) this.#left = parsed.head.contentLength
    return this.#body(parsed.rest)
  }

  /** Everything that arrived together is in: let the head go, and the body after it. False as in `receive`. */
  flush(): boolean {
    if (this.#head === null || this.#head.localRedirect !== null || this.#res.headersSent) return true
    this.#writeHead(this.#head, this.#head.contentLength)
    // The application means the client to see the head although no body has come yet.
    if (this.#held.length === 0) this.#res.flushHeaders()
    return this.#release()
  }

  /**
   * The reply has ended; `whole` is false if the application failed in it. False: the client was left with a part of the
   * reply, of which only a closed connection can tell it, and that was done.
   * @throws ResponseHeadError if there was no head
   */
  end(whole: boolean): boolean {
    if (this.#head === null) throw this.#parser.ended()
    const streamed = this.#res.headersSent
    const declared = this.#head.contentLength >= 0
    if (!streamed) {
      this.#writeHead(this.#head, declared || this.#bodyless ? this.#head.contentLength : this.bytes)
      this.#release()
    }
    const cut = !this.#bodyless && (declared ? this.#left > 0 : streamed && !whole)
    if (cut) this.#res.destroy()
    else this.#res.end()
    return !cut
  }

  #body(chunk: Buffer): boolean {
    if (chunk.length === 0 || this.#left === 0 || this.#bodyless) return true
    // More than declared would be taken for the next response.
    const content = chunk.length > this.#left ? chunk.subarray(0, this.#left) : chunk
    this.#left -= content.length
    this.bytes += content.length
    if (this.#res.headersSent) return this.#res.write(content)
    this.#held.push(content)
    return true
  }

  #release(): boolean {
    let more = true
    for (const chunk of this.#held) more = this.#res.write(chunk)
    this.#held = []
    return more
  }

  #writeHead(head: ResponseHead, contentLength: number): void {
    const drop = hopByHop(head.headers.flat())
    const lines: string[] = []
    for (const [name, value] of head.headers) {
      const lower = name.toLowerCase()
      if (!drop.has(lower) && lower !== 'content-length') lines.push(name, value)
    }
    if (contentLength >= 0 && head.status !== 204) lines.push('Content-Length', String(contentLength))
    if (this.closing) lines.push('Connection', 'close')
    if (head.reason === '') this.#res.writeHead(head.status, lines)
    else this.#res.writeHead(head.status, head.reason, lines)
  }
}
