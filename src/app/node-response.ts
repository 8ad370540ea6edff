/**
 * An `http.ServerResponse` whose reply goes through a web server: it never says anything about the connection (RFC 9110
 * §7.6.1), never frames its body in chunks, and leaves `Date` to the web server. Whatever it writes goes to its socket.
 */

import { type IncomingMessage, ServerResponse } from 'node:http'
import { isSentOn } from '../cgi/reply.ts'
import type { NodeSocket } from './node-socket.ts'

type HeaderKind = 'plain' | 'dropped' | 'length' | 'disposition'

/** What writeHead accepts: an object, a list of pairs, or name and value by turns. */
type HeaderArgument = Readonly<Record<string, unknown>> | readonly unknown[]

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
  return name === 'content-disposition' ? 'disposition' : 'plain'
}

/** What a head turns out to have that matters to the socket. */
class Findings {
  contentLength = -1
  dispositions: string[] | undefined

  note(kind: HeaderKind, value: unknown): void {
    if (kind === 'length') this.contentLength = parseLength(value)
    else if (kind === 'disposition') this.dispositions = [value].flat().map(String)
  }
}

function parseLength(value: unknown): number {
  const length = Number(value)
  return Number.isSafeInteger(length) && length >= 0 ? length : -1
}

/** Takes what must not be sent out of the headers that were set one by one. */
function admitOwn(response: ServerResponse, findings: Findings): void {
  for (const name of response.getHeaderNames()) {
    const kind = kindOf(name)
    if (kind === 'plain') continue
    if (kind === 'dropped') response.removeHeader(name)
    else findings.note(kind, response.getHeader(name))
  }
}

/** The same for those given to writeHead; they are copied only if something has to go. */
function admit(headers: HeaderArgument, findings: Findings): HeaderArgument {
  let clean = true
  const keep = (name: unknown, value: unknown): boolean => {
    const kind = kindOf(String(name))
    if (kind === 'dropped') clean = false
    else if (kind !== 'plain') findings.note(kind, value)
    return kind !== 'dropped'
  }
  if (!Array.isArray(headers)) {
    const entries = Object.entries(headers).filter(([name, value]) => keep(name, value))
    return clean ? headers : Object.fromEntries(entries)
  }
  const pairs = Array.isArray(headers[0]) ? headers : pairsOf(headers)
  const kept = pairs.filter(([name, value]) => keep(name, value))
  return clean ? headers : headers === pairs ? kept : kept.flat()
}

function pairsOf(flat: readonly unknown[]): (readonly unknown[])[] {
  return flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1]]] : []))
}

/** Own property of each response: called for every head, also for those that nobody writes explicitly. */
function writeHead(this: ServerResponse, ...args: unknown[]): ServerResponse {
  if (!this.headersSent) {
    const findings = new Findings()
    admitOwn(this, findings)
    const position = typeof args[1] === 'string' || args[2] != null ? 2 : 1
    if (args[position] != null) args[position] = admit(args[position] as HeaderArgument, findings)
    const socket = this.socket as unknown as NodeSocket
    socket.contentLength = findings.contentLength
    socket.dispositions = findings.dispositions
  }
  return Reflect.apply(ServerResponse.prototype.writeHead, this, args)
}

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
  return response
}
