/** Every promise about the wire is tested three ways: whole, byte by byte, and cut at random places. */

import { Connection } from '../../src/fcgi/connection.ts'
import { KEEP_CONN, RecordType, Role } from '../../src/fcgi/constants.ts'
import type { ConnectionEvent } from '../../src/fcgi/events.ts'
import type { ConnectionLimits } from '../../src/fcgi/limits.ts'
import { encodePairs } from '../../src/fcgi/pairs.ts'
import * as wire from '../../src/fcgi/record.ts'

export const LIMITS: ConnectionLimits = {
  maxParamsSize: 4_096,
  maxInflight: 4,
  maxIncomplete: 8,
  maxConnections: 100,
  authorizer: false,
}

/** A small generator with a seed, so that a failing split can be repeated. */
export function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

export const whole = (bytes: Buffer): Buffer[] => [bytes]

export const byteByByte = (bytes: Buffer): Buffer[] => Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))

export const randomly =
  (seed: number) =>
  (bytes: Buffer): Buffer[] => {
    const next = random(seed)
    const pieces: Buffer[] = []
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + 1 + Math.floor(next() * 40))
      pieces.push(bytes.subarray(at, end))
      at = end
    }
    return pieces
  }

export const SPLITS: readonly (readonly [name: string, split: (bytes: Buffer) => Buffer[]])[] = [
  ['whole', whole],
  ['byte by byte', byteByByte],
  ['at random splits (seed 1)', randomly(1)],
  ['at random splits (seed 2)', randomly(2)],
]

/** An event without what depends on where the bytes were cut: pieces of a body are joined. */
export type Seen =
  | { type: 'request'; id: number; keepConn: boolean; params: Record<string, string> }
  | { type: 'body'; id: number; text: string }
  | { type: 'refused'; id: number; reason: string }
  | { type: 'stdinEnd' | 'abort'; id: number }
  | { type: 'violation'; code: string }

export interface Feeding {
  readonly connection: Connection
  readonly seen: Seen[]
  readonly requests: Extract<ConnectionEvent, { type: 'request' }>[]
  /** What was written to the peer so far. */
  written(): string
  feed(bytes: string): void
}

/** A connection that is fed text (one character a byte), cut by `split`. */
export function feeding(split: (bytes: Buffer) => Buffer[], limits = LIMITS): Feeding {
  const connection = new Connection(limits)
  const seen: Seen[] = []
  const requests: Feeding['requests'] = []
  let output = ''
  const note = (event: ConnectionEvent): void => {
    switch (event.type) {
      case 'request': {
        requests.push(event)
        const { names, values } = event.params
        const params = Object.fromEntries(names.map((name, at) => [name, values[at] as string]))
        seen.push({ type: 'request', id: event.request.id, keepConn: event.request.keepConn, params })
        break
      }
      case 'stdin': {
        const last = seen.at(-1)
        const text = event.chunk.toString('latin1')
        if (last?.type === 'body' && last.id === event.request.id) last.text += text
        else seen.push({ type: 'body', id: event.request.id, text })
        break
      }
      case 'refused':
        seen.push({ type: 'refused', id: event.request.id, reason: event.reason })
        break
      case 'violation':
        seen.push({ type: 'violation', code: event.error.code })
        break
      case 'stdinEnd':
        // Whether a request was announced together with the end of its empty body depends on the cut.
        if (event.request.stdinBytes > 0) seen.push({ type: 'stdinEnd', id: event.request.id })
        break
      default:
        seen.push({ type: event.type, id: event.request.id })
    }
  }
  return {
    connection,
    seen,
    requests,
    written() {
      for (const part of connection.out.take())
        output += typeof part === 'string' ? part : Buffer.from(part).toString('latin1')
      return output
    },
    feed(bytes) {
      for (const piece of split(Buffer.from(bytes, 'latin1'))) {
        const events = connection.receive(piece)
        // Its owner reads the next bytes into the same buffer.
        piece.fill(0xee)
        for (const event of events) note(event)
      }
    },
  }
}

export const begin = (id: number, { keepConn = false, role = Role.responder as number } = {}): string =>
  wire.beginRequest(id, role as Role, keepConn ? KEEP_CONN : 0)

export const params = (id: number, entries: Record<string, string> = { REQUEST_METHOD: 'GET' }): string =>
  wire.record(RecordType.params, id, encodePairs(Object.entries(entries)))

export const paramsEnd = (id: number): string => wire.streamEnd(RecordType.params, id)

export const stdin = (id: number, text: string): string => wire.record(RecordType.stdin, id, text)

export const stdinEnd = (id: number): string => wire.streamEnd(RecordType.stdin, id)

export const abort = (id: number): string => wire.record(RecordType.abortRequest, id, '')

/** BEGIN, PARAMS and the ends of PARAMS and STDIN: a request without a body. */
export const get = (id: number, keepConn = false): string =>
  begin(id, { keepConn }) + params(id) + paramsEnd(id) + stdinEnd(id)
