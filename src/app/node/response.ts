/**
 * An `http.ServerResponse` whose reply goes through a web server: it never says anything about the connection (RFC 9110
 * §7.6.1), never frames its body in chunks, and leaves `Date` to the web server. Whatever it writes goes to its socket.
 */

import { type IncomingMessage, ServerResponse } from 'node:http'
import { isSentOn } from '../../cgi/reply.ts'
import type { NodeSocket } from './socket.ts'

type HeaderKind = 'plain' | 'dropped' | 'length' | 'disposition' | 'encoding' | 'location'

/** Applications write the same names again and again. Bounded, should one make them up. */
const MAX_KNOWN = 1_000
const kinds = new Map<string, HeaderKind>()

function kindOf(name: string): HeaderKind {
  let kind = kinds.get(name)
  if (kind === undefined) {
    kind = classify(name.toLowerCase())
    if (kinds.size >= MAX_KNOWN) kinds.clear()
    kinds.set(name, kind)
  }
  return kind
}

function classify(name: string): HeaderKind {
  if (!isSentOn(name)) return 'dropped'
  if (name === 'content-length') return 'length'
  if (name === 'content-encoding') return 'encoding'
  if (name === 'location') return 'location'
  return name === 'content-disposition' ? 'disposition' : 'plain'
}

/**
 * Own property of each response: called for every head, also for those that nobody writes explicitly. Takes out what must
 * not be sent and tells the socket what it has to know.
 */
function writeHead(this: ServerResponse, status: number, reason: unknown, given: unknown): ServerResponse {
  let headers = typeof reason === 'string' ? given : (given ?? reason)
  if (!this.headersSent) {
    const socket = this.socket as unknown as NodeSocket
    socket.head.expect()
    admitOwn(this, socket)
    if (headers != null) headers = Array.isArray(headers) ? admitList(headers, socket) : admitObject(headers, socket)
  }
  const base = ServerResponse.prototype.writeHead as (status: number, reason?: string, headers?: unknown) => unknown
  base.call(this, status, typeof reason === 'string' ? reason : undefined, headers)
  ;(this.socket as unknown as NodeSocket | null)?.fetchHead(this)
  return this
}

/** The headers that were set one by one. */
function admitOwn(response: ServerResponse, socket: NodeSocket): void {
  const names = response.getHeaderNames()
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string
    const kind = kindOf(name)
    if (kind === 'plain') continue
    if (kind === 'dropped') response.removeHeader(name)
    else note(kind, response.getHeader(name), socket)
  }
}

/** Those given to writeHead as an object; copied only if something has to go. */
function admitObject(headers: object, socket: NodeSocket): object {
  let clean = true
  for (const name in headers) {
    const kind = kindOf(name)
    if (kind === 'plain') continue
    if (kind === 'dropped') clean = false
    else note(kind, (headers as Record<string, unknown>)[name], socket)
  }
  return clean ? headers : Object.fromEntries(Object.entries(headers).filter(([name]) => kindOf(name) !== 'dropped'))
}

/** Those given as a list of pairs, or of name and value by turns. */
function admitList(headers: readonly unknown[], socket: NodeSocket): readonly unknown[] {
  const inPairs = Array.isArray(headers[0])
  const pairs = inPairs ? (headers as (readonly unknown[])[]) : pairsOf(headers)
  const kept = pairs.filter(([name]) => kindOf(String(name)) !== 'dropped')
  for (const [name, value] of kept) note(kindOf(String(name)), value, socket)
  if (kept.length === pairs.length) return headers
  return inPairs ? kept : kept.flat()
}

function pairsOf(flat: readonly unknown[]): (readonly unknown[])[] {
  return flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1]]] : []))
}

function note(kind: HeaderKind, value: unknown, socket: NodeSocket): void {
  if (kind === 'length') socket.head.contentLength = parseLength(value)
  else if (kind === 'encoding') socket.head.encoded = true
  else if (kind === 'location') socket.head.located = true
  else if (kind === 'disposition') socket.head.dispositions = [value].flat().map(String)
}

function parseLength(value: unknown): number {
  const length = Number(value)
  return Number.isSafeInteger(length) && length >= 0 ? length : -1
}

/** The old name of writeHead; gone in Node 26. */
const hasWriteHeader = 'writeHeader' in ServerResponse.prototype

/** The response to a request that has its method and version. */
export function createResponse(request: IncomingMessage): ServerResponse {
  const response = new ServerResponse(request)
  response.sendDate = false
  // Documented: what was removed is not made up again.
  response.removeHeader('connection')
  response.removeHeader('transfer-encoding')
  // To a client of HTTP/1.0 node:http does not tell the length of a body that it knows.
  response.useChunkedEncodingByDefault = true
  response.writeHead = writeHead as ServerResponse['writeHead']
  if (hasWriteHeader) (response as { writeHeader?: unknown }).writeHeader = writeHead
  return response
}
