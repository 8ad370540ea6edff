/** A plain HTTP/1.1 client that hides nothing: no redirects followed, no decoding, every header as it came. */

import { Agent, type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { soon } from './until.ts'

export interface RequestOptions {
  readonly method?: string
  readonly headers?: OutgoingHttpHeaders
  /** Pieces are sent as they come; chunked, unless a Content-Length header is given. */
  readonly body?: Iterable<Buffer> | AsyncIterable<Buffer>
  readonly agent?: Agent
}

export interface Reply {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

/** The reply as soon as its head is there. */
export async function open(port: number, path: string, options: RequestOptions = {}): Promise<IncomingMessage> {
  const { method = 'GET', headers = {}, body, agent = false } = options
  const outgoing = request({ host: '127.0.0.1', port, path, method, headers, agent })
  const reply = new Promise<IncomingMessage>((resolve, reject) => {
    outgoing.on('response', resolve).on('error', reject)
  })
  if (body === undefined) outgoing.end()
  else await Promise.race([pipeline(Readable.from(body), outgoing), reply])
  return soon(`the head of the reply to ${method} ${path}`, reply)
}

export async function fetchWhole(port: number, path: string, options: RequestOptions = {}): Promise<Reply> {
  const response = await open(port, path, options)
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk)
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }
}

/** One connection at a time, kept between requests. */
export function keepAliveAgent(): Agent {
  return new Agent({ keepAlive: true, maxSockets: 1 })
}
